"""Conventions of clips and flow, and the operations that only rearrange them.

Flow is (..., 2) = (x, y) with x to the right and y down, in pixels of the grid it
lies on. Flow of pair t lies on frame t and points to frame t+1:

    frame_t(y, x) ~ frame_{t+1}(y + flow_y, x + flow_x)

All pairs of a clip are (batch, time-1, height, width, 2). As channels for a CNN they
are (batch, height, width, 2*(time-1)) in the order u0 v0 u1 v1 ...
"""

from typing import Any

from keras import ops

from h2s_keras.ops.resize import resize_bilinear
from h2s_keras.tensor_types import Flows, Tensor


def size_of(tensor: Tensor, axis: int) -> Any:
    """Length of one axis: an int where it is known, else a scalar int32 tensor."""
    length = tensor.shape[axis]
    return ops.shape(tensor)[axis] if length is None else length


def pixel_grid(height: Any, width: Any) -> Tensor:
    """Coordinates (x, y) of every pixel, float32 (height, width, 2).

    >>> pixel_grid(2, 3)[1, 2]      # x = 2, y = 1
    """
    x = ops.arange(width, dtype="float32")
    y = ops.arange(height, dtype="float32")
    return ops.stack(ops.meshgrid(x, y, indexing="xy"), axis=-1)


def clip_to_channels(clips: Tensor) -> Tensor:
    """(batch, time, height, width, c) -> (batch, height, width, time*c), frame by frame."""
    frames, channels = clips.shape[1], clips.shape[-1]
    height, width = size_of(clips, 2), size_of(clips, 3)
    stacked = ops.transpose(clips, (0, 2, 3, 1, 4))
    return ops.reshape(stacked, (-1, height, width, frames * channels))


def channels_to_clip(channels: Tensor, frames: int) -> Tensor:
    """(batch, height, width, frames*c) -> (batch, frames, height, width, c)."""
    height, width = size_of(channels, 1), size_of(channels, 2)
    shape = (-1, height, width, frames, channels.shape[-1] // frames)
    return ops.transpose(ops.reshape(channels, shape), (0, 3, 1, 2, 4))


def flow_to_channels(flow: Tensor) -> Tensor:
    """(batch, pairs, height, width, 2) -> (batch, height, width, 2*pairs), u0 v0 u1 ..."""
    return clip_to_channels(flow)


def channels_to_flow(channels: Tensor) -> Tensor:
    """(batch, height, width, 2*pairs) -> (batch, pairs, height, width, 2).

    Raises:
        ValueError: if the number of channels is odd.
    """
    count = channels.shape[-1]
    if count % 2:
        raise ValueError(
            f"Flow channels come in pairs u0 v0 u1 v1 ..., so their number is even; "
            f"received shape {tuple(channels.shape)}."
        )
    return channels_to_clip(channels, count // 2)


def level_names(outputs: Flows) -> list[str]:
    """Names of the flows among a model's outputs, finest first.

    >>> level_names({"logits": ..., "flow3": ..., "flow2": ...})
    ['flow2', 'flow3']
    """
    levels = [
        (int(name.removeprefix("flow")), name)
        for name in outputs
        if name.startswith("flow") and name.removeprefix("flow").isdecimal()
    ]
    return [name for _, name in sorted(levels)]


def resize_flow(flow: Tensor, size: Any) -> Tensor:
    """Resizes a flow field and scales its values with the grid.

    Args:
        flow: float (batch, pairs, height, width, 2), pixels of its own grid.
        size: (height, width) of the new grid.

    Returns:
        float (batch, pairs, new_height, new_width, 2), pixels of the new grid.

    Raises:
        ValueError: if flow has another rank or not two channels.
    """
    if len(flow.shape) != 5 or flow.shape[-1] != 2:
        raise ValueError(
            "resize_flow takes flow (batch, pairs, height, width, 2); received "
            f"{tuple(flow.shape)}. Give flow of one pair an axis: flow[:, None]."
        )
    pairs = flow.shape[1]
    height, width = size_of(flow, 2), size_of(flow, 3)
    flat = ops.reshape(flow, (-1, height, width, 2))
    resized = resize_bilinear(flat, size)
    ratio = ops.stack([_ratio(size[1], width), _ratio(size[0], height)])
    resized = resized * ops.cast(ratio, resized.dtype)
    return ops.reshape(resized, (-1, pairs, size[0], size[1], 2))


def _ratio(new, old):
    return ops.cast(new, "float32") / ops.cast(old, "float32")
