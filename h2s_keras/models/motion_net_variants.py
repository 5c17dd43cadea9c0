"""The networks that MotionNet can be: their layers, and what the first filters begin as."""

from typing import Any

import keras
import numpy as np
from keras import ops

# Rows of an encoder: (name, kernel, stride, filters, whether a flow level reads it).
VARIANTS: dict[str, dict[str, Any]] = {
    "motionnet": {
        "encoder": (
            ("conv1", 3, 1, 64, False),
            ("conv1_1", 3, 1, 64, False),
            ("conv2", 3, 2, 128, False),
            ("conv2_1", 3, 1, 128, True),
            ("conv3", 3, 2, 256, False),
            ("conv3_1", 3, 1, 256, True),
            ("conv4", 3, 2, 512, False),
            ("conv4_1", 3, 1, 512, True),
            ("conv5", 3, 2, 512, False),
            ("conv5_1", 3, 1, 512, True),
            ("conv6", 3, 2, 1024, False),
            ("conv6_1", 3, 1, 1024, True),
        ),
        "decoder": (512, 256, 128, 64),
        "scales": (0.625, 1.25, 2.5, 5.0, 10.0),
        "smooth_prefix": "smooth_conv",
    },
    "tiny": {
        "encoder": (
            ("conv1", 7, 1, 64, False),
            ("conv2", 5, 2, 128, True),
            ("conv3", 3, 2, 256, True),
            ("conv4", 3, 2, 128, True),
        ),
        "decoder": (128, 64),
        "scales": (2.5, 5.0, 10.0),
        "smooth_prefix": "xconv",
    },
    # A thirteenth of tiny's arithmetic. Half of it is spent on three layers at the size of
    # the finest flow: from coarse to fine that is where a pass earns its error.
    "small": {
        "encoder": (
            ("conv1", 5, 2, 32, False),
            ("conv2", 3, 1, 32, False),
            ("conv2_1", 3, 1, 32, True),
            ("conv3", 3, 2, 48, False),
            ("conv3_1", 3, 1, 48, True),
            ("conv4", 3, 2, 64, False),
            ("conv4_1", 3, 1, 64, True),
        ),
        "decoder": (32, 12),
        "scales": (2.5, 5.0, 10.0),
        "smooth_prefix": "xconv",
        "first_filters": "contrast",
    },
}


class ContrastFilters(keras.initializers.Initializer):
    """First filters that see contrast in space or change in time, but no brightness.

    A clip is mostly brightness, which puts every unit of a layer far to one side of its
    activation: what is left is a linear network, and the best linear guess is that nothing
    moves. Wide networks have units to spare and get away from it; narrow ones do not.

    Every second filter weighs a frame and the next one with opposite signs; the others have
    mean zero in each colour of each frame.

    Args:
        frames: of the clips.
        gain: contrast is about a sixth of full brightness.
    """

    def __init__(self, frames: int, gain: float = 6.0) -> None:
        self.frames, self.gain = frames, gain

    def __call__(self, shape, dtype=None):
        height, width, channels, filters = shape
        kernel = keras.initializers.HeNormal()(shape, dtype=dtype)
        split = (height, width, self.frames, channels // self.frames, filters)
        kernel = ops.reshape(kernel, split)
        contrast = kernel - ops.mean(kernel, axis=(0, 1), keepdims=True)
        # Filter 1 compares frames 0 and 1, filter 3 frames 1 and 2, and so on around.
        numbers = np.arange(filters)
        first = (numbers // 2) % (self.frames - 1)
        signs = np.zeros((self.frames, 1, filters), "float32")
        signs[first, 0, numbers], signs[first + 1, 0, numbers] = 1.0, -1.0
        change = kernel[:, :, :1] * ops.cast(signs, kernel.dtype)
        odd = ops.cast(numbers % 2, kernel.dtype)
        kernel = self.gain * (contrast + odd * (change - contrast))
        return ops.reshape(kernel, shape)

    def get_config(self) -> dict[str, Any]:
        return {"frames": self.frames, "gain": self.gain}
