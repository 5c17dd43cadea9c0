"""Soft census transform: brightness patterns that survive a change of light."""

import numpy as np
from keras import ops

from h2s_keras.ops.flow import size_of
from h2s_keras.tensor_types import Tensor

# Rounds off differences of a few grey levels, so that noise does not decide a pattern.
_SOFTNESS = 0.81
_SATURATION = 0.1


def census_transform(image: Tensor, radius: int = 3) -> Tensor:
    """Differences of every pixel to its neighbours, squashed to about -1..1.

    Args:
        image: float (n, height, width, 3), grey levels 0..255 up to an offset.
        radius: the neighbourhood is (2 radius + 1)^2; the image is mirrored at its edges.

    Returns:
        float32 (n, height, width, (2 radius + 1)^2 - 1).

    Example:

    ```python
    census_transform(ops.ones((1, 8, 8, 3)))[0, 4, 4]       # zeros: no structure
    ```

    Reference: Meister, Hur and Roth 2018 (UnFlow), section 3; soft form of Stein 2004.
    """
    grey = ops.mean(ops.cast(image, "float32"), axis=-1, keepdims=True)
    padded = grey
    for axis in (1, 2):
        padded = ops.take(padded, _mirrored(size_of(grey, axis), radius), axis=axis)
    kernel = _picker(radius)
    neighbours = ops.conv(padded, kernel, padding="valid", data_format="channels_last")
    difference = neighbours - grey
    return difference / ops.sqrt(_SOFTNESS + ops.square(difference))


def census_distance(first: Tensor, second: Tensor, radius: int = 3) -> Tensor:
    """How unlike the patterns around each pixel are: 0 for the same, at most about 1.

    Differentiable everywhere: each neighbour costs d^2 / (0.1 + d^2), averaged.

    Args:
        first, second: float (n, height, width, 3), grey levels 0..255 up to an offset.
        radius: radius of the neighbourhood.

    Returns:
        float32 (n, height, width, 1).

    Example:

    ```python
    census_distance(image, image + 20.0)        # zeros
    ```

    Reference: Meister, Hur and Roth 2018 (UnFlow), section 3; constants as in its released
    code. It sums over the neighbours where this is their mean, takes grey as 0.30 R +
    0.59 G + 0.11 B where this is the mean of the channels, and leaves out the pixels whose
    neighbourhood reaches over the edge, which is mirrored here.
    """
    squared = ops.square(census_transform(first, radius) - census_transform(second, radius))
    return ops.mean(squared / (_SATURATION + squared), axis=-1, keepdims=True)


def _mirrored(length, radius):
    """Indices of an axis with `radius` more at both ends, mirrored at the edges.

    Not ops.pad(mode="symmetric"): PyTorch repeats the edge there.
    """
    index = ops.arange(-radius, length + radius, dtype="int32")
    index = ops.where(index < 0, -1 - index, index)
    index = ops.where(index >= length, 2 * length - 1 - index, index)
    # Images smaller than the radius end in their last pixel.
    return ops.clip(index, 0, length - 1)


def _picker(radius):
    """Kernel (size, size, 1, size^2 - 1) that lays every neighbour in a channel."""
    size = 2 * radius + 1
    eye = np.eye(size * size, dtype="float32").reshape(size, size, 1, size * size)
    centre = size * size // 2
    return np.delete(eye, centre, axis=-1)
