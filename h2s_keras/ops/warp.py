"""Backward warp: the differentiable bilinear look-up that MotionNet learns from."""

from keras import ops

from h2s_keras.ops.backend_forms import take_rows
from h2s_keras.ops.flow import pixel_grid, size_of

PADDINGS = ("zeros", "border")


def backward_warp(image, flow, padding="zeros", return_mask=False):
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
        >>> backward_warp(image, right)[0, :, :, 0]     # a flow of +1 in x fetches from
        [[1, 2, 0], [4, 5, 0], [7, 8, 0]]               # the right neighbour

    Source: Jaderberg et al. 2015, equation 5; the warp of arXiv 1704.00389, section 3.1.
    """
    _validate(image, flow, padding)
    if "float" not in str(image.dtype):
        image = ops.cast(image, "float32")
    dtype = image.dtype
    height, width, channels = size_of(image, 1), size_of(image, 2), image.shape[-1]
    position = pixel_grid(height, width)[None] + ops.cast(flow, "float32")
    x, y = position[..., 0], position[..., 1]
    last_x = ops.cast(width, "float32") - 1.0
    last_y = ops.cast(height, "float32") - 1.0

    mask = None
    if return_mask:
        inside = (x >= 0.0) & (x <= last_x) & (y >= 0.0) & (y <= last_y)
        mask = ops.cast(inside, "float32")[..., None]
    if padding == "border":
        x, y = ops.clip(x, 0.0, last_x), ops.clip(y, 0.0, last_y)
    else:
        # Beyond one pixel outside every tap is zero; clamping there keeps the integer
        # conversion below defined for any flow without changing the result.
        x, y = ops.clip(x, -2.0, last_x + 2.0), ops.clip(y, -2.0, last_y + 2.0)

    left, top = ops.floor(x), ops.floor(y)
    fraction_x, fraction_y = x - left, y - top
    flat = ops.reshape(ops.cast(image, "float32"), (-1, channels))
    first_row = ops.arange(size_of(image, 0), dtype="int32")[:, None, None] * height

    warped = 0.0
    for row, weight_y in ((top, 1.0 - fraction_y), (top + 1.0, fraction_y)):
        for column, weight_x in ((left, 1.0 - fraction_x), (left + 1.0, fraction_x)):
            weight = weight_y * weight_x
            if padding == "zeros":
                inside = (column >= 0) & (column <= last_x) & (row >= 0) & (row <= last_y)
                weight = weight * ops.cast(inside, "float32")
            # Clamped after the conversion too: NaN converts to an arbitrary integer.
            column_index = ops.clip(ops.cast(column, "int32"), 0, width - 1)
            row_index = ops.clip(ops.cast(row, "int32"), 0, height - 1)
            index = (first_row + row_index) * width + column_index
            warped = warped + weight[..., None] * take_rows(flat, index)
    warped = ops.cast(warped, dtype)
    return (warped, mask) if return_mask else warped


def _validate(image, flow, padding):
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
                f"{tuple(image.shape)} and {tuple(flow.shape)}. Use resize_flow first."
            )
