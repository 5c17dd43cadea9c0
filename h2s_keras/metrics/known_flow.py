"""Which pixels of true flow count: one rule for every metric of flow."""

from keras import ops

from h2s_keras.tensor_types import Tensor


def known_flow(
    y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Drops the pixels whose true flow is unknown: NaN, or above 1e9 (Middlebury).

    Args:
        y_true, y_pred: float (..., height, width, 2), pixels of one grid.
        sample_weight: None, or broadcastable to (..., height, width).

    Returns:
        (truth, estimate, weight): float32, both flows 0 where the truth is unknown, and
        the weight (..., height, width), 0 there.
    """
    y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    known = ops.all(ops.abs(y_true) < 1e9, axis=-1)  # False for NaN as well
    truth, estimate = (ops.where(known[..., None], flow, 0.0) for flow in (y_true, y_pred))
    weight = ops.cast(known, "float32")
    if sample_weight is not None:
        weight = weight * ops.cast(sample_weight, "float32")
    return truth, estimate, weight
