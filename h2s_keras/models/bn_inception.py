"""BN-Inception as Temporal Segment Networks released it for Caffe."""

from typing import Any

import keras

from h2s_keras.layers.caffe_pooling import CaffePooling
from h2s_keras.layers.synchronized_batch_normalization import (
    SynchronizedBatchNormalization,
)
from h2s_keras.models.image_format import channels_last
from h2s_keras.tensor_types import Tensor

# Stem: (released name, kernel, stride, filters), a pooling where filters is None.
STEM = (
    ("conv1/7x7_s2", 7, 2, 64),
    ("pool1/3x3_s2", 3, 2, None),
    ("conv2/3x3_reduce", 1, 1, 64),
    ("conv2/3x3", 3, 1, 192),
    ("pool2/3x3_s2", 3, 2, None),
)

# Blocks: filters of the branches 1x1 | 3x3 reduce, 3x3 | double 3x3 reduce, 3x3 (twice) |
# pooling kind, projection. Without 1x1 and projection a block halves the map.
BLOCKS = {
    "inception_3a": (64, (64, 64), (64, 96), "average", 32),
    "inception_3b": (64, (64, 96), (64, 96), "average", 64),
    "inception_3c": (None, (128, 160), (64, 96), "max", None),
    "inception_4a": (224, (64, 96), (96, 128), "average", 128),
    "inception_4b": (192, (96, 128), (96, 128), "average", 128),
    "inception_4c": (160, (128, 160), (128, 160), "average", 128),
    "inception_4d": (96, (128, 192), (160, 192), "average", 128),
    "inception_4e": (None, (128, 192), (192, 256), "max", None),
    "inception_5a": (352, (192, 320), (160, 224), "average", 128),
    "inception_5b": (352, (192, 320), (192, 224), "max", 128),
}


@channels_last()
def bn_inception(
    input_shape: Any,
    width: float = 1.0,
    partial_batch_normalization: bool = False,
    name: str = "bn_inception",
) -> keras.Model:
    """BN-Inception without its classifier, layer for layer as in the TSN release.

    Convolutions have biases beside batch normalisation, padding is symmetric, pooling
    rounds up (`CaffePooling`), batch normalisation has Caffe's epsilon 1e-5 and
    momentum 0.9. A layer's name is the released one with "/" made "_".

    Args:
        input_shape: (height, width, channels), the sides multiples of 32 or None.
        width: factor on all numbers of filters, for small experiments.
        partial_batch_normalization: keep mean and variance of all batch normalisations
            but the first as they are (TSN's partial BN, against overfitting).
        name: name of the model.

    Returns:
        keras.Model to maps (batch, height/32, width/32, 1024 * width); 10,290,272
        parameters with 3 channels at full width, moving statistics among them.

    Raises:
        ValueError: for sides that are not multiples of 32.

    Example:
        >>> bn_inception((64, 64, 20), width=0.125).output_shape
        (None, 2, 2, 128)

    Reference: Ioffe & Szegedy 2015, figure 5; Wang et al. 2016, Temporal Segment Networks,
    and its released BN-Inception networks.
    """
    height, breadth, _ = input_shape
    if any(side is not None and side % 32 for side in (height, breadth)):
        # On other sides the branches of a halving block differ by a pixel, in Caffe too.
        raise ValueError(
            "bn_inception takes sides that are multiples of 32; received input_shape "
            f"{tuple(input_shape)}."
        )
    body = _Body(width, partial_batch_normalization)
    inputs = keras.Input(tuple(input_shape), name="images")
    hidden = inputs
    for layer, kernel, stride, filters in STEM:
        if filters is None:
            hidden = CaffePooling(kernel, stride, name=_own(layer))(hidden)
        else:
            hidden = body.unit(hidden, layer, kernel, filters, stride)
    for block, row in BLOCKS.items():
        hidden = body.block(hidden, block, *row)
    return keras.Model(inputs, hidden, name=name)


def convolution_names() -> list[str]:
    """Names in the release of all convolutions, in its order; "NAME_bn" follows each.

    Example:
        >>> len(convolution_names()), convolution_names()[0]
        (69, 'conv1/7x7_s2')
    """
    names = [row[0] for row in STEM if row[3] is not None]
    for block, (single, *_, projection) in BLOCKS.items():
        names += [f"{block}/1x1"] if single else []
        names += [f"{block}/3x3_reduce", f"{block}/3x3"]
        names += [f"{block}/double_3x3_{part}" for part in ("reduce", "1", "2")]
        names += [f"{block}/pool_proj"] if projection else []
    return names


def _own(released):
    return released.replace("/", "_")


class _Body:
    """The pieces of the network; it knows which batch normalisation is the first."""

    def __init__(self, width: float, partial: Any) -> None:
        self.width, self.partial, self.first = width, partial, True

    def unit(
        self, hidden: Tensor, released: Any, kernel: Any, filters: Any, stride: Any = 1
    ) -> Tensor:
        """Convolution, batch normalisation, ReLU."""
        name = _own(released)
        if stride > 1:
            # "same" would pad a strided convolution on one side only.
            pad = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")
            hidden = pad(hidden)
        hidden = keras.layers.Conv2D(
            max(1, round(filters * self.width)),
            kernel,
            strides=stride,
            padding="same" if stride == 1 else "valid",
            # Published training starts from Xavier weights where it has none.
            kernel_initializer="glorot_uniform",
            name=name,
        )(hidden)
        hidden = SynchronizedBatchNormalization(
            frozen=self.partial and not self.first,
            epsilon=1e-5,
            momentum=0.9,
            name=f"{name}_bn",
        )(hidden)
        self.first = False
        group, _, part = released.partition("/")
        return keras.layers.ReLU(name=f"{group}_relu_{part}")(hidden)

    def block(
        self,
        hidden: Tensor,
        name: str,
        single: Any,
        triple: Any,
        double: Any,
        kind: str,
        projection: Any,
    ) -> Tensor:
        stride = 1 if projection else 2
        branches = []
        if single:
            branches.append(self.unit(hidden, f"{name}/1x1", 1, single))
        path = self.unit(hidden, f"{name}/3x3_reduce", 1, triple[0])
        branches.append(self.unit(path, f"{name}/3x3", 3, triple[1], stride))
        path = self.unit(hidden, f"{name}/double_3x3_reduce", 1, double[0])
        path = self.unit(path, f"{name}/double_3x3_1", 3, double[1])
        branches.append(self.unit(path, f"{name}/double_3x3_2", 3, double[1], stride))
        padding = 1 if stride == 1 else 0
        path = CaffePooling(3, stride, padding, kind, name=f"{name}_pool")(hidden)
        if projection:
            path = self.unit(path, f"{name}/pool_proj", 1, projection)
        branches.append(path)
        return keras.layers.Concatenate(name=f"{name}_output")(branches)
