from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from h2s_keras.layers.quantized_flow_adapter import QuantizedFlowAdapter
from h2s_keras.models.network_answers import NamedShapes
from h2s_keras.models.two_stream import num_logits
from h2s_keras.tensor_types import Flows, Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class StoredFlowStream(keras.Model):
    """A temporal CNN on flow that was computed before, such as TV-L1: the two-stage way.

    The baseline that MotionNet is measured against: the same temporal CNN and the same
    clipping and quantisation, with flow from a file instead of learned flow.

    Args:
        temporal: keras.Model from adapted flow (batch, H, W, 2*pairs) to logits.
        adapter: QuantizedFlowAdapter with scale 1.
        class_names: names of the classes in the order of the logits, or None.

    Call arguments:
        flow: float (batch, pairs, H, W, 2), pixels of full resolution.

    Returns:
        dict of float32 "logits" and "temporal_logits", (batch, classes); they are equal.

    Raises:
        ValueError: if the adapter expects flow of another resolution.

    Example:
        >>> temporal = build_backbone("tiny", (64, 64, 20), num_classes=5)
        >>> flow = np.zeros((1, 10, 64, 64, 2), "float32")
        >>> StoredFlowStream(temporal)(flow)["logits"].shape
        (1, 5)

    Reference: arXiv 1704.00389, table 2, rows of the two-stage methods.
    """

    motion = spatial = None

    def __init__(
        self,
        temporal: Any,
        adapter: Any = None,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.temporal = temporal
        self.adapter = adapter or QuantizedFlowAdapter(scale=1)
        if self.adapter.scale != 1:
            raise ValueError(
                "Stored flow has full resolution and needs an adapter of scale 1; received "
                f"scale={self.adapter.scale}."
            )
        self.class_names = None if class_names is None else list(class_names)
        self.num_classes = num_logits(temporal)
        self.built = True
        height, width, channels = temporal.input_shape[1:]
        self._build_shapes_dict = {"input_shape": (None, channels // 2, height, width, 2)}

    def get_build_config(self) -> None:
        # Nothing to build after __init__.
        return None

    def call(self, flow: Tensor, training: bool | None = None) -> Flows:
        outputs = self.run_streams(flow, ("temporal",), training=training)
        outputs["logits"] = ops.log_softmax(outputs["temporal_logits"])
        return outputs

    def run_streams(
        self, flow: Tensor, streams: Sequence[str], training: bool | None = None
    ) -> Flows:
        """As `HiddenTwoStream.run_streams`; the only stream is "temporal"."""
        if tuple(streams) != ("temporal",):
            raise ValueError(
                f"A network on stored flow has only the temporal stream; received {streams}"
            )
        logits = self.temporal(self.adapter(flow), training=training)
        return {"temporal_logits": ops.cast(logits, "float32")}

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = (input_shape[0], self.num_classes)
        return NamedShapes({"temporal_logits": shape, "logits": shape})

    def compute_output_spec(self, flow: Tensor, training: bool | None = None) -> Any:
        return self.compute_output_shape(flow.shape).spec("float32")

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "temporal": serialize(self.temporal),
            "adapter": serialize(self.adapter),
            "class_names": self.class_names,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        for name in ("temporal", "adapter"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)
