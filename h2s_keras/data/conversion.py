"""From decoded frames to upright RGB arrays of one size."""

import numpy as np

from h2s_keras.data.images import apply_rotation, exact_method, frame_rotation


class FrameConverter:
    """Turns decoded frames into upright uint8 RGB arrays of one size."""

    def __init__(self, size):
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
        self.size = size
        self.target = None
        self.reformatter = VideoReformatter()
        self.method = exact_method()

    def __call__(self, frame):
        turns = frame_rotation(frame)
        if self.target is None:
            self.target = _target_size(upright_size(frame, turns), self.size)
        height, width = self.target[::-1] if turns % 2 else self.target
        picture = self.reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=self.method
        ).to_ndarray()
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
