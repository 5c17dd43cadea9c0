from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from h2s_keras.ops.aligned_convolution import aligned_convolution, cut_channels
from h2s_keras.ops.backend_forms import leaky_relu
from h2s_keras.ops.flow import channels_to_flow
from h2s_keras.ops.rematerialize import rematerialize
from h2s_keras.tensor_types import Flows, Tensor

SLOPE = 0.1  # of the leaky ReLU after every (de)convolution but flow and smooth_conv


@keras.saving.register_keras_serializable(package="h2s_keras")
class MultiScaleFlowHead(keras.layers.Layer):
    """From encoder features to a flow field at every level, coarse to fine.

    At each level the features of the encoder, a deconvolution of the coarser level and
    the up-sampled coarser flow are joined, pass a convolution without activation (the
    paper's convolution between deconvolutions) and predict flow.

    Args:
        num_pairs: frame pairs, that is flows, of a clip; 10 for 11 frames.
        filters: numbers of filters of the deconvolutions, coarse to fine; one fewer than
            the levels.
        scales: raw output times this is displacement in pixels of the level, coarse to
            fine, one per level.
        finest_level: n of the finest "flow{n}", at 1/2^(n-1) of the input's size.
        intermediate_convolution: False leaves the convolutions between deconvolutions
            out (the ablation "w/o CDC").
        flow_initializer: of the flow convolutions. Small values keep the first warp
            near the identity, which avoids the NaNs of the first steps; the release
            used He initialisation there as well.
        smooth_prefix: first part of the names of the convolutions between.

    Call arguments:
        features: list of (batch, height, width, channels), finest first, each twice the
            size of the next.
        rematerialized: compute what lies inside a level again in the backward pass in
            place of keeping it.

    Returns:
        dict "flow{n}" -> float32 (batch, num_pairs, height, width, 2), pixels of its own
        grid, under any dtype policy.

    Raises:
        ValueError: if features, filters and scales disagree in number.

    Example:
        >>> features = [keras.ops.ones((1, 32 // 2**i, 32 // 2**i, 8)) for i in range(3)]
        >>> head = MultiScaleFlowHead(10, filters=(16, 8), scales=(2.5, 5.0, 10.0))
        >>> head(features)["flow2"].shape
        (1, 10, 32, 32, 2)

    Reference: arXiv 1704.00389, table 1; released MotionNet prototxt.
    """

    def __init__(
        self,
        num_pairs: int,
        filters: Any = (512, 256, 128, 64),
        scales: Sequence[float] = (0.625, 1.25, 2.5, 5.0, 10.0),
        finest_level: int = 2,
        intermediate_convolution: bool = True,
        flow_initializer: Any = None,
        smooth_prefix: str = "smooth_conv",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if len(scales) != len(filters) + 1:
            raise ValueError(
                "scales has one entry per level and filters one fewer; received "
                f"{len(scales)} scales and {len(filters)} filters."
            )
        self.num_pairs = num_pairs
        self.filters, self.scales = tuple(filters), tuple(scales)
        self.finest_level = finest_level
        self.intermediate_convolution = intermediate_convolution
        self.flow_initializer = keras.initializers.get(
            flow_initializer or keras.initializers.RandomNormal(stddev=1e-3)
        )
        self.smooth_prefix = smooth_prefix

        coarsest = finest_level + len(filters)
        self.flow_convolutions = [self._flow_convolution(coarsest)]
        self.deconvolutions, self.upsamplings, self.smooth_convolutions = [], [], []
        for index, width in enumerate(self.filters):
            level = coarsest - 1 - index
            self.deconvolutions.append(self._deconvolution(width, f"deconv{level}"))
            self.upsamplings.append(
                self._deconvolution(2 * num_pairs, f"upsample_flow{level + 1}to{level}")
            )
            if intermediate_convolution:
                self.smooth_convolutions.append(
                    self._convolution(width, f"{smooth_prefix}{level}")
                )
            self.flow_convolutions.append(self._flow_convolution(level))

    def _convolution(self, filters, name, initializer="he_normal"):
        return keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            data_format="channels_last",
            kernel_initializer=initializer,
            name=name,
            dtype=self.dtype_policy,
        )

    def _flow_convolution(self, level):
        config = keras.initializers.serialize(self.flow_initializer)
        initializer = keras.initializers.deserialize(config)
        return self._convolution(2 * self.num_pairs, f"flow{level}", initializer)

    def _deconvolution(self, filters, name):
        return keras.layers.Conv2DTranspose(
            filters,
            4,
            strides=2,
            padding="same",
            data_format="channels_last",
            kernel_initializer="he_normal",
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Any) -> None:
        self._check_count(input_shape)
        shapes = [tuple(shape) for shape in reversed(list(input_shape))]
        below = shapes[0]
        self.flow_convolutions[0].build(below)
        flow_channels = 2 * self.num_pairs
        for index, width in enumerate(self.filters):
            encoder = shapes[index + 1]
            self.deconvolutions[index].build(below)
            self.upsamplings[index].build(below[:-1] + (flow_channels,))
            below = encoder[:-1] + (encoder[-1] + width + flow_channels,)
            if self.intermediate_convolution:
                self.smooth_convolutions[index].build(below)
                below = below[:-1] + (width,)
            self.flow_convolutions[index + 1].build(below)
        self.built = True

    def _check_count(self, features):
        if len(features) != len(self.scales):
            raise ValueError(
                f"This head has {len(self.scales)} levels and takes as many feature maps, "
                f"finest first; received {len(features)}."
            )

    def call(self, features: list[Tensor], rematerialized: bool = False) -> Flows:
        self._check_count(features)
        coarse_to_fine = list(reversed(features))
        hidden = coarse_to_fine[0]
        raw = aligned_convolution(self.flow_convolutions[0], hidden)
        raw_flows = [raw]
        for index in range(len(self.filters)):
            inputs = (coarse_to_fine[index + 1], hidden, raw)
            if rematerialized:

                def run(*tensors, index=index):
                    return self._refine(index, *tensors)

                hidden, raw = rematerialize(run, self._level_layers(index), *inputs)
            else:
                hidden, raw = self._refine(index, *inputs)
            raw_flows.append(raw)
        coarsest = self.finest_level + len(self.filters)
        return {
            f"flow{coarsest - index}": self._flow(raw, scale)
            for index, (raw, scale) in enumerate(zip(raw_flows, self.scales, strict=True))
        }

    def _flow(self, raw, scale):
        raw = cut_channels(raw, 2 * self.num_pairs)
        return channels_to_flow(ops.cast(raw, "float32") * scale)

    def _level_layers(self, index):
        smooth = self.smooth_convolutions[index : index + 1]
        flow = self.flow_convolutions[index + 1]
        return [self.deconvolutions[index], self.upsamplings[index], *smooth, flow]

    def _refine(self, index, encoder, hidden, raw):
        """(features, raw flow) of a level from the encoder's and those of the coarser."""
        deconvolved = aligned_convolution(self.deconvolutions[index], hidden)
        deconvolved = cut_channels(deconvolved, self.filters[index])
        hidden = ops.concatenate(
            [
                encoder,
                leaky_relu(deconvolved, SLOPE),
                # Last: only these may have zero channels behind them.
                aligned_convolution(self.upsamplings[index], raw),
            ],
            axis=-1,
        )
        if self.intermediate_convolution:
            hidden = aligned_convolution(self.smooth_convolutions[index], hidden)
        return [hidden, aligned_convolution(self.flow_convolutions[index + 1], hidden)]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return {
            f"flow{self.finest_level + index}": (
                shape[0],
                self.num_pairs,
                shape[1],
                shape[2],
                2,
            )
            for index, shape in enumerate(input_shape)
        }

    def compute_output_spec(
        self, features: list[Tensor], rematerialized: bool = False
    ) -> Any:
        shapes = self.compute_output_shape([feature.shape for feature in features])
        return {
            name: keras.KerasTensor(shape, dtype="float32")
            for name, shape in shapes.items()
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_pairs": self.num_pairs,
            "filters": self.filters,
            "scales": self.scales,
            "finest_level": self.finest_level,
            "intermediate_convolution": self.intermediate_convolution,
            "flow_initializer": keras.initializers.serialize(self.flow_initializer),
            "smooth_prefix": self.smooth_prefix,
        }
