import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from h2s_keras.layers.image_preprocessing import ImagePreprocessing
from h2s_keras.layers.quantized_flow_adapter import QuantizedFlowAdapter
from h2s_keras.models.network_answers import ChecksClips, NamedShapes
from h2s_keras.models.presets import SavesPreset, as_class, load_model
from h2s_keras.ops.clip_range import looked_at, warn_unit_range
from h2s_keras.tensor_types import Flows, Tensor


def num_logits(classifier: Any) -> int:
    """Classes that a keras.Model answers with; it must be functional, so as to know."""
    shape = getattr(classifier, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            "A stream is a functional keras.Model that gives logits (batch, classes); "
            f"received {type(classifier).__name__} {getattr(classifier, 'name', '')!r} "
            f"with the output shape {shape}."
        )
    return shape[-1]


@keras.saving.register_keras_serializable(package="h2s_keras")
class HiddenTwoStream(ChecksClips, SavesPreset, keras.Model):
    """Recognises actions from raw clips: MotionNet, a temporal CNN, a spatial CNN.

    Made by `HiddenTwoStreamBuilder`. Without a spatial stream it is the stacked
    temporal model; `branched` lets the classifier read MotionNet's encoder instead of
    its flow.

    Args:
        motion: MotionNet.
        temporal: keras.Model from adapted flow (batch, H, W, 2*(frames-1)), or for the
            branched variant from the encoder's coarsest features, to logits.
        spatial: keras.Model from a preprocessed RGB frame to logits, or None; one whose
            input is (time, height, width, 3) sees the whole clip.
        adapter: QuantizedFlowAdapter between motion and temporal.
        spatial_preprocessing: mode of `ImagePreprocessing` for the spatial frame.
        fusion: (spatial, temporal) weights of late fusion; published 1 and 1.5.
        image_size: (height, width) of the clips.
        branched: whether temporal reads encoder features.
        class_names: names of the classes in the order of the logits, or None.
        frame_stride: step between the frames of a clip that the model was trained on;
            kept for those who sample clips from video.
        frame_rate: frames per second that it was trained at, or None for those of each
            video as they come; kept likewise.
        test_protocol: dict of plain values, how its run measured videos ("clips",
            "short", "decode_size"), which `h2s evaluate` and `h2s predict` follow; None
            for the defaults of `h2s_keras.evaluation.Protocol.of_model`.
        multi_label: whether a clip may show any number of classes. The logits are then
            log-odds of each class by itself, to be passed through a sigmoid, and fusion is
            their weighted mean.

    Call arguments:
        clips: (batch, num_frames, height, width, 3) RGB 0..255, any dtype.

    Returns:
        dict of float32 tensors: "logits" (batch, classes), which after softmax are the
        fused scores, "temporal_logits", with a spatial stream "spatial_logits" (it sees
        the middle frame, a 3D one all frames), and MotionNet's flows "flow2" ...

    Example:
        >>> model = HiddenTwoStreamBuilder(5, 3, (64, 64)).motion("tiny").temporal("tiny")
        >>> model = model.build()
        >>> model(np.zeros((2, 3, 64, 64, 3), "uint8"))["logits"].shape
        (2, 5)

    Reference: arXiv 1704.00389, figure 1 and section 3.4.
    """

    def __init__(
        self,
        motion: Any,
        temporal: Any,
        spatial: Any = None,
        adapter: Any = None,
        spatial_preprocessing: str = "caffe",
        fusion: tuple[float, float] = (1.0, 1.5),
        image_size: tuple[int, int] = (224, 224),
        branched: bool = False,
        class_names: Sequence[str] | None = None,
        frame_stride: int = 1,
        frame_rate: float | None = None,
        test_protocol: dict[str, Any] | None = None,
        multi_label: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if branched and motion.coarse_to_fine:
            raise ValueError(
                "The branched variant reads the encoder of one pass over all frames; a "
                "MotionNet with coarse_to_fine has none. Leave branched=True out, or take "
                'another MotionNet, such as "tiny".'
            )
        self.motion, self.temporal, self.spatial = motion, temporal, spatial
        self.adapter: Any = None if branched else adapter or QuantizedFlowAdapter()
        self.spatial_preprocessing = ImagePreprocessing(
            spatial_preprocessing, dtype=self.dtype_policy
        )
        self.fusion = tuple(fusion)
        self.image_size, self.branched = tuple(image_size), branched
        self.class_names = None if class_names is None else list(class_names)
        self.frame_stride, self.frame_rate = frame_stride, frame_rate
        self.test_protocol = None if test_protocol is None else dict(test_protocol)
        self.multi_label = bool(multi_label)
        self.num_frames = motion.num_frames
        self.num_classes = num_logits(temporal)
        if not self.motion.built:
            self.motion.build((None, self.num_frames, *self.image_size, 3))
        if spatial is not None and num_logits(spatial) != self.num_classes:
            raise ValueError(
                "Both streams answer with the same classes; received "
                f"{self.num_classes} of the temporal stream and {num_logits(spatial)} of "
                "the spatial one."
            )
        # All parts have their weights, so the model can be saved before its first call.
        self.built = True
        # What Keras' own export reads, which it notes when it builds a model itself.
        self._build_shapes_dict = {
            "input_shape": (None, self.num_frames, *self.image_size, 3)
        }
        if motion.coarse_to_fine:
            # Export traces the parts, too, and this one needs a height and a width.
            motion._build_shapes_dict = dict(self._build_shapes_dict)

    def get_build_config(self) -> None:
        # Nothing to build after __init__.
        return None

    def call(self, clips: Tensor, training: bool | None = None) -> Flows:
        warn_unit_range(clips, type(self).__name__)
        streams = ("temporal",) if self.spatial is None else ("temporal", "spatial")
        with looked_at():
            outputs = self.run_streams(clips, streams, training=training)
        outputs["logits"] = self.fuse(outputs)
        return outputs

    def run_streams(
        self, clips: Tensor, streams: Sequence[str], training: bool | None = None
    ) -> Flows:
        """Outputs of some streams only: of "motion", "temporal", "spatial".

        The temporal stream alone also takes flow that was computed before, as "flow2" of
        the clips, instead of clips.
        """
        outputs = {}
        if "temporal" in streams:
            if clips.shape[-1] == 2:
                source = self.adapter(clips)
            elif self.branched:
                features = self.motion.encode(clips, training=training)
                outputs.update(self.motion.decode(features, training=training))
                source = features[-1]
            else:
                outputs.update(self.motion(clips, training=training))
                source = self.adapter(outputs["flow2"])
            outputs["temporal_logits"] = self.temporal(source, training=training)
        elif "motion" in streams:
            outputs.update(self.motion(clips, training=training))
        if "spatial" in streams:
            if self.spatial is None:
                raise ValueError(
                    "This model has no spatial stream; add .spatial(...) to the builder."
                )
            images = self.spatial_images(clips)
            outputs["spatial_logits"] = self.spatial(images, training=training)
        return outputs

    def spatial_images(self, clips: Tensor) -> Tensor:
        """What the spatial stream reads of clips: preprocessed, one frame or all."""
        whole = len(self.spatial.input_shape) == 5
        return self.spatial_preprocessing(
            clips if whole else clips[:, self.num_frames // 2]
        )

    def fuse(self, outputs: Flows) -> Tensor:
        """Fused logits: the weighted mean of the streams' log-probabilities or log-odds."""
        form = (lambda logits: logits) if self.multi_label else ops.log_softmax
        temporal = form(ops.cast(outputs["temporal_logits"], "float32"))
        if "spatial_logits" not in outputs:
            return temporal
        spatial = form(ops.cast(outputs["spatial_logits"], "float32"))
        spatial_weight, temporal_weight = self.fusion
        total = spatial_weight + temporal_weight
        return (spatial_weight * spatial + temporal_weight * temporal) / total

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = dict(self.motion.compute_output_shape(input_shape))
        names = ["temporal_logits", "logits"]
        if self.spatial is not None:
            names.append("spatial_logits")
        shapes.update({name: (input_shape[0], self.num_classes) for name in names})
        return NamedShapes(shapes)

    def compute_output_spec(self, clips: Tensor, training: bool | None = None) -> Any:
        return self.compute_output_shape(clips.shape).spec("float32")

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "motion": serialize(self.motion),
            "temporal": serialize(self.temporal),
            "spatial": self.spatial and serialize(self.spatial),
            "adapter": self.adapter and serialize(self.adapter),
            "spatial_preprocessing": self.spatial_preprocessing.mode,
            "fusion": self.fusion,
            "image_size": self.image_size,
            "branched": self.branched,
            "class_names": self.class_names,
            "frame_stride": self.frame_stride,
            "frame_rate": self.frame_rate,
            "test_protocol": self.test_protocol and dict(self.test_protocol),
            "multi_label": self.multi_label,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        config = dict(config)
        for name in ("motion", "temporal", "spatial", "adapter"):
            if config[name]:
                config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)

    @classmethod
    def from_preset(cls, preset: str | os.PathLike[str]) -> Any:
        """A trained two-stream network that comes with the package, or from a .keras file.

        Args:
            preset: "quickstart" (see `h2s_keras.models.presets`), or the path of a .keras
                file, of a run or of a `save_to_preset`, also as "hf://user/name".

        Raises:
            UserError: no such preset or file, it is damaged, or holds another network.
        """
        return as_class(cls, HiddenTwoStream, load_model(preset), preset)
