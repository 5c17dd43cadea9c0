"""Convolutions whose channels come in eights, as the matrix units of a GPU take them."""

import keras
from keras import ops

from h2s_keras.tensor_types import Tensor

HALF = ("float16", "bfloat16")
MULTIPLE = 8


def aligned_convolution(
    layer: keras.layers.Layer, inputs: Tensor, frames: int | None = None
) -> Tensor:
    """`layer(inputs)`, in half precision with zero channels up to a multiple of 8.

    Without them cuDNN copies inputs and outputs of 33, 212 or 20 channels to wider ones
    before and after the convolution, and back: a fifth of MotionNet's time on a GPU
    (docs/performance.md, "On a GPU").

    Args:
        layer: built Conv2D or Conv2DTranspose, channels last, without activation, groups,
            dilation or output padding.
        inputs: (batch, height, width, channels); channels beyond the kernel's are zero,
            as an earlier call left them.
        frames: of the clip that `inputs` are, as `aligned_clip` and `clip_to_channels`
            made it; None for other inputs.

    Returns:
        (batch, height, width, channels) in the layer's compute dtype. In half precision the
        filters are followed by zero channels up to a multiple of 8; in float32 the result
        is the layer's own.

    Example:
        >>> layer = keras.layers.Conv2D(20, 3, padding="same", dtype="mixed_bfloat16")
        >>> layer.build((None, 8, 8, 33))
        >>> aligned_convolution(layer, ops.ones((1, 8, 8, 33))).shape     # 4 are zero
        (1, 8, 8, 24)
    """
    dtype = layer.compute_dtype
    if dtype not in HALF:
        return layer(inputs)
    inputs = ops.cast(inputs, dtype)
    inputs = pad_channels(inputs, aligned_width(inputs.shape[-1]))
    into, filters = inputs.shape[-1], aligned_width(layer.filters)
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    sides = (filters, into) if transposed else (into, filters)
    kernel = ops.cast(layer.kernel, dtype)
    if frames is not None:
        kernel = _clip_kernel(kernel, frames)
    missing = [wide - own for wide, own in zip(sides, kernel.shape[2:], strict=True)]
    if any(missing):
        kernel = ops.pad(kernel, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])))
    convolve = ops.conv_transpose if transposed else ops.conv
    outputs = convolve(
        inputs,
        kernel,
        strides=list(layer.strides),
        padding=layer.padding,
        data_format="channels_last",
    )
    if layer.use_bias:
        bias = ops.cast(layer.bias, dtype)
        outputs = outputs + pad_channels(bias, filters)
    return outputs


def aligned_clip(clips: Tensor, dtype: str) -> Tensor:
    """A clip whose frames, laid side by side as channels, make a multiple of 8.

    A zero channel in every frame and a zero frame where their number is odd come at no
    cost with the transposition; zeros behind 33 channels would be a copy of their own.

    Args:
        clips: (batch, time, height, width, 3).
        dtype: that of the convolution that reads them; as it is in float32.

    Returns:
        In half precision (batch, time or time + 1, height, width, 4).
    """
    if dtype not in HALF:
        return clips
    odd = clips.shape[1] % 2
    return ops.pad(clips, ((0, 0), (0, odd), (0, 0), (0, 0), (0, 1)))


def _clip_kernel(kernel, frames):
    """The kernel over the channels of a clip, with zeros where `aligned_clip` has them."""
    height, width, channels, filters = kernel.shape
    kernel = ops.reshape(kernel, (height, width, frames, channels // frames, filters))
    kernel = ops.pad(kernel, ((0, 0), (0, 0), (0, frames % 2), (0, 1), (0, 0)))
    return ops.reshape(kernel, (height, width, -1, filters))


def aligned_width(channels: int) -> int:
    """The next multiple of 8."""
    return -(-channels // MULTIPLE) * MULTIPLE


def cut_channels(tensor: Tensor, width: int) -> Tensor:
    """The first `width` channels, without what alignment put behind them."""
    return tensor if tensor.shape[-1] == width else tensor[..., :width]


def pad_channels(tensor: Tensor, width: int) -> Tensor:
    """Zeros after the last axis up to `width`."""
    missing = width - tensor.shape[-1]
    if not missing:
        return tensor
    return ops.pad(tensor, [(0, 0)] * (len(tensor.shape) - 1) + [(0, missing)])
