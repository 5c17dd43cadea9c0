import contextlib
import numbers
import os
from typing import Any

import keras
import numpy as np
from keras import ops

from h2s_keras.errors import UserError
from h2s_keras.layers.image_preprocessing import ImagePreprocessing
from h2s_keras.layers.multi_scale_flow_head import SLOPE, MultiScaleFlowHead
from h2s_keras.models.coarse_to_fine import clip_pairs, coarse_to_fine_flows, without_noise
from h2s_keras.models.motion_net_of import motion_net_of
from h2s_keras.models.motion_net_variants import VARIANTS, ContrastFilters
from h2s_keras.models.network_answers import ChecksClips, NamedShapes, full_resolution_flow
from h2s_keras.models.presets import SavesPreset, as_class, load_model
from h2s_keras.ops.aligned_convolution import aligned_clip, aligned_convolution
from h2s_keras.ops.backend_forms import leaky_relu
from h2s_keras.ops.clip_range import warn_unit_range
from h2s_keras.ops.flow import clip_to_channels
from h2s_keras.ops.rematerialize import rematerialize
from h2s_keras.tensor_types import Flows, Tensor

# Of so many sizes of clips the compiled function is kept.
_SIZES_KEPT = 8


class _PredictFunctions:
    """Compiled functions by size of the clips, out of sight of Keras' tracking."""

    def __init__(self) -> None:
        self.of_size: dict[Any, Any] = {}


@keras.saving.register_keras_serializable(package="h2s_keras")
class MotionNet(ChecksClips, SavesPreset, keras.Model):
    """Predicts the flow between all neighbouring frames of a clip.

    The published network sees all frames of a clip in one pass. With `coarse_to_fine` a
    network of two frames sees every pair of neighbouring frames, from a small image up.

    Args:
        num_frames: frames of a clip, at least 2; the published clips have 11.
        variant: "motionnet" (42,319,860 parameters for 11 frames; flow2 to flow6),
            "tiny" (1.95 M; flow2 to flow4) or "small" (0.25 M; flow2 to flow4; made for
            two frames, coarse to fine: 0.55 GFLOP a pair of 128x128, tiny 7).
        intermediate_convolution: False leaves out the convolutions between
            deconvolutions (ablation "w/o CDC").
        small_displacement: False halves the image in the first convolution, not in the
            first layer that a flow level reads, so that nothing sees full resolution
            (ablation "w/o small displacement"). Shapes stay the same. "small" halves
            there anyway.
        rematerialize: in training, compute the activations inside each level of encoder
            and head again in the backward pass instead of keeping them: less memory, a
            third more arithmetic, the same numbers.
        coarse_to_fine: the weights are those of a network of 2 frames, which runs over all
            pairs of a clip as one batch and from a small image up, see
            `coarse_to_fine_flows`. The flow of a pair then does not depend on the other
            frames of the clip, and the same weights serve any `num_frames`. Calls need a
            static height and width.
        noise_floor: with `coarse_to_fine`, grey levels below which a difference of two
            frames counts as noise and not as motion, see `without_noise`; 0 for none.

    Call arguments:
        clips: (batch, num_frames, height, width, 3) RGB 0..255, any dtype; height and
            width multiples of `size_multiple` (32; tiny and small 8).

    Returns:
        dict "flow2" (finest, at 1/2) ... "flow6" (at 1/32), each float32 (batch,
        num_frames-1, h, w, 2), pixels of its own grid; see h2s_keras.ops.flow.

    Raises:
        ValueError: for an unknown variant, fewer than 2 frames, or clips that do not fit.

    Example:
        >>> motion_net = MotionNet(num_frames=3, variant="tiny")
        >>> motion_net.estimate_flow(np.zeros((1, 3, 61, 83, 3), "uint8")).shape
        (1, 2, 61, 83, 2)

    Reference: arXiv 1704.00389, table 1; released MotionNet prototxt; the tiny variant as
    rebuilt by later work.
    """

    num_frames: int
    variant: str
    intermediate_convolution: bool
    small_displacement: bool
    rematerialize: bool
    coarse_to_fine: bool
    noise_floor: float
    preprocessing: Any
    head: Any

    def __init__(
        self,
        num_frames: int = 11,
        variant: str = "motionnet",
        intermediate_convolution: bool = True,
        small_displacement: bool = True,
        rematerialize: bool = False,
        coarse_to_fine: bool = False,
        noise_floor: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._predict_functions = _PredictFunctions()
        if variant not in VARIANTS:
            raise ValueError(
                f"variant must be one of {sorted(VARIANTS)}; received {variant!r}."
            )
        if not isinstance(num_frames, numbers.Integral) or num_frames < 2:
            raise ValueError(
                f"Motion needs at least 2 frames; received num_frames={num_frames!r}."
            )
        num_frames = int(num_frames)
        self.num_frames, self.variant = num_frames, variant
        self.coarse_to_fine, self.noise_floor = coarse_to_fine, float(noise_floor)
        if self.noise_floor < 0 or (self.noise_floor and not coarse_to_fine):
            raise ValueError(
                "noise_floor must be 0 or more, and above 0 only with coarse_to_fine=True; "
                f"received noise_floor={noise_floor!r}, coarse_to_fine={coarse_to_fine!r}."
            )
        if coarse_to_fine and keras.backend.backend() == "tensorflow":
            # XLA compiles the passes four times as long as TensorFlow traces them (24 and
            # 5.5 s of a processor) and computes them no faster (32 and 35 ms a pair of
            # 128x128); JAX always compiles.
            self.supports_jit = False
        self.intermediate_convolution = intermediate_convolution
        self.small_displacement = small_displacement
        self.rematerialize = rematerialize
        table = VARIANTS[variant]
        self.preprocessing = ImagePreprocessing("unit", dtype=self.dtype_policy)
        self.convolutions: list[keras.layers.Layer] = []
        self._levels: list[bool] = []
        strides = [row[2] for row in table["encoder"]]
        if not small_displacement and strides[0] == 1:
            first = strides.index(2)
            strides[0], strides[first] = 2, 1
        for row, stride in zip(table["encoder"], strides, strict=True):
            name, kernel, _, filters, is_level = row
            initializer: Any = "he_normal"
            if not self.convolutions and table.get("first_filters") == "contrast":
                initializer = ContrastFilters(self.frames_per_pass)
            self.convolutions.append(
                keras.layers.Conv2D(
                    filters,
                    kernel,
                    strides=stride,
                    padding="valid",
                    data_format="channels_last",
                    kernel_initializer=initializer,
                    name=name,
                    dtype=self.dtype_policy,
                )
            )
            self._levels.append(is_level)
        self.head = MultiScaleFlowHead(
            self.frames_per_pass - 1,
            table["decoder"],
            table["scales"],
            intermediate_convolution=intermediate_convolution,
            smooth_prefix=table["smooth_prefix"],
            name="flow_head",
            dtype=self.dtype_policy,
        )

    @property
    def frames_per_pass(self) -> int:
        """Frames that one pass of the network sees: 2 with `coarse_to_fine`, else all."""
        return 2 if self.coarse_to_fine else self.num_frames

    @property
    def size_multiple(self) -> int:
        """Height and width of a call must be multiples of this."""
        strides = [convolution.strides[0] for convolution in self.convolutions]
        return int(np.prod(strides))

    def build(self, input_shape: Any) -> None:
        self._check(input_shape)
        channels, features = 3 * self.frames_per_pass, []
        for convolution, is_level in zip(self.convolutions, self._levels, strict=True):
            convolution.build((None, None, None, channels))
            channels = convolution.filters
            if is_level:
                features.append((None, None, None, channels))
        self.head.build(features)
        self.built = True

    def call(self, clips: Tensor, training: bool | None = None) -> Flows:
        warn_unit_range(clips, type(self).__name__)
        self._check(clips.shape)
        if not self.coarse_to_fine:
            return self.single_pass(clips, training=training)
        return self.flows_of_pairs(clips, training=training)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        with self._compiled_for(x):
            return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        with self._compiled_for(x):
            return super().predict_on_batch(x)

    @contextlib.contextmanager
    def _compiled_for(self, clips):
        """Within it `predict_function` is the one of clips of this size.

        The number of passes depends on the size, and TensorFlow would compile one function
        for any size once it has seen two.
        """
        shape = tuple(getattr(clips, "shape", ()))
        if not self.coarse_to_fine or len(shape) != 5:
            yield
            return
        known = self._predict_functions.of_size
        # What `compile` sets belongs to the function, too.
        key = (*shape[2:4], self.run_eagerly, self.jit_compile, self.steps_per_execution)
        if len(known) == _SIZES_KEPT and key not in known:
            known.pop(next(iter(known)))
        self.predict_function = known.get(key)
        try:
            yield
        finally:
            known[key], self.predict_function = self.predict_function, None

    def make_predict_function(self, force: bool = False) -> Any:
        if force:
            self._predict_functions.of_size.clear()
        return super().make_predict_function(force)

    def flows_of_pairs(self, clips: Tensor, training: bool | None = None) -> Flows:
        """What a call with `coarse_to_fine` returns, for clips of any number of frames."""
        flows = coarse_to_fine_flows(
            lambda pairs: self.single_pass(pairs, training=training),
            clip_pairs(clips),
            self.size_multiple,
        )
        return {
            name: ops.reshape(flow, (-1, clips.shape[1] - 1, *flow.shape[2:]))
            for name, flow in flows.items()
        }

    def single_pass(self, clips: Tensor, training: bool | None = None) -> Flows:
        """Flows of one pass over clips of `frames_per_pass` frames, at their size only."""
        features = self.encode(clips, training=training)
        flows = self.decode(features, training=training)
        return without_noise(flows, clips, self.noise_floor) if self.noise_floor else flows

    def encode(self, clips: Tensor, training: bool | None = None) -> list[Tensor]:
        """Features of one pass for every flow level, finest first."""
        self._check(clips.shape, self.frames_per_pass)
        clips = self.preprocessing(clips)
        hidden = clip_to_channels(aligned_clip(clips, self.convolutions[0].compute_dtype))
        features = []
        for level, is_level in self._encoder_levels():
            if training and self.rematerialize:

                def run(tensor, level=level):
                    return self._convolve(level, tensor)

                hidden = rematerialize(run, level, hidden)
            else:
                hidden = self._convolve(level, hidden)
            if is_level:
                features.append(hidden)
        return features

    def _encoder_levels(self):
        """(convolutions of one size, whether a flow level reads them), finest first."""
        levels: list[tuple[list[keras.layers.Layer], bool]] = []
        for convolution, is_level in zip(self.convolutions, self._levels, strict=True):
            if convolution.strides[0] > 1 or not levels:
                levels.append(([], is_level))
            levels[-1] = ([*levels[-1][0], convolution], is_level)
        return levels

    def _convolve(self, convolutions, hidden):
        for convolution in convolutions:
            # Padding on both sides, as Caffe does; "same" pads a stride-2 convolution
            # on one side only and would shift every level by half a pixel.
            pad = convolution.kernel_size[0] // 2
            hidden = ops.pad(hidden, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
            first = convolution is self.convolutions[0]
            frames = self.frames_per_pass if first else None
            hidden = aligned_convolution(convolution, hidden, frames)
            hidden = leaky_relu(hidden, SLOPE)
        return hidden

    def decode(self, features: list[Tensor], training: bool | None = None) -> Flows:
        """Flows of every level from the features of `encode`."""
        if training and self.rematerialize:
            return self.head(features, rematerialized=True)
        return self.head(features)

    def estimate_flow(self, clips: Tensor, batch_size: int = 8) -> Tensor:
        """Flow at full resolution, for clips of any height and width.

        Clips are padded by repeating their border to the next size that fits, and the
        flow is cropped back.

        Args:
            clips: array (batch, num_frames, height, width, 3), RGB 0..255, usually uint8.
            batch_size: clips computed at a time.

        Returns:
            NumPy float32 (batch, num_frames-1, height, width, 2), pixels.

        Raises:
            UserError: if clips has another rank, number of frames or channels.
        """
        return full_resolution_flow(self, clips, batch_size)

    def with_num_frames(self, num_frames: int) -> Any:
        """A MotionNet with the same weights for clips of another number of frames.

        Args:
            num_frames: frames of a clip, at least 2.

        Raises:
            ValueError: if the network sees all frames in one pass, so that its weights
                belong to their number.

        Example:

        ```python
        MotionNet.from_preset("tiny_synthetic").with_num_frames(16)
        ```
        """
        if not self.coarse_to_fine:
            raise ValueError(
                f"This MotionNet sees its {self.num_frames} frames in one pass and has "
                f"weights for each; it cannot take {num_frames}."
            )
        network = type(self).from_config({**self.get_config(), "num_frames": num_frames})
        network.build((None, num_frames, None, None, 3))
        network.set_weights(self.get_weights())
        return network

    def _check(self, shape, frames=None):
        shape, frames = tuple(shape), frames or self.num_frames
        if len(shape) != 5 or shape[1] != frames or shape[-1] != 3:
            raise ValueError(
                f"MotionNet takes clips (batch, {frames}, height, width, 3); "
                f"received shape {shape}."
            )
        for axis, name in ((2, "height"), (3, "width")):
            if shape[axis] is not None and shape[axis] % self.size_multiple:
                raise ValueError(
                    f"The {name} must be a multiple of {self.size_multiple}; received "
                    f"shape {shape}. estimate_flow takes any size."
                )

    def compute_output_shape(self, input_shape: Any) -> Any:
        self._check(input_shape)
        batch, frames, height, width, _ = input_shape
        stride, sizes = 1, []
        for convolution, is_level in zip(self.convolutions, self._levels, strict=True):
            stride *= convolution.strides[0]
            if is_level:
                sizes.append([side and side // stride for side in (height, width)])
        return NamedShapes(
            {
                f"flow{level}": (batch, frames - 1, *size, 2)
                for level, size in enumerate(sizes, start=2)
            }
        )

    def compute_output_spec(self, clips: Tensor, training: bool | None = None) -> Any:
        return self.compute_output_shape(clips.shape).spec("float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_frames": self.num_frames,
            "variant": self.variant,
            "intermediate_convolution": self.intermediate_convolution,
            "small_displacement": self.small_displacement,
            "rematerialize": self.rematerialize,
            "coarse_to_fine": self.coarse_to_fine,
            "noise_floor": self.noise_floor,
        }

    @classmethod
    def from_preset(
        cls, preset: str | os.PathLike[str], num_frames: int | None = None
    ) -> Any:
        """A trained MotionNet that comes with the package, or from a .keras file.

        Args:
            preset: name of a preset such as "tiny_synthetic", or the path of a .keras
                file, of a run or of a `save_to_preset`, also as "hf://user/name"; of a
                whole two-stream model its MotionNet.
            num_frames: frames of a clip; None for those it was saved with. Networks with
                `coarse_to_fine`, as all presets of flow, take any number; of others this
                must be their own.

        Returns:
            The network; from a subclass one of that class with the same weights.

        Raises:
            UserError: no such preset or file, it is damaged, it takes another number of
                frames, or a subclass does not take its configuration.
        """
        motion_net = motion_net_of(load_model(preset))
        if not isinstance(motion_net, MotionNet):
            raise UserError(
                f"{preset}: holds a {type(motion_net).__name__}, not a MotionNet"
            )
        if num_frames not in (None, motion_net.num_frames):
            if not motion_net.coarse_to_fine:
                raise UserError(
                    f"{preset}: takes {motion_net.num_frames} frames and "
                    f"num_frames={num_frames} was asked for"
                )
            motion_net = motion_net.with_num_frames(num_frames)
        return as_class(cls, MotionNet, motion_net, preset)
