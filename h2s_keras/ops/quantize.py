"""Between flow in pixels and the 0..255 images that a temporal CNN reads."""

from keras import ops

from h2s_keras.tensor_types import Tensor


def quantize_flow(flow: Tensor, bound: float = 20.0, levels: int | None = None) -> Tensor:
    """Clips flow to [-bound, bound] and maps it onto 0..255.

    Args:
        flow: float tensor of any shape, pixels of full resolution.
        bound: pixels; +-bound become 255 and 0 (published: 20).
        levels: None for no rounding (the released graph), or the number of values kept:
            256 gives the integers of stored flow. Rounding passes its gradient straight
            through; clipping stops it outside the bound.

    Returns:
        float tensor, shape and dtype of `flow`, values 0..255.

    Example:
        >>> quantize_flow(ops.convert_to_tensor([-30.0, 0.0, 20.0]))     # 0, 127.5, 255

    Reference: arXiv 1704.00389, section 3.2; "+20, x6.375" of the released prototxt.
    """
    unit = (ops.clip(flow, -bound, bound) + bound) / (2.0 * bound)
    if levels is None:
        return unit * 255.0
    steps = levels - 1
    rounded = ops.round(unit * steps) / steps
    return (unit + ops.stop_gradient(rounded - unit)) * 255.0


def dequantize_flow(values: Tensor, bound: float = 20.0) -> Tensor:
    """Inverse of `quantize_flow`: 0..255 back to pixels, float32 for integer input.

    What was clipped stays clipped; rounding to 256 levels leaves at most bound/255.
    """
    values = ops.convert_to_tensor(values)
    if "float" not in str(values.dtype):
        values = ops.cast(values, "float32")
    return values * (2.0 * bound / 255.0) - bound


def flow_to_uint8(flow: Tensor, bound: float = 20.0) -> Tensor:
    """Flow as uint8, for storing beside video: 256 levels of `quantize_flow`."""
    return ops.cast(ops.round(quantize_flow(flow, bound)), "uint8")
