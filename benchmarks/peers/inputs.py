"""Inputs that a suite and its peers make alike, from NumPy alone."""

import numpy as np

# What is measured of a warp, and in which of (image, flow) it has gradients.
WARP_KINDS = {"forward": (), "flow gradient": (1,), "image gradient": (0,)}


def warp_inputs(shape, seed=0):
    """(image, smooth flow of some pixels, upstream gradient), float32, channels last."""
    generator = np.random.default_rng(seed)
    batch, height, width, channels = shape
    image = generator.normal(size=shape).astype("float32")
    coarse = generator.normal(0.0, 3.0, (batch, 8, 8, 2))
    rows, columns = _interpolation(height), _interpolation(width)
    # In one sum over i and j full-size pictures would take a minute.
    flow = np.einsum("yi,xj,bijc->byxc", rows, columns, coarse, optimize=True)
    flow = flow.astype("float32")
    upstream = generator.normal(size=shape).astype("float32")
    return image, flow, upstream


def training_inputs(shape, classes, seed=0):
    """(uint8 clips whose content moves, labels): patterns that glide, with some noise."""
    generator = np.random.default_rng(seed)
    batch, frames, height, width, channels = shape
    coarse = generator.uniform(0.0, 255.0, (batch, height // 4 + 16, width // 4 + 16, 3))
    picture = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)
    clips = [picture[:, t : t + height, 2 * t : 2 * t + width] for t in range(frames)]
    clips = np.stack(clips, axis=1) + generator.normal(0.0, 4.0, shape)
    clips = np.clip(np.rint(clips), 0, 255).astype("uint8")
    return clips, generator.integers(0, classes, batch).astype("int32")


def _interpolation(length, source=8):
    position = np.linspace(0, source - 1, length)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(source)))
