"""From decoded frames to upright RGB arrays of one size."""

from fractions import Fraction

import numpy as np

from h2s_keras.data.images import (
    apply_rotation,
    exact_method,
    frame_rotation,
    is_mirrored,
)
from h2s_keras.errors import VideoError


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
        self.target = None
        self.fields = None
        self.reformatter = VideoReformatter()
        # One thread: clips are what runs in parallel.
        self.options = {"interpolation": exact_method(), "threads": 1}

    def picture_bytes(self, frame):
        """Bytes of the picture that a frame will become."""
        upright = upright_size(frame, frame_rotation(frame))
        height, width = _target_size(upright, self.size)
        return 3 * height * width

    def __call__(self, frame):
        """The picture of an `av.VideoFrame`.

        Raises:
            VideoError: FFmpeg cannot convert such frames to RGB.
        """
        import av

        turns = frame_rotation(frame)
        if self.target is None:
            self.target = _target_size(upright_size(frame, turns), self.size)
        height, width = self.target[::-1] if turns % 2 else self.target
        try:
            shown = self._upper_field(frame) if frame.interlaced_frame else frame
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
        return np.ascontiguousarray(apply_rotation(picture, turns, is_mirrored(frame)))

    def _upper_field(self, frame):
        kind = (frame.width, frame.height, frame.format.name)
        if self.fields is None or self.fields.kind != kind:
            self.fields = _Fields(frame, kind)
        return self.fields.upper(frame)


class _Fields:
    """FFmpeg's filter `field` for frames of one kind."""

    def __init__(self, frame, kind):
        from av.filter import Graph

        self.kind, self.graph = kind, Graph()
        self.source = self.graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or Fraction(1, 25),
        )
        self.sink = self.graph.add("buffersink")
        self.graph.link_nodes(self.source, self.graph.add("field", "type=top"), self.sink)
        self.graph.configure()

    def upper(self, frame):
        self.source.push(frame)
        return self.sink.pull()


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
