from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from h2s_keras.ops.charbonnier import charbonnier
from h2s_keras.ops.flow import level_names, resize_flow, size_of
from h2s_keras.tensor_types import Flows, Shape, Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class SupervisedFlowLoss(keras.layers.Layer):
    """How far flow is from true flow, where that is known: on clips that a program made.

    At every level the true flow is shrunk to the level, and the end-point error counted in
    pixels of the finest level pays a Charbonnier penalty. Everything is float32 under any
    dtype policy.

    Args:
        level_weights: factor on each level, fine to coarse; the last holds for all beyond.
        alpha: exponent of the penalty (distance^2 + 0.01^2)^alpha; below 0.5 an error of
            a tenth of a pixel still counts beside one of many.

    Call arguments:
        truth: float (batch, time-1, height, width, 2), pixels of this grid, all known.
        flows: dict "flow{n}" -> float (batch, time-1, h, w, 2), pixels of its own grid.

    Returns:
        dict "end_point_error", weighted and summed over the levels, and the same as
        "total", each float32 (batch,).

    Raises:
        ValueError: if the number of pairs of truth and flows differ, there is no flow, or
            no level weight.

    Example:
        >>> truth = keras.ops.ones((2, 1, 64, 64, 2))
        >>> flows = {"flow2": keras.ops.ones((2, 1, 32, 32, 2)) / 2}
        >>> SupervisedFlowLoss()(truth, flows)["total"].shape       # (0.01^2)^0.4 each
        (2,)

    Reference: Dosovitskiy et al. 2015 (FlowNet), section 3; robust penalty of Sun et al.
    2018 (PWC-Net), equation 7.
    """

    terms = ("end_point_error",)
    occlusion = None

    def __init__(
        self,
        level_weights: Sequence[float] = (1.0, 0.5, 0.25),
        alpha: float = 0.4,
        **kwargs: Any,
    ) -> None:
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        self.built = True  # without weights, as ImagePreprocessing says
        self.level_weights, self.alpha = tuple(level_weights), alpha
        if not self.level_weights:
            raise ValueError("level_weights takes one factor or more; received none.")

    def call(self, truth: Tensor, flows: Flows) -> Flows:
        names = level_names(flows)
        if not names:
            raise ValueError(
                f"flows must hold levels flow2 .. flow6; received {sorted(flows)}."
            )
        truth, total = ops.cast(truth, "float32"), 0.0
        finest = size_of(flows[names[0]], 3)
        for index, name in enumerate(names):
            flow = ops.cast(flows[name], "float32")
            if flow.shape[1] != truth.shape[1]:
                raise ValueError(
                    f"{name} {tuple(flow.shape)} and true flow {tuple(truth.shape)} must "
                    "have the same number of pairs."
                )
            target = resize_flow(truth, (size_of(flow, 2), size_of(flow, 3)))
            scale = ops.cast(finest, "float32") / ops.cast(size_of(flow, 3), "float32")
            squared = ops.sum(ops.square(scale * (flow - target)), axis=-1)
            # Of the distance itself; its square is what the penalty starts from.
            penalty = charbonnier(ops.sqrt(squared + 1e-12), self.alpha, epsilon=0.01)
            weight = self.level_weights[min(index, len(self.level_weights) - 1)]
            total = total + weight * ops.mean(penalty, axis=(1, 2, 3))
        return {"end_point_error": total, "total": total}

    def compute_output_shape(self, truth_shape: Shape, flows_shape: Any) -> Any:
        return {name: (truth_shape[0],) for name in (*self.terms, "total")}

    def compute_output_spec(self, truth: Tensor, flows: Flows) -> Any:
        shapes = self.compute_output_shape(truth.shape, None)
        return {
            name: keras.KerasTensor(shape, dtype="float32")
            for name, shape in shapes.items()
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "level_weights": self.level_weights,
            "alpha": self.alpha,
        }
