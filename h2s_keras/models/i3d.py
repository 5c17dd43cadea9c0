"""Inception-v1 with batch normalisation in 2D, and inflated to 3D: I3D."""

from typing import Any

import keras

from h2s_keras.layers.flow_volume import FlowVolume
from h2s_keras.layers.synchronized_batch_normalization import (
    SynchronizedBatchNormalization,
)
from h2s_keras.models.image_format import channels_last
from h2s_keras.tensor_types import Tensor

# Adapted flow spans -128..127; I3D was trained on flow of -1..1.
FLOW_SCALE = 1 / 128

# (name, kernel, stride, filters) of a convolution; (name, kernel, stride in time and
# space) of a pooling; (name, filters of the branches 1x1 | 3x3 | 3x3 | pooling) of a block.
TABLE: tuple[tuple[Any, ...], ...] = (
    ("Conv_1a_7x7", 7, 2, 64),
    ("MaxPool_2a_3x3", (1, 3), (1, 2)),
    ("Conv_2b_1x1", 1, 1, 64),
    ("Conv_2c_3x3", 3, 1, 192),
    ("MaxPool_3a_3x3", (1, 3), (1, 2)),
    ("Mixed_3b", (64, (96, 128), (16, 32), 32)),
    ("Mixed_3c", (128, (128, 192), (32, 96), 64)),
    ("MaxPool_4a_3x3", (3, 3), (2, 2)),
    ("Mixed_4b", (192, (96, 208), (16, 48), 64)),
    ("Mixed_4c", (160, (112, 224), (24, 64), 64)),
    ("Mixed_4d", (128, (128, 256), (24, 64), 64)),
    ("Mixed_4e", (112, (144, 288), (32, 64), 64)),
    ("Mixed_4f", (256, (160, 320), (32, 128), 128)),
    ("MaxPool_5a_2x2", (2, 2), (2, 2)),
    ("Mixed_5b", (256, (160, 320), (32, 128), 128)),
    ("Mixed_5c", (384, (192, 384), (48, 128), 128)),
)


@channels_last()
def inception_v1(
    input_shape: Any,
    width: float = 1.0,
    partial_batch_normalization: bool = False,
    name: str = "inception_v1",
) -> keras.Model:
    """Inception-v1 with batch normalisation, without its classifier: I3D's 2D parent.

    Args:
        input_shape: (height, width, channels); 3 channels in -1..1, others are adapted
            flow of -128..127.
        width, partial_batch_normalization, name: as for `i3d`.

    Returns:
        keras.Model to maps (batch, height/32, width/32, 1024 * width), sides rounded up.

    Example:
        >>> inception_v1((64, 64, 3), width=0.125).output_shape
        (None, 2, 2, 128)

    Reference: Szegedy et al. 2015, table 1, with 3x3 instead of 5x5 and batch normalisation
    as Carreira & Zisserman 2017 inflated it.
    """
    inputs = keras.Input(tuple(input_shape), name="images")
    hidden = inputs
    if input_shape[-1] != 3:
        hidden = keras.layers.Rescaling(FLOW_SCALE, name="input_scale")(hidden)
    body = _Body(2, width, partial_batch_normalization)
    return keras.Model(inputs, body(hidden), name=name)


@channels_last()
def i3d(
    input_shape: Any,
    width: float = 1.0,
    partial_batch_normalization: bool = False,
    name: str = "i3d",
) -> keras.Model:
    """I3D without its classifier: Inception-v1 inflated into time.

    Args:
        input_shape: of RGB clips (time, height, width, 3) in -1..1, or of stacked flow
            (height, width, 2 * pairs) in -128..127, channels u0 v0 u1 v1 ..., which the
            first layer turns into a volume of `pairs` steps. Any sizes from 1 on.
        width: factor on all numbers of filters, for small experiments.
        partial_batch_normalization: keep mean and variance of all batch normalisations
            but the first as they are.
        name: name of the model.

    Returns:
        keras.Model to maps (batch, time/8, height/32, width/32, 1024 * width), every side
        rounded up; 12,294,544 parameters over RGB at full width.

    Raises:
        ValueError: for another rank, or flow with an odd number of channels.

    Example:
        >>> i3d((32, 32, 20), width=0.125).output_shape
        (None, 2, 1, 1, 128)

    Reference: Carreira & Zisserman 2017, figure 3. The classifier of `build_backbone`
    averages over all of time and space; the published one averages pairs of steps first,
    which is the same up to two steps and gives the outer ones half the weight beyond.
    """
    inputs = keras.Input(tuple(input_shape), name="images")
    hidden = inputs
    if len(input_shape) == 3:
        hidden = FlowVolume(FLOW_SCALE, name="flow_volume")(inputs)
    elif len(input_shape) != 4:
        raise ValueError(
            "i3d takes clips (time, height, width, 3) or stacked flow (height, width, "
            f"2 * pairs); received input_shape {tuple(input_shape)}."
        )
    body = _Body(3, width, partial_batch_normalization)
    return keras.Model(inputs, body(hidden), name=name)


class _Body:
    """The table in 2 or 3 dimensions; the layers have the same names in both."""

    def __init__(self, dimensions: Any, width: float, partial: Any) -> None:
        self.dimensions, self.width = dimensions, width
        self.partial, self.first = partial, True
        self.convolution = getattr(keras.layers, f"Conv{dimensions}D")
        self.pooling = getattr(keras.layers, f"MaxPooling{dimensions}D")

    def __call__(self, hidden):
        for name, *row in TABLE:
            if name.startswith("Conv"):
                hidden = self.unit(hidden, name, *row)
            elif name.startswith("MaxPool"):
                hidden = self.pool(hidden, name, *row)
            else:
                hidden = self.block(hidden, name, *row[0])
        return hidden

    def unit(
        self, hidden: Tensor, name: str, kernel: Any, stride: Any, filters: Any
    ) -> Tensor:
        """Convolution without bias, batch normalisation without scale, ReLU."""
        hidden = self.convolution(
            max(1, round(filters * self.width)),
            kernel,
            strides=stride,
            padding="same",
            use_bias=False,
            name=name,
        )(hidden)
        hidden = SynchronizedBatchNormalization(
            frozen=self.partial and not self.first,
            epsilon=1e-3,
            momentum=0.999,
            scale=False,
            name=f"{name}_bn",
        )(hidden)
        self.first = False
        return keras.layers.ReLU(name=f"{name}_relu")(hidden)

    def pool(self, hidden: Tensor, name: str, sizes: Any, strides: Any) -> Tensor:
        spread = (lambda pair: pair[1]) if self.dimensions == 2 else self._spread
        half = keras.config.dtype_policy().compute_dtype == "float16"
        layer = self.pooling(
            spread(sizes),
            spread(strides),
            padding="same",
            # TensorFlow has no 3D pooling of float16 on the CPU.
            dtype="float32" if half and self.dimensions == 3 else None,
            name=name,
        )
        return layer(hidden)

    @staticmethod
    def _spread(pair):
        time, space = pair
        return (time, space, space)

    def block(
        self,
        hidden: Tensor,
        name: str,
        single: Any,
        triple: Any,
        other: Any,
        projection: Any,
    ) -> Tensor:
        branches = [self.unit(hidden, f"{name}_Branch_0_0a_1x1", 1, 1, single)]
        for branch, (reduced, filters) in ((1, triple), (2, other)):
            path = self.unit(hidden, f"{name}_Branch_{branch}_0a_1x1", 1, 1, reduced)
            path = self.unit(path, f"{name}_Branch_{branch}_0b_3x3", 3, 1, filters)
            branches.append(path)
        path = self.pool(hidden, f"{name}_Branch_3_0a_3x3", (3, 3), (1, 1))
        branches.append(self.unit(path, f"{name}_Branch_3_0b_1x1", 1, 1, projection))
        return keras.layers.Concatenate(name=f"{name}_output")(branches)
