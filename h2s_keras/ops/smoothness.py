"""Smoothness of a flow field: of first or second order, everywhere or away from edges."""

from typing import Any

from keras import ops

from h2s_keras.ops.charbonnier import charbonnier
from h2s_keras.ops.flow import size_of
from h2s_keras.tensor_types import Tensor


def flow_smoothness(
    flow: Tensor,
    mask: Tensor | None = None,
    alpha: float = 0.3,
    epsilon: float = 1e-3,
    order: int = 1,
    image: Tensor | None = None,
    edge_weight: float = 0.0,
    undefined: str = "skip",
) -> Tensor:
    """Charbonnier penalty of the differences of flow between neighbours, per field.

    The sum of four means over pixels: of the differences of u and of v, in x and in y.

    Args:
        flow: float (n, height, width, 2), pixels of its own grid.
        mask: None or float (height, width), 1 where a pixel counts.
        alpha, epsilon: of `charbonnier`.
        order: 1 for forward differences, which favour constant flow; 2 for differences of
            them, which leave any affine flow alone.
        image: float (n, height, width, channels) at the grid of flow, values about 0..1;
            needed with `edge_weight`.
        edge_weight: a difference counts `exp(-edge_weight |image difference|)`, the mean
            over channels, so that flow may jump where the image does. 0 counts all alike.
        undefined: of the last columns (for x) and rows (for y), where there is no
            difference. "skip" leaves them out. "zero" counts them as no difference, as
            the released graph does.

    Returns:
        float32 (n,): sum over the four differences of their means over the pixels that
        count.

    Raises:
        ValueError: for another order or `undefined`, or an edge weight without an image.

    Reference: arXiv 1704.00389, equation 2 (order 1, no edges). Edges and second order
    follow Jonschkowski et al. 2020 (UFlow), equation 4, with three differences: UFlow has
    an edge weight of 150 with alpha 0.5, takes half the sum, and for the second order takes
    the edge between the outer two of three pixels, which misses lines of one pixel.
    """
    if undefined not in ("skip", "zero"):
        raise ValueError(f"undefined must be 'skip' or 'zero'; received {undefined!r}.")
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2; received {order!r}.")
    if edge_weight and image is None:
        raise ValueError("edge_weight needs the image whose edges count; pass image.")
    flow = ops.cast(flow, "float32")
    total = 0.0
    for axis in (2, 1):
        difference = flow
        for _ in range(order):
            difference = _forward(difference, axis)
        penalty = charbonnier(difference, alpha, epsilon)
        if edge_weight:
            penalty = penalty * _edge_factor(image, axis, order, edge_weight)
        kept = None
        if undefined == "zero":
            # A penalty of no difference in the last rows or columns.
            widths = [(0, 0)] * 4
            widths[axis] = (0, order)
            penalty = ops.pad(penalty, widths, constant_values=epsilon ** (2 * alpha))
            kept = mask
        elif mask is not None:
            kept = mask[:, :-order] if axis == 2 else mask[:-order]
        total = total + masked_mean(penalty, kept)
    # Each mean is over u and v at once.
    return 2.0 * total


def _forward(values, axis):
    """Next minus this, along x (axis 2) or y (axis 1) of (n, height, width, c)."""
    if axis == 2:
        return values[:, :, 1:] - values[:, :, :-1]
    return values[:, 1:] - values[:, :-1]


def _edge_factor(image, axis, order, edge_weight):
    step = ops.abs(_forward(ops.cast(image, "float32"), axis))
    if order == 2:
        # The second difference spans two steps; an edge in either frees it.
        first = step[:, :, :-1] if axis == 2 else step[:, :-1]
        second = step[:, :, 1:] if axis == 2 else step[:, 1:]
        step = ops.maximum(first, second)
    return ops.exp(-edge_weight * ops.mean(step, axis=-1, keepdims=True))


def masked_mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of (n, height, width, c) over all but n, counting only where mask is 1.

    Normalised by the sum of the mask, so that the border never changes the scale.

    Args:
        values: float (n, height, width, c).
        mask: None, or float (height, width) or (n, height, width, 1).
    """
    if mask is None:
        height, width = size_of(values, 1), size_of(values, 2)
        # A field of one row has no differences in y, whose mean is 0 and not 0 / 0.
        counted = ops.maximum(ops.cast(height * width, "float32"), 1.0)
        return ops.sum(values, axis=(1, 2, 3)) / (counted * values.shape[-1])
    if len(mask.shape) == 2:
        mask = mask[None, :, :, None]
    weighted = ops.sum(values * mask, axis=(1, 2, 3))
    counted = ops.maximum(ops.sum(mask, axis=(1, 2, 3)), 1.0)
    return weighted / (counted * values.shape[-1])


def border_mask(height: Any, width: Any, fraction: float = 0.1) -> Tensor:
    """float32 (height, width): 0 in a border of `fraction` of the short side, else 1.

    Pixels near the border leave the image between two frames, so a photometric
    difference there says nothing of motion. The border is rounded to whole pixels, half
    up, as the released mask is: 11 at 112, 6 at 56, 3 at 28, 1 at 14 and 7.
    """
    height_f, width_f = ops.cast(height, "float32"), ops.cast(width, "float32")
    border = ops.floor(ops.minimum(height_f, width_f) * fraction + 0.5)
    y = ops.arange(height, dtype="float32")
    x = ops.arange(width, dtype="float32")
    rows = ops.cast((y >= border) & (y < height_f - border), "float32")
    columns = ops.cast((x >= border) & (x < width_f - border), "float32")
    return rows[:, None] * columns[None, :]
