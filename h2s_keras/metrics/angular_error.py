import math
from typing import Any

import keras
from keras import ops

from h2s_keras.metrics.known_flow import known_flow
from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class AngularError(keras.metrics.Mean):
    """Mean angle between estimated and true flow as directions in space-time, in degrees.

    Flow (u, v) is the direction (u, v, 1), so that small vectors have an angle too.
    Pixels whose true flow is unknown (NaN, or above 1e9) do not count.

    Args:
        name, dtype: as for every metric.

    Call arguments of update_state:
        y_true, y_pred: float (..., height, width, 2), pixels of one grid.
        sample_weight: None, or broadcastable to (..., height, width).

    Example:
        >>> metric = AngularError()
        >>> metric.update_state(ops.zeros((1, 1, 1, 2)), ops.array([[[[1.0, 0.0]]]]))
        >>> float(metric.result())
        45.0

    Reference: Baker et al. 2011, equation 1.
    """

    def __init__(self, name: str = "angular_error", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Any:
        y_true, y_pred, weight = known_flow(y_true, y_pred, sample_weight)
        # atan2 of the cross and the dot product: the arc cosine of the dot product alone
        # is off by a fiftieth of a degree near 0.
        planar = y_true[..., 0] * y_pred[..., 1] - y_true[..., 1] * y_pred[..., 0]
        apart = ops.sum(ops.square(y_true - y_pred), axis=-1)
        cross = ops.sqrt(ops.square(planar) + apart)
        dot = 1.0 + ops.sum(y_true * y_pred, axis=-1)
        angle = ops.arctan2(cross, dot) * (180.0 / math.pi)
        return super().update_state(angle, sample_weight=weight)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}
