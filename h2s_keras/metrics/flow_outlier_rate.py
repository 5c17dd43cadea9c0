from typing import Any

import keras
from keras import ops

from h2s_keras.metrics.known_flow import known_flow
from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class FlowOutlierRate(keras.metrics.Mean):
    """Share of pixels whose flow is badly wrong, 0 to 1: KITTI's Fl-all.

    A pixel is an outlier where its end-point error is above `pixels` and above
    `share` of the length of its true flow. Pixels whose true flow is unknown (NaN, or
    above 1e9) do not count.

    Args:
        pixels: largest error of a good pixel, published 3.
        share: the same as a share of the true length, published 0.05.
        name, dtype: as for every metric.

    Call arguments of update_state:
        y_true, y_pred: float (..., height, width, 2), pixels of one grid.
        sample_weight: None, or broadcastable to (..., height, width).

    Example:
        >>> metric = FlowOutlierRate()
        >>> metric.update_state(ops.zeros((1, 1, 1, 2)), ops.array([[[[4.0, 0.0]]]]))
        >>> float(metric.result())
        1.0

    Reference: Menze and Geiger, "Object Scene Flow for Autonomous Vehicles", 2015; the
    development kit of KITTI 2015 counts errors above both limits.
    """

    def __init__(
        self,
        pixels: float = 3.0,
        share: float = 0.05,
        name: str = "flow_outlier_rate",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if pixels < 0 or share < 0:
            raise ValueError(
                f"pixels and share must be 0 or more; received {pixels} and {share}."
            )
        self.pixels, self.share = pixels, share

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Any:
        truth, estimate, weight = known_flow(y_true, y_pred, sample_weight)
        error = ops.sqrt(ops.sum(ops.square(estimate - truth), axis=-1))
        length = ops.sqrt(ops.sum(ops.square(truth), axis=-1))
        # A guess that is not a number is wrong, and compares false with everything.
        good = ops.logical_or(error <= self.pixels, error <= self.share * length)
        return super().update_state(1.0 - ops.cast(good, "float32"), sample_weight=weight)

    def get_config(self) -> dict[str, Any]:
        return {
            "pixels": self.pixels,
            "share": self.share,
            "name": self.name,
            "dtype": self.dtype,
        }
