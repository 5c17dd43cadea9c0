from typing import Any

import keras
from keras import ops

from h2s_keras.metrics.known_flow import known_flow
from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class EndPointError(keras.metrics.Mean):
    """Mean Euclidean distance between estimated and true flow, in pixels.

    Pixels whose true flow is unknown (NaN, or above 1e9 as Middlebury stores it) do not
    count.

    Args:
        name, dtype: as for every metric.

    Call arguments of update_state:
        y_true, y_pred: float (..., height, width, 2), pixels of one grid.
        sample_weight: None, or broadcastable to (..., height, width).

    Example:
        >>> metric = EndPointError()
        >>> metric.update_state(ops.zeros((1, 2, 2, 2)), 3 * ops.ones((1, 2, 2, 2)))
        >>> float(metric.result())      # sqrt(18)
        4.2426...

    Reference: Baker et al. 2011, section 4.1.
    """

    def __init__(self, name: str = "end_point_error", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Any:
        truth, estimate, weight = known_flow(y_true, y_pred, sample_weight)
        distance = ops.sqrt(ops.sum(ops.square(estimate - truth), axis=-1))
        return super().update_state(distance, sample_weight=weight)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}
