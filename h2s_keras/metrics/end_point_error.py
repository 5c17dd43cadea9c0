import keras
from keras import ops


@keras.saving.register_keras_serializable(package="h2s_keras")
class EndPointError(keras.metrics.Mean):
    """Mean Euclidean distance between estimated and true flow, in pixels.

    Pixels whose true flow is unknown (NaN, or above 1e9 as Middlebury stores it) do not
    count.

    Args:
        name, dtype: as for every metric.

    Call arguments of `update_state`:
        y_true, y_pred: float (..., height, width, 2), pixels of one grid.
        sample_weight: None, or broadcastable to (..., height, width).

    Example:
        >>> metric = EndPointError()
        >>> metric.update_state(ops.zeros((1, 2, 2, 2)), 3 * ops.ones((1, 2, 2, 2)))
        >>> float(metric.result())      # sqrt(18)
        4.2426...

    Source: Baker et al. 2011, section 4.1.
    """

    def __init__(self, name="end_point_error", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, "float32")
        y_pred = ops.cast(y_pred, "float32")
        known = ops.all(ops.abs(y_true) < 1e9, axis=-1)  # False for NaN as well
        difference = ops.where(known[..., None], y_pred - y_true, 0.0)
        distance = ops.sqrt(ops.sum(ops.square(difference), axis=-1))
        weight = ops.cast(known, "float32")
        if sample_weight is not None:
            weight = weight * ops.cast(sample_weight, "float32")
        return super().update_state(distance, sample_weight=weight)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}
