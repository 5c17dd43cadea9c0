"""FFmpeg's filters on single decoded frames."""

from fractions import Fraction


class FrameFilter:
    """A chain of filters that give one frame for each one, whatever came before.

    Args:
        *chain: pairs of a filter's name and its arguments, such as `("crop", "64:48:8:0")`.

    Example:

    ```python
    upper = FrameFilter(("field", "type=top"))
    half = upper(frame)
    ```
    """

    def __init__(self, *chain):
        self.chain = chain
        self.kind = None

    def __call__(self, frame):
        """The filtered `av.VideoFrame`, with the time stamp of the frame."""
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self.kind:
            self._build(frame)
            self.kind = kind
        self.source.push(frame)
        filtered = self.sink.pull()
        filtered.pts = frame.pts
        if frame.time_base is not None:
            filtered.time_base = frame.time_base
        return filtered

    def _build(self, frame):
        from av.filter import Graph

        graph = Graph()
        self.source = last = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or Fraction(1, 25),
        )
        for name, arguments in self.chain:
            node = graph.add(name, arguments)
            graph.link_nodes(last, node)
            last = node
        self.sink = graph.add("buffersink")
        graph.link_nodes(last, self.sink)
        graph.configure()
        self.graph = graph


def mirroring():
    """The filters that mirror a frame top to bottom, into rows that run downwards."""
    return ("vflip", None), ("copy", None)
