from typing import Any

import keras
from keras import ops

from h2s_keras.layers.supervised_flow_loss import SupervisedFlowLoss
from h2s_keras.layers.unsupervised_flow_loss import UnsupervisedFlowLoss
from h2s_keras.tensor_types import Flows, Shape, Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class MixedFlowLoss(keras.layers.Layer):
    """Loss of batches in which the true flow of some clips is known and of others is not.

    Clips with true flow pay the `SupervisedFlowLoss`, clips whose true flow is NaN the
    `UnsupervisedFlowLoss`. So a network is tuned on real video without labels while
    synthetic clips keep it from what explains pictures and is not their motion.

    Args:
        unsupervised: `UnsupervisedFlowLoss`; None for one with its default arguments.
        supervised: `SupervisedFlowLoss`, likewise.
        supervised_weight: factor on the loss of the clips with true flow.

    Call arguments:
        clips: (batch, time, height, width, 3) RGB 0..255, any dtype.
        truth: float (batch, time-1, height, width, 2), pixels of this grid; NaN everywhere
            in clips without true flow. A clip with any NaN counts as one of these.
        flows: dict "flow{n}" -> float (batch, time-1, h, w, 2), pixels of its own grid.
        smoothness_scale, backward_flows, occlusion_scale: as `UnsupervisedFlowLoss`.

    Returns:
        dict of the terms of both losses and "total", each float32 (batch,). Terms of the
        loss that a clip does not pay are 0, so that the terms add up to the total.

    Raises:
        ValueError: as the two losses.

    Example:

    ```python
    clips = np.zeros((2, 2, 64, 64, 3), "uint8")
    truth = np.full((2, 1, 64, 64, 2), np.nan, "float32")
    truth[1] = 0.0      # Nothing moves in the second clip; of the first nothing is known.
    flows = {"flow2": keras.ops.zeros((2, 1, 32, 32, 2))}
    MixedFlowLoss()(clips, truth, flows)["total"].shape     # (2,)
    ```

    Reference: the losses' own; joint training with synthetic truth as in Lai et al. 2017
    (semi-supervised learning of optical flow).
    """

    def __init__(
        self,
        unsupervised: UnsupervisedFlowLoss | None = None,
        supervised: SupervisedFlowLoss | None = None,
        supervised_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        self.unsupervised = unsupervised or UnsupervisedFlowLoss()
        self.supervised = supervised or SupervisedFlowLoss()
        self.supervised_weight = supervised_weight
        self.built = True  # Stateless: nothing to build.

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms that a call gives, without "total"."""
        return (*self.unsupervised.terms, *self.supervised.terms)

    @property
    def occlusion(self) -> str | None:
        """As of the `UnsupervisedFlowLoss`."""
        return self.unsupervised.occlusion

    def call(self, clips: Tensor, truth: Tensor, flows: Flows, **options: Any) -> Flows:
        truth = ops.cast(truth, "float32")
        known = ops.logical_not(ops.any(ops.isnan(truth), axis=(1, 2, 3, 4)))
        # NaN would reach the gradient even where its loss does not count.
        filled = ops.where(ops.isnan(truth), 0.0, truth)
        unlabelled = self.unsupervised(clips, flows, **options)
        labelled = self.supervised(filled, flows)
        terms = {
            name: ops.where(known, 0.0, unlabelled[name])
            for name in self.unsupervised.terms
        }
        for name in self.supervised.terms:
            terms[name] = ops.where(known, self.supervised_weight * labelled[name], 0.0)
        terms["total"] = sum(terms.values())
        return terms

    def compute_output_shape(
        self, clips_shape: Shape, truth_shape: Any, flows_shape: Any
    ) -> Any:
        return {name: (clips_shape[0],) for name in (*self.terms, "total")}

    def compute_output_spec(
        self, clips: Tensor, truth: Tensor, flows: Flows, **options: Any
    ) -> Any:
        shapes = self.compute_output_shape(clips.shape, None, None)
        return {
            name: keras.KerasTensor(shape, dtype="float32")
            for name, shape in shapes.items()
        }

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "unsupervised": serialize(self.unsupervised),
            "supervised": serialize(self.supervised),
            "supervised_weight": self.supervised_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        for name in ("unsupervised", "supervised"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)
