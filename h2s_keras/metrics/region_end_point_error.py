from typing import Any

import keras
from keras import ops

from h2s_keras.metrics.end_point_error import EndPointError
from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class RegionEndPointError(EndPointError):
    """End-point error in a part of the picture: near motion boundaries, or by speed.

    Args:
        region: "boundary", where the true flow changes by more than `threshold` pixels
            from a pixel to its neighbour, and around it; "interior", everywhere else; or
            (low, high), where the true speed is in [low, high) pixels per frame, high
            None for no limit (published bins (0, 10), (10, 40), (40, None)).
        threshold: pixels, for "boundary" and "interior".
        radius: pixels around a boundary that belong to it; 4 gives the 9x9 box of the
            Middlebury benchmark.
        name, dtype: as for every metric.

    Call arguments of update_state:
        y_true, y_pred: float (batch..., height, width, 2), pixels of one grid. Pixels
            whose true flow is unknown do not count and make no boundary.
        sample_weight: None, or broadcastable to (..., height, width).

    Returns:
        `result()` is the mean over the pixels of the region, 0 where there are none;
        `count` is their share of each picture, summed over pictures.

    Example:
        >>> slow = RegionEndPointError((0, 10), name="s0-10")

    Reference: Baker et al. 2011, section 4.1 (thresholded gradient of the true flow,
    dilated by a 9x9 box; the threshold is ours); Butler et al. 2012 (speeds).
    """

    def __init__(
        self,
        region: str = "boundary",
        threshold: float = 1.0,
        radius: int = 4,
        name: str = "region_epe",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        named = region in ("boundary", "interior")
        if not named and (isinstance(region, str) or len(region) != 2):
            raise ValueError(
                'region must be "boundary", "interior" or (low, high) in pixels; received '
                f"{region!r}."
            )
        self.region = region if named else tuple(region)
        self.threshold, self.radius = threshold, radius

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Any:
        y_true = ops.cast(y_true, "float32")
        known = ops.all(ops.abs(y_true) < 1e9, axis=-1)
        truth = ops.where(known[..., None], y_true, 0.0)
        if isinstance(self.region, str):
            inside = self._boundary(truth, known)
            if self.region == "interior":
                inside = ops.logical_not(inside)
        else:
            low, high = self.region
            speed = ops.sqrt(ops.sum(ops.square(truth), axis=-1))
            inside = speed >= low
            if high is not None:
                inside = ops.logical_and(inside, speed < high)
        weight = ops.cast(inside, "float32")
        if sample_weight is not None:
            weight = weight * ops.cast(sample_weight, "float32")
        return super().update_state(y_true, y_pred, sample_weight=weight)

    def _boundary(self, truth, known):
        """Bool (..., height, width), True within `radius` of a jump of the true flow."""
        shape = ops.shape(known)
        truth = ops.reshape(truth, (-1, *shape[-2:], 2))
        known = ops.reshape(known, (-1, *shape[-2:]))

        def jumps(first, second, first_known, second_known):
            size = ops.sqrt(ops.sum(ops.square(second - first), axis=-1))
            both = ops.logical_and(first_known, second_known)
            return ops.cast(ops.logical_and(size > self.threshold, both), "float32")

        down = jumps(truth[:, :-1], truth[:, 1:], known[:, :-1], known[:, 1:])
        right = jumps(truth[:, :, :-1], truth[:, :, 1:], known[:, :, :-1], known[:, :, 1:])
        # A jump belongs to the pixels on both of its sides.
        edges = ops.maximum(
            ops.maximum(
                ops.pad(down, ((0, 0), (1, 0), (0, 0))),
                ops.pad(down, ((0, 0), (0, 1), (0, 0))),
            ),
            ops.maximum(
                ops.pad(right, ((0, 0), (0, 0), (1, 0))),
                ops.pad(right, ((0, 0), (0, 0), (0, 1))),
            ),
        )
        size = 2 * self.radius + 1
        # Padded by hand: "same" of the backends differs where the box passes the edge.
        pad = (self.radius, self.radius)
        edges = ops.pad(edges[..., None], ((0, 0), pad, pad, (0, 0)))
        wide = ops.max_pool(
            edges, size, strides=1, padding="valid", data_format="channels_last"
        )
        return ops.reshape(wide[..., 0] > 0, shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "region": self.region,
            "threshold": self.threshold,
            "radius": self.radius,
        }
