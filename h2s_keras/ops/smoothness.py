"""First-order smoothness of a flow field."""

from keras import ops

from h2s_keras.ops.charbonnier import charbonnier


def flow_smoothness(flow, mask=None, scale=1.0, alpha=0.3, epsilon=1e-3):
    """Mean Charbonnier penalty of the forward differences of flow, per field.

    Four differences count: of u and of v, in x and in y. The last column (for x) and
    the last row (for y), where a forward difference is undefined, are left out.

    Args:
        flow: float (n, height, width, 2), pixels of its own grid.
        mask: None or float (height, width), 1 where a pixel counts.
        scale: flow is multiplied by it before the penalty.
        alpha, epsilon: of `charbonnier`.

    Returns:
        float32 (n,): mean over the pixels that count, averaged over the differences.

    Source: arXiv 1704.00389, equation 2.
    """
    scaled = ops.cast(flow, "float32") * scale
    in_x = scaled[:, :, 1:] - scaled[:, :, :-1]
    in_y = scaled[:, 1:] - scaled[:, :-1]
    mask_x = None if mask is None else mask[:, :-1]
    mask_y = None if mask is None else mask[:-1]
    return 0.5 * (
        masked_mean(charbonnier(in_x, alpha, epsilon), mask_x)
        + masked_mean(charbonnier(in_y, alpha, epsilon), mask_y)
    )


def masked_mean(values, mask=None):
    """Mean of (n, height, width, c) over all but n, counting only where mask is 1.

    Normalised by the sum of the mask, so that the border never changes the scale.
    """
    if mask is None:
        return ops.mean(values, axis=(1, 2, 3))
    weighted = ops.sum(values * mask[None, :, :, None], axis=(1, 2, 3))
    return weighted / (ops.maximum(ops.sum(mask), 1.0) * values.shape[-1])


def border_mask(height, width, fraction=0.1):
    """float32 (height, width): 0 in a border of `fraction` of the short side, else 1.

    Pixels near the border leave the image between two frames, so a photometric
    difference there says nothing of motion. The border is rounded up.
    """
    height_f, width_f = ops.cast(height, "float32"), ops.cast(width, "float32")
    border = ops.ceil(ops.minimum(height_f, width_f) * fraction)
    y = ops.arange(height, dtype="float32")
    x = ops.arange(width, dtype="float32")
    rows = ops.cast((y >= border) & (y < height_f - border), "float32")
    columns = ops.cast((x >= border) & (x < width_f - border), "float32")
    return rows[:, None] * columns[None, :]
