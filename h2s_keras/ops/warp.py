"""Backward warp: the differentiable bilinear look-up that MotionNet learns from."""

from typing import Any

from keras import ops

from h2s_keras.ops.backend_forms import take_rows
from h2s_keras.ops.flow import size_of
from h2s_keras.tensor_types import Tensor

PADDINGS = ("zeros", "border")


def backward_warp(
    image: Tensor, flow: Tensor, padding: str = "zeros", return_mask: bool = False
) -> Any:
    """Samples `image` at every pixel's position plus its flow.

        warped[b, y, x] = image[b, y + flow[b, y, x, 1], x + flow[b, y, x, 0]]

    with bilinear interpolation between the four neighbours. Differentiable in both
    arguments; the gradient in flow is that of the bilinear surface, one-sided at whole
    pixels. Infinite flow lies outside the image like any large one; where flow is NaN the
    result is NaN (XLA may clamp NaN to a position). Neither crashes nor touches another
    pixel.

    Args:
        image: (batch, height, width, channels), any dtype.
        flow: float (batch, height, width, 2) = (x, y) in pixels of this grid.
            Coordinates are computed in float32 whatever the dtypes: a float16 grid has
            steps of 0.25 beyond pixel 256.
        padding: "zeros": each of the four taps that lies outside contributes zero (as
            in the released model). "border": positions are clamped to the image.
        return_mask: also return float32 (batch, height, width, 1), 1 where the sampled
            position lies inside the image.

    Returns:
        The warped image, shape and dtype of `image`, float32 for integers; with
        `return_mask` a pair.

    Raises:
        ValueError: for another padding, ranks other than 4, or flow without 2 channels.

    Example:
        >>> image = ops.reshape(ops.arange(9, dtype="float32"), (1, 3, 3, 1))
        >>> right = ops.concatenate([ops.ones((1, 3, 3, 1)), ops.zeros((1, 3, 3, 1))], -1)
        >>> backward_warp(image, right)[0, :, :, 0]     # +1 in x: the right neighbour
        [[1.0, 2.0, 0.0], [4.0, 5.0, 0.0], [7.0, 8.0, 0.0]]

    Reference: Jaderberg et al. 2015, equation 5; the warp of arXiv 1704.00389, section 3.1.
    """
    check_grids(image, flow, padding)
    if "float" not in str(image.dtype):
        image = ops.cast(image, "float32")
    dtype = image.dtype
    height, width, channels = size_of(image, 1), size_of(image, 2), image.shape[-1]
    flow = ops.cast(flow, "float32")
    x = flow[..., 0] + ops.arange(width, dtype="float32")
    y = flow[..., 1] + ops.expand_dims(ops.arange(height, dtype="float32"), 1)

    mask = None
    if return_mask:
        inside = _is_inside(x, width) & _is_inside(y, height)
        mask = ops.expand_dims(ops.cast(inside, "float32"), -1)
    flat = ops.reshape(ops.cast(image, "float32"), (-1, channels))
    first_row = ops.arange(size_of(image, 0), dtype="int32") * height
    first_row = ops.reshape(first_row, (-1, 1, 1))

    warped, columns = 0.0, _taps(x, width, padding)
    for row, weight_y in _taps(y, height, padding):
        start = (first_row + row) * width
        for column, weight_x in columns:
            weight = ops.expand_dims(weight_y * weight_x, -1)
            warped = warped + weight * take_rows(flat, start + column)
    warped = ops.cast(warped, dtype)
    return (warped, mask) if return_mask else warped


def _taps(position, length, padding):
    """Of the two whole pixels around every position on one axis (index, weight)."""
    last = _last(length)
    if padding == "border":
        position = ops.clip(position, 0.0, last)
    else:
        # Beyond one pixel outside every tap is zero; clamping there keeps the integer
        # conversion below defined for any flow without changing the result.
        position = ops.clip(position, -2.0, last + 2.0)
    low = ops.floor(position)
    fraction = position - low
    taps = []
    for place, weight in ((low, 1.0 - fraction), (low + 1.0, fraction)):
        if padding == "zeros":
            weight = weight * ops.cast(_is_inside(place, length), "float32")
        # Clamped after the conversion too: NaN converts to an arbitrary integer.
        taps.append((ops.clip(ops.cast(place, "int32"), 0, length - 1), weight))
    return taps


def _is_inside(position, length):
    return (position >= 0.0) & (position <= _last(length))


def _last(length):
    """The last pixel of an axis, as float."""
    return length - 1.0 if isinstance(length, int) else ops.cast(length, "float32") - 1.0


def check_grids(image: Tensor, flow: Tensor, padding: str) -> None:
    """ValueError unless `backward_warp` takes these."""
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {PADDINGS}; received {padding!r}.")
    if len(image.shape) != 4 or len(flow.shape) != 4 or flow.shape[-1] != 2:
        raise ValueError(
            "backward_warp takes image (batch, height, width, channels) and flow (batch, "
            f"height, width, 2); received {tuple(image.shape)} and {tuple(flow.shape)}. "
            "Fold the pairs of a clip into the batch first."
        )
    for axis, name in ((1, "height"), (2, "width")):
        one, two = image.shape[axis], flow.shape[axis]
        if one is not None and two is not None and one != two:
            raise ValueError(
                f"Image and flow must lie on one grid; their {name} differs: "
                f"{tuple(image.shape)} and {tuple(flow.shape)}. Use "
                "resize_flow(flow[:, None], size)[:, 0] first."
            )
