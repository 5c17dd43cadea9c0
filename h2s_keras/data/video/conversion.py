"""From decoded frames to upright RGB arrays of one size, and FFmpeg's filters for it."""

import warnings
from fractions import Fraction

import numpy as np

from h2s_keras.errors import VideoError, VideoWarning


class FrameConverter:
    """Turns decoded frames into upright uint8 RGB arrays of one size.

    Of an interlaced frame only the upper field (its even rows) is used: its two fields are
    of different moments. A deinterlacer that looks at neighbouring frames would give other
    pixels after a seek, a field is the same whatever was decoded before.

    Args:
        size: None, the short side, or (height, width), as `read_frames`.
        path: the video, for errors.
    """

    def __init__(self, size, path):
        from av.video.reformatter import VideoReformatter

        if size is not None:
            sides = np.atleast_1d(size)
            if sides.shape not in ((1,), (2,)) or not (
                np.issubdtype(sides.dtype, np.integer) and (sides > 0).all()
            ):
                raise ValueError(
                    "`size` must be None, the short side, or (height, width) in whole "
                    f"pixels. Received: {size!r}"
                )
        self.size, self.path = size, path
        self.native, self.target = None, None
        self.warned = set()
        self.upper_field = FrameFilter(("field", "type=top"))
        self.reformatter = VideoReformatter()
        # One thread: clips are what runs in parallel.
        self.options = {"interpolation": exact_method(), "threads": 1}

    def picture_bytes(self, frame):
        """Bytes of the picture that a frame will become."""
        self.look(frame)
        return 3 * self.target[0] * self.target[1]

    def look(self, frame):
        """Takes the size of pictures from the first frame; warns of what is odd in one."""
        upright = upright_size(frame, frame_rotation(frame))
        if self.target is None:
            self.native, self.target = upright, _target_size(upright, self.size)
        elif upright != self.native:
            self._warn(
                f"changes its picture size from {self.native[1]} x {self.native[0]} to "
                f"{upright[1]} x {upright[0]} pixels on the way; all frames are scaled to "
                "the size of the first"
            )
        if frame.interlaced_frame:
            self._warn(
                "is marked as interlaced; of its frames only the upper field (every other "
                "row) is used"
            )

    def _warn(self, text):
        if text not in self.warned:
            self.warned.add(text)
            warnings.warn(f"{self.path}: {text}", VideoWarning, stacklevel=3)

    def __call__(self, frame):
        """The picture of an `av.VideoFrame`.

        Raises:
            VideoError: FFmpeg cannot convert such frames to RGB.
        """
        import av

        turns = frame_rotation(frame)
        self.look(frame)
        height, width = self.target[::-1] if turns % 2 else self.target
        try:
            shown = self.upper_field(frame) if frame.interlaced_frame else frame
            picture = self.reformatter.reformat(
                shown, width=width, height=height, format="rgb24", **self.options
            ).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise VideoError(
                self.path,
                f"gives frames ({frame.format.name}, colour matrix {frame.colorspace}) "
                f"that cannot be turned into RGB ({why}); convert it to yuv420p of bt709",
            ) from None
        return np.ascontiguousarray(apply_rotation(picture, turns))


def upright_size(frame, turns):
    size = (frame.height, frame.width)
    return size[::-1] if turns % 2 else size


def _target_size(native, size):
    if size is None:
        return native
    if np.ndim(size) == 1:
        return tuple(int(side) for side in size)
    scale = min(1.0, size / min(native))
    return tuple(max(1, round(side * scale)) for side in native)


def exact_method():
    """The scaler's settings: bilinear, and no short cuts on chroma or at odd widths."""
    from av.video.reformatter import Interpolation

    return (
        Interpolation.BILINEAR
        | Interpolation.ACCURATE_RND
        | Interpolation.BITEXACT
        | Interpolation.FULL_CHR_H_INT
        | Interpolation.FULL_CHR_H_INP
    )


def frame_rotation(frame):
    """Quarter turns against the clock that show a decoded frame upright (0, 1, 2, 3)."""
    return round(getattr(frame, "rotation", 0) / 90) % 4


def apply_rotation(array, quarter_turns):
    """Turns (height, width, channels) by quarter turns against the clock.

    Args:
        array: the picture as decoded.
        quarter_turns: as `frame_rotation`.
    """
    return np.rot90(array, quarter_turns, axes=(0, 1)) if quarter_turns else array


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
