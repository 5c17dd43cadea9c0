"""Local response normalisation across channels."""

from keras import ops

from h2s_keras.tensor_types import Tensor


def local_response_normalization(
    inputs: Tensor,
    radius: int = 4,
    bias: float = 1.0,
    alpha: float = 1.0 / 9,
    beta: float = 0.7,
) -> Tensor:
    """x / (bias + alpha * sum of x^2 over the neighbouring channels)^beta.

    Args:
        inputs: (..., channels), any dtype.
        radius: neighbours on each side; 4 gives the published window of 9 channels.
        bias, alpha, beta: published 1, 1/9, 0.7.

    Returns:
        Tensor of the shape and dtype of `inputs`, float32 for integers; computed in
        float32.

    Reference: Krizhevsky et al. 2012, section 3.3; the input of the released losses.
    """
    values = ops.cast(inputs, "float32")
    dtype = inputs.dtype if "float" in str(inputs.dtype) else "float32"
    squares = ops.square(values)
    channels = inputs.shape[-1]
    if channels <= radius + 1:
        # Every window holds all channels.
        total = ops.sum(squares, axis=-1, keepdims=True)
    else:
        widths = [(0, 0)] * (len(inputs.shape) - 1) + [(radius, radius)]
        padded = ops.pad(squares, widths)
        total = 0.0
        for offset in range(2 * radius + 1):
            total = total + padded[..., offset : offset + channels]
    return ops.cast(values / ops.power(bias + alpha * total, beta), dtype)
