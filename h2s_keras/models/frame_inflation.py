"""A MotionNet of many frames that begins with what one of two frames knows."""

from typing import Any

import keras
import numpy as np
from keras import ops


def inflate_frames(motion_net: Any, source: keras.Model) -> None:
    """Fills `motion_net` so that at first every pair gets the flow of the middle pair.

    Where motion hardly changes within a clip that is nearly right, and learning goes on
    from there; from random weights a network of 11 frames stays at zero flow for long.

    Args:
        motion_net: MotionNet of more than 2 frames.
        source: MotionNet of 2 frames and of the same variant and options.

    Raises:
        ValueError: if `source` has another number of frames or other layers.

    Example:

    ```python
    inflate_frames(MotionNet(11, "tiny"), MotionNet.from_preset("tiny_synthetic"))
    ```
    """
    if source.num_frames != 2:
        raise ValueError(f"only a MotionNet of 2 frames; received {source.num_frames}.")
    for name in ("variant", "intermediate_convolution", "small_displacement"):
        one, other = getattr(motion_net, name), getattr(source, name)
        if one != other:
            raise ValueError(f"the two networks differ in {name}: {one!r} and {other!r}.")
    for network in (motion_net, source):
        if not network.built:
            network.build((None, network.num_frames, None, None, 3))
    pairs = motion_net.num_frames - 1
    first = 3 * ((pairs - 1) // 2)
    stem, own_stem = source.convolutions[0], motion_net.convolutions[0]
    kernel = np.zeros(own_stem.kernel.shape, "float32")
    kernel[:, :, first : first + 6] = _numpy(stem.kernel)
    updates = [(own_stem, kernel, _numpy(stem.bias))]
    for one, other in zip(
        motion_net.convolutions[1:], source.convolutions[1:], strict=True
    ):
        updates.append((one, _numpy(other.kernel), _numpy(other.bias)))

    head, known = motion_net.head, source.head
    smooth = bool(known.smooth_convolutions)
    for level, (one, other) in enumerate(
        zip(head.deconvolutions, known.deconvolutions, strict=True)
    ):
        kernel = _numpy(other.kernel)
        if level and not smooth:
            kernel = _wider(kernel, pairs, axis=3)
        updates.append((one, kernel, _numpy(other.bias)))
    for one, other in zip(head.upsamplings, known.upsamplings, strict=True):
        grown = np.zeros(one.kernel.shape, "float32")
        for pair in range(pairs):
            own = slice(2 * pair, 2 * pair + 2)
            grown[:, :, own, own] = _numpy(other.kernel)
        updates.append((one, grown, np.tile(_numpy(other.bias), pairs)))
    for one, other in zip(head.smooth_convolutions, known.smooth_convolutions, strict=True):
        updates.append((one, _wider(_numpy(other.kernel), pairs), _numpy(other.bias)))
    for level, (one, other) in enumerate(
        zip(head.flow_convolutions, known.flow_convolutions, strict=True)
    ):
        kernel = _numpy(other.kernel)
        if level and not smooth:
            kernel = _wider(kernel, pairs)
        kernel = np.tile(kernel, (1, 1, 1, pairs))
        updates.append((one, kernel, np.tile(_numpy(other.bias), pairs)))
    wrong = [
        layer.name
        for layer, kernel, _ in updates
        if kernel.shape != tuple(layer.kernel.shape)
    ]
    if wrong:
        raise ValueError(f"the layer {wrong[0]} is of another shape in the two networks.")
    for layer, kernel, bias in updates:
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)


def _wider(kernel, pairs, axis=2):
    """Of a convolution whose last two inputs are flow: the mean over all pairs' flows."""
    rest, flow = np.split(kernel, [kernel.shape[axis] - 2], axis=axis)
    repeats = [1] * kernel.ndim
    repeats[axis] = pairs
    return np.concatenate([rest, np.tile(flow, repeats) / pairs], axis=axis)


def _numpy(variable):
    return ops.convert_to_numpy(variable)
