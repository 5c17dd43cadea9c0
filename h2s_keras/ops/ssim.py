"""Structural similarity over the 8x8 patches of the released loss."""

import numpy as np
from keras import ops

from h2s_keras.ops.flow import size_of
from h2s_keras.tensor_types import Tensor

PATCH = 8


def gaussian_window(
    size: int = PATCH, sigma: float = 16 / 12, centre: float = 4.0
) -> Tensor:
    """Gaussian weights (size, size), float32, summing to 1."""
    line = np.exp(-((np.arange(size) - centre) ** 2) / (2 * sigma**2))
    window = np.outer(line, line)
    return (window / window.sum()).astype("float32")


def patch_ssim(first: Tensor, second: Tensor, c1: float = 1e-4, c2: float = 1e-3) -> Tensor:
    """SSIM of two images in 8x8 patches with stride 8, one value per patch and channel.

    Patches that reach over the right or lower edge are kept, with the window's weights
    inside the image and not renormalised: a 7x7 image has one patch. Computed in
    float32.

    Args:
        first, second: float (n, height, width, channels), values about 0..1.
        c1, c2: stabilisers of the means and of the variances.

    Returns:
        float32 (n, ceil(height / 8), ceil(width / 8), channels), at most 1; 1 for equal
        images.

    Example:
        >>> patch_ssim(image, image)        # ones

    Reference: Wang et al. 2004; window and constants of the released SSIM layer.
    """
    first, second = ops.cast(first, "float32"), ops.cast(second, "float32")
    mean_1, mean_2 = _patch_mean(first), _patch_mean(second)
    variance_1 = _patch_mean(ops.square(first)) - ops.square(mean_1)
    variance_2 = _patch_mean(ops.square(second)) - ops.square(mean_2)
    covariance = _patch_mean(first * second) - mean_1 * mean_2
    numerator = (2.0 * mean_1 * mean_2 + c1) * (2.0 * covariance + c2)
    denominator = (ops.square(mean_1) + ops.square(mean_2) + c1) * (
        variance_1 + variance_2 + c2
    )
    return numerator / denominator


def _patch_mean(image):
    """Window-weighted sums of the patches: (n, rows, columns, channels)."""
    height, width, channels = size_of(image, 1), size_of(image, 2), image.shape[-1]
    below, right = -height % PATCH, -width % PATCH
    padded = ops.pad(image, ((0, 0), (0, below), (0, right), (0, 0)))
    rows, columns = (height + below) // PATCH, (width + right) // PATCH
    patches = ops.reshape(padded, (-1, rows, PATCH, columns, PATCH, channels))
    return ops.einsum("nricjx,ij->nrcx", patches, gaussian_window())
