"""Inputs that a suite and its peers make alike, from NumPy alone."""

import numpy as np


def warp_inputs(shape, seed=0):
    """(image, smooth flow of some pixels, upstream gradient), float32, channels last."""
    generator = np.random.default_rng(seed)
    batch, height, width, channels = shape
    image = generator.normal(size=shape).astype("float32")
    coarse = generator.normal(0.0, 3.0, (batch, 8, 8, 2))
    rows, columns = _interpolation(height), _interpolation(width)
    flow = np.einsum("yi,xj,bijc->byxc", rows, columns, coarse).astype("float32")
    upstream = generator.normal(size=shape).astype("float32")
    return image, flow, upstream


def _interpolation(length, source=8):
    position = np.linspace(0, source - 1, length)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(source)))
