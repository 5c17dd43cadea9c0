import functools
import numbers
from typing import Any

import keras

from h2s_keras.errors import UserError
from h2s_keras.layers.image_preprocessing import MODES
from h2s_keras.layers.quantized_flow_adapter import QuantizedFlowAdapter
from h2s_keras.models.backbones import (
    build_backbone,
    preprocessing_mode,
    reads_clips,
)
from h2s_keras.models.image_format import channels_last
from h2s_keras.models.motion_net import MotionNet
from h2s_keras.models.motion_net_variants import VARIANTS
from h2s_keras.models.two_stream import HiddenTwoStream

# Published rates, for VGG16 after fc6 and fc7; the small backbone needs far less.
_TEMPORAL_DROPOUT = {"vgg16": (0.9, 0.8), "bn_inception": 0.7, "tiny": 0.2}
_SPATIAL_DROPOUT = {"vgg16": (0.9, 0.8), "bn_inception": 0.8, "tiny": 0.2}


def flow_bound(image_size: tuple[int, int]) -> float:
    """Where flow is clipped by default, in pixels: the published 20 at a side of 224.

    The same motion is fewer pixels long in a smaller clip.

    Example:

    ```python
    flow_bound((112, 200))      # 10.0
    ```
    """
    return 20.0 * min(image_size) / 224.0


class HiddenTwoStreamBuilder:
    """Composes MotionNet, a temporal CNN and a spatial CNN step by step.

    Args:
        num_classes: number of classes, at least 2, or a list of class names.
        num_frames: frames of a clip.
        image_size: (height, width) of the clips; multiples of 32 for "motionnet", of 8
            for "tiny".
        multi_label: whether a clip may show any number of the classes, also one class
            alone; see `HiddenTwoStream`.

    Example:
        >>> model = (
        ...     HiddenTwoStreamBuilder(101, num_frames=3, image_size=(64, 64))
        ...     .motion("tiny")  # or "motionnet"
        ...     .temporal("tiny")  # or "vgg16"
        ...     .spatial("tiny")
        ...     .fusion(spatial=1.0, temporal=1.5)
        ...     .build()
        ... )

    Every method returns the builder, checks its arguments at once and raises ValueError
    naming the step that is wrong or missing. Two models of one builder share nothing but
    the instances that it was given.
    """

    def __init__(
        self,
        num_classes: Any,
        num_frames: int = 11,
        image_size: Any = (224, 224),
        multi_label: bool = False,
    ) -> None:
        self._class_names: list[str] | None = None
        if isinstance(num_classes, (str, bytes, float)):
            raise ValueError(
                "num_classes is a whole number or a list of class names; received "
                f"{num_classes!r}."
            )
        if not isinstance(num_classes, numbers.Integral):
            self._class_names = [str(name) for name in num_classes]
            num_classes = len(self._class_names)
        num_classes = int(num_classes)
        if num_classes < 2 - bool(multi_label):
            raise ValueError(
                "num_classes must be at least 2, or 1 with multi_label; received "
                f"{num_classes}."
            )
        if isinstance(image_size, numbers.Integral):
            image_size = (image_size, image_size)
        if len(image_size) != 2 or min(image_size) < 16:
            raise ValueError(
                "image_size is (height, width), at least 16 pixels each; received "
                f"{image_size!r}."
            )
        self._num_classes, self._num_frames = num_classes, num_frames
        self._multi_label = multi_label
        height, width = image_size
        self._image_size = (int(height), int(width))
        self._motion: Any = None
        self._make_motion: Any = None
        self._motion_is_used = False
        self._temporal: Any = None
        self._spatial: Any = None
        self._branched: bool | None = None
        self._adapter_options: dict[str, Any] | None = None
        self._fusion = (1.0, 1.5)

    def motion(self, motion_net: Any, **options: Any) -> "HiddenTwoStreamBuilder":
        """MotionNet: "motionnet", "tiny", a preset, a .keras file or an instance.

        Args:
            motion_net: as above.
            **options: of `MotionNet`, for a variant by name.
        """
        make = None
        if isinstance(motion_net, str) and motion_net in VARIANTS:
            make = functools.partial(MotionNet, self._num_frames, motion_net, **options)
        elif options:
            raise ValueError(
                f".motion(): {', '.join(options)} goes with a variant by name "
                f"({', '.join(VARIANTS)}); a trained or given MotionNet keeps its own."
            )
        elif isinstance(motion_net, str):
            make = functools.partial(MotionNet.from_preset, motion_net, self._num_frames)
        if make is not None:
            motion_net = self._step("motion", make)
        if not isinstance(motion_net, MotionNet):
            raise ValueError(
                ".motion() takes a name, a path or a MotionNet; received "
                f"{type(motion_net).__name__}."
            )
        if motion_net.num_frames != self._num_frames:
            raise ValueError(
                f".motion(): this MotionNet takes {motion_net.num_frames} frames and the "
                f"builder was given num_frames={self._num_frames}."
            )
        multiple = motion_net.size_multiple
        if any(side % multiple for side in self._image_size):
            raise ValueError(
                f".motion(): image_size {self._image_size} must be multiples of {multiple} "
                f"for the variant {motion_net.variant!r}."
            )
        self._motion, self._make_motion = motion_net, make
        self._motion_is_used = False
        return self

    def adapter(self, **options: Any) -> "HiddenTwoStreamBuilder":
        """Options of `QuantizedFlowAdapter`, all but scale.

        The bound is by default `flow_bound` of the clips' size, also without this step;
        the temporal backbones "small" and "small_max" read flow that is not enlarged.
        """
        if "scale" in options:
            raise ValueError(
                ".adapter(): the scale is that of MotionNet's finest flow, 2; leave it out."
            )
        self._adapter_options = options
        self._make_adapter("tiny")  # Raises for options that are wrong.
        return self

    def _make_adapter(self, backbone):
        options = {
            "bound": flow_bound(self._image_size),
            "enlarge": backbone not in ("small", "small_max"),
            **(self._adapter_options or {}),
        }
        return self._step("adapter", QuantizedFlowAdapter, **options)

    def temporal(
        self,
        backbone: str | keras.Model,
        weights: Any = None,
        dropout: Any = None,
        branched: bool = False,
        partial_batch_normalization: bool = False,
    ) -> "HiddenTwoStreamBuilder":
        """The temporal CNN: a name or a keras backbone; see `build_backbone`.

        Args:
            backbone: "vgg16", "bn_inception", "i3d", "tiny", a name of
                keras.applications, or a keras.Model over 2*(num_frames-1) channels:
                features, or a finished classifier of `num_classes` classes.
            weights: None, "imagenet" or a file; the first convolution is adapted.
            dropout: rate or pair of rates; published (0.9, 0.8) for "vgg16", 0.7 for
                "bn_inception".
            partial_batch_normalization: see `build_backbone`.
            branched: read MotionNet's encoder instead of its flow, without `adapter`.
                A named backbone then gives its head only.
        """
        if branched and (weights is not None or partial_batch_normalization):
            raise ValueError(
                ".temporal(): the branched variant has a head only and takes no weights "
                "and no partial batch normalisation."
            )
        self._temporal = (backbone, weights, dropout, partial_batch_normalization)
        self._branched = branched
        return self

    def spatial(
        self,
        backbone: str | keras.Model,
        weights: Any = None,
        dropout: Any = None,
        preprocessing: str | None = None,
        partial_batch_normalization: bool = False,
    ) -> "HiddenTwoStreamBuilder":
        """The spatial CNN over the middle frame; leave out for the stacked model.

        "i3d", or a backbone over (time, height, width, 3), sees all frames.

        Args:
            backbone, weights, dropout, partial_batch_normalization: as for `temporal`,
                over 3 channels; published dropout 0.8 for "bn_inception".
            preprocessing: mode of `ImagePreprocessing`; by default what the named
                backbone was trained with, "none" for an instance.
        """
        if preprocessing is not None and preprocessing not in MODES:
            raise ValueError(
                f".spatial(): preprocessing must be one of {sorted(MODES)}; received "
                f"{preprocessing!r}."
            )
        self._spatial = (backbone, weights, dropout, preprocessing)
        self._spatial_partial = partial_batch_normalization
        return self

    def fusion(
        self, spatial: float = 1.0, temporal: float = 1.5
    ) -> "HiddenTwoStreamBuilder":
        """Weights of late fusion."""
        if spatial < 0 or temporal < 0 or spatial + temporal == 0:
            raise ValueError(
                ".fusion() takes weights >= 0, not both 0; received "
                f"spatial={spatial}, temporal={temporal}."
            )
        self._fusion = (float(spatial), float(temporal))
        return self

    def build(
        self,
        frame_stride: int = 1,
        name: str = "hidden_two_stream",
        rematerialize: bool = False,
        frame_rate: float | None = None,
        test_protocol: dict[str, Any] | None = None,
    ) -> Any:
        """The finished keras.Model, see `HiddenTwoStream`.

        Args:
            frame_stride, name, frame_rate, test_protocol: of HiddenTwoStream.
            rematerialize: keep fewer activations while training: MotionNet (also one that
                was given as an instance) computes those inside each of its levels again in
                the backward pass, the backbones those inside each of their blocks. The
                numbers do not change.
        """
        for step, value in (("motion", self._motion), ("temporal", self._temporal)):
            if value is None:
                example = '"motionnet"' if step == "motion" else '"vgg16"'
                raise ValueError(
                    f"The step .{step}() is missing; add .{step}({example}) before "
                    ".build()."
                )
        if self._branched and self._adapter_options is not None:
            raise ValueError(
                ".adapter(): the branched variant reads MotionNet's encoder, not its flow, "
                "and has no adapter; leave this step or branched=True out."
            )
        height, width = self._image_size
        if self._motion_is_used and self._make_motion is not None:
            self._motion = self._step("motion", self._make_motion)
        self._motion_is_used = True
        if rematerialize:
            self._motion.rematerialize = True
        if not self._motion.built:
            self._motion.build((None, self._num_frames, height, width, 3))
        backbone, weights, dropout, partial = self._temporal
        adapter: Any = None if self._branched else self._make_adapter(backbone)
        spatial, mode = None, "none"
        if self._branched:
            temporal = self._step("temporal", self._branched_head, backbone, dropout)
        else:
            if dropout is None and isinstance(backbone, str):
                dropout = _TEMPORAL_DROPOUT.get(backbone.lower())
            flow = (None, self._num_frames - 1, height // 2, width // 2, 2)
            shape = adapter.compute_output_shape(flow)[1:]
            temporal = self._step(
                "temporal",
                build_backbone,
                backbone,
                shape,
                self._num_classes,
                dropout,
                weights,
                "temporal",
                partial,
                rematerialize,
            )
        if self._spatial is not None:
            backbone, weights, dropout, mode = self._spatial
            mode = mode or preprocessing_mode(backbone)
            if dropout is None and isinstance(backbone, str):
                dropout = _SPATIAL_DROPOUT.get(backbone.lower())
            clip = (self._num_frames,) if reads_clips(backbone) else ()
            spatial = self._step(
                "spatial",
                build_backbone,
                backbone,
                (*clip, height, width, 3),
                self._num_classes,
                dropout,
                weights,
                "spatial",
                self._spatial_partial,
                rematerialize,
            )
        return HiddenTwoStream(
            self._motion,
            temporal,
            spatial,
            adapter=adapter,
            spatial_preprocessing=mode,
            fusion=self._fusion,
            image_size=self._image_size,
            branched=bool(self._branched),
            class_names=self._class_names,
            frame_stride=frame_stride,
            frame_rate=frame_rate,
            test_protocol=test_protocol,
            multi_label=self._multi_label,
            name=name,
        )

    @channels_last()
    def _branched_head(self, backbone, dropout):
        stride = self._motion.size_multiple
        height, width = (side // stride for side in self._image_size)
        channels = self._motion.convolutions[-1].filters
        inputs = keras.Input((height, width, channels), name="encoder_features")
        name = backbone.lower() if isinstance(backbone, str) else None
        if name == "vgg16":
            hidden = keras.layers.Flatten()(inputs)
            rates = _TEMPORAL_DROPOUT["vgg16"] if dropout is None else dropout
            rates = rates if isinstance(rates, (tuple, list)) else (rates, rates)
            for number, rate in zip((6, 7), rates, strict=True):
                hidden = keras.layers.Dense(4096, "relu", name=f"fc{number}")(hidden)
                hidden = keras.layers.Dropout(rate, name=f"drop{number}")(hidden)
        elif name == "tiny":
            hidden = keras.layers.Conv2D(128, 3, padding="same", activation="relu")(inputs)
            hidden = keras.layers.GlobalAveragePooling2D()(hidden)
            hidden = keras.layers.Dropout(0.2 if dropout is None else dropout)(hidden)
        else:
            raise ValueError(
                "the branched variant has the heads 'vgg16' and 'tiny'; received "
                f"{backbone!r}."
            )
        logits = keras.layers.Dense(self._num_classes, name="logits", dtype="float32")
        return keras.Model(inputs, logits(hidden), name="temporal")

    @staticmethod
    def _step(step, function, *arguments, **options):
        try:
            return function(*arguments, **options)
        except (TypeError, ValueError) as error:
            # A missing file is the user's mistake and stays a UserError.
            kind = UserError if isinstance(error, UserError) else ValueError
            raise kind(f".{step}(): {error}") from error
