"""A layer of ours that waits for the weights of a Caffe layer.

Caffe convolutions are (out, in, h, w) and deconvolutions (in, out, h, w), neither
flipped, so both become Keras' kernel by one transposition; a dense layer over a feature
map reads (C, H, W) there and (H, W, C) here; MotionNet's frames are BGR there and RGB here.

`BN` of the fork that Temporal Segment Networks were trained with holds scale, shift,
moving mean and moving variance. Stock Caffe has `BatchNorm` (mean, variance, and a factor
that both are divided by; a factor of 0 makes them 0) and behind it `Scale` (scale, shift).
Both add 1e-5 to the variance unless the layer says otherwise.

Reference: the fork's BNLayer (its release notes: the fourth blob is the variance since
cuDNN 5, April 2016, before the TSN release); Caffe 1.0, BatchNormLayer and ScaleLayer.
"""

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from h2s_keras.errors import FileError

CONVOLUTION, DECONVOLUTION, DENSE = "Convolution", "Deconvolution", "InnerProduct"


@dataclasses.dataclass
class Slot:
    """A convolution, deconvolution or dense layer of ours, and its Caffe layer's marks."""

    stream: str
    name: str
    kind: str
    names: tuple  # what Caffe files call it, the likeliest first
    layer: keras.layers.Layer
    shape: tuple  # of the first blob in Caffe's order
    stride: int = 1
    pad: int = 0
    map_shape: tuple | None = None  # (channels, height, width) that a dense layer reads
    reverse_frames: bool = False  # BGR -> RGB within each frame of 3 channels

    @property
    def outputs(self) -> int:
        return self.shape[1 if self.kind == DECONVOLUTION else 0]

    @property
    def blobs(self) -> list[tuple[str, tuple[int, ...]]]:
        """(what, shape) of the blobs of the Caffe layer."""
        return [("weights", self.shape), ("bias", (self.outputs,))]

    def shape_mismatches(self, layer: Any, said: Any) -> list[str]:
        """What is wrong with a `CaffeLayer`, of which a prototxt said `said` (or None)."""
        if layer.type not in ("", self.kind):
            return [f"{layer.name} is a {layer.type}, not a {self.kind}"]
        expected, problems = self.blobs, []
        if said is not None and not said.bias:
            expected.pop()
        for (what, shape), blob in zip(expected, layer.blobs, strict=False):
            if plain_shape(blob.shape, len(shape)) != shape:
                problems.append(
                    f"{layer.name} {what} {sides(blob)}, expected "
                    f"{'x'.join(map(str, shape))}"
                )
        for what, _ in expected[len(layer.blobs) :]:
            problems.append(f"{layer.name} {what} missing")
        if len(layer.blobs) > len(expected):
            problems.append(
                f"{layer.name} has {len(layer.blobs)} blobs, expected {len(expected)}"
            )
        if said is None or self.kind not in (CONVOLUTION, DECONVOLUTION):
            return problems
        for what, mine in (("stride", self.stride), ("pad", self.pad)):
            theirs = getattr(said, what)
            if theirs != mine:
                shown = "unequal values" if theirs is None else theirs
                problems.append(f"{layer.name} {what} {shown}, expected {mine}")
        return problems

    def validate_values(self, layer: Any, said: Any) -> str | None:
        """Why the values of a `CaffeLayer` of the right shapes are not weights, or None."""
        # As float32: a double may be too large for it.
        with np.errstate(over="ignore"):
            if all(np.isfinite(blob.values()).all() for blob in layer.blobs):
                return None
        return "holds NaN or weights that float32 cannot hold; give another snapshot"

    def fill(self, layer: Any, said: Any) -> int:
        """Gives our layer the weights of a `CaffeLayer`; returns how many numbers."""
        values = self._arrays(*(blob.values() for blob in layer.blobs))
        self.layer.set_weights(values)
        return sum(value.size for value in values)

    def _arrays(self, weights, bias=None):
        """[kernel, bias] in Keras' order from Caffe's float32 arrays (bias optional)."""
        weights = weights.reshape(self.shape)
        if self.map_shape is not None:
            weights = weights.reshape(-1, *self.map_shape).transpose(2, 3, 1, 0)
            kernel = weights.reshape(self.shape[::-1])
        elif self.kind == DENSE:
            kernel = weights.T
        else:
            kernel = weights.transpose(2, 3, 1, 0)
        if self.reverse_frames:
            height, width, channels, filters = kernel.shape
            frames = kernel.reshape(height, width, channels // 3, 3, filters)
            kernel = frames[:, :, :, ::-1].reshape(height, width, channels, filters)
        bias = np.zeros(self.outputs, "float32") if bias is None else bias.reshape(-1)
        return [kernel, bias]


def convolution_slot(
    stream: str,
    layer: Any,
    names: Sequence[str],
    name: str | None = None,
    pad: int | None = None,
) -> "Slot":
    """`Slot` of a Conv2D or Conv2DTranspose; `pad` is half the kernel by default."""
    kernel = layer.kernel.shape
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    return Slot(
        stream,
        name or layer.name,
        DECONVOLUTION if transposed else CONVOLUTION,
        tuple(dict.fromkeys(names)),
        layer,
        (kernel[3], kernel[2], kernel[0], kernel[1]),
        stride=layer.strides[0],
        pad=kernel[0] // 2 if pad is None else pad,
    )


def dense_slot(stream: str, layer: Any, names: Sequence[str]) -> "Slot":
    """`Slot` of a Dense layer over features."""
    columns, rows = layer.kernel.shape
    shape = (int(rows), int(columns))
    return Slot(stream, layer.name, DENSE, tuple(names), layer, shape)


def flat_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model, those of models within it instead of these."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from flat_layers(layer)
        else:
            yield layer


def plain_shape(shape: Any, axes: int) -> tuple[int, ...]:
    """A shape without the ones that some formats add: to four axes, or around a vector."""
    while len(shape) > axes and shape[0] == 1:
        shape = shape[1:]
    while axes == 1 and len(shape) > axes and shape[-1] == 1:
        shape = shape[:-1]
    return tuple(shape)


def sides(blob: Any) -> str:
    """The shape of a blob in words."""
    return "x".join(map(str, blob.shape))


FUSED, STATISTICS, SCALE = KINDS = "BN", "BatchNorm", "Scale"
EPSILON = 1e-5  # the default of eps in both

_BLOBS = {
    FUSED: ("scale", "shift", "mean", "variance"),
    STATISTICS: ("mean", "variance", "factor"),
    SCALE: ("scale", "shift"),
}
_VARIABLES = {
    "scale": "gamma",
    "shift": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}


@dataclasses.dataclass
class NormalizationSlot(Slot):
    """A BatchNormalization of ours that waits for a BN, a BatchNorm or a Scale layer.

    The last two fill one half of it each.
    """

    @property
    def blobs(self) -> list[tuple[str, tuple[int, ...]]]:
        return [
            (what, (1,) if what == "factor" else self.shape) for what in _BLOBS[self.kind]
        ]

    def validate_values(self, layer: Any, said: Any) -> str | None:
        """As of Slot; a negative variance, as of exchanged blobs, is one too."""
        found = super().validate_values(layer, said)
        if found or self.kind == SCALE:
            return found
        epsilon = _epsilon(layer, said)
        if not (math.isfinite(epsilon) and epsilon > 0):
            return f"has eps {epsilon:g}; batch normalisation needs one above 0"
        with np.errstate(over="ignore"):
            values = self._values(layer)
        finite = all(np.isfinite(array).all() for array in values.values())
        if not finite or values["variance"].min() < 0:
            return "has a negative or infinite variance or mean; give another snapshot"
        return None

    def fill(self, layer: Any, said: Any) -> int:
        values = self._values(layer)
        if "variance" in values:
            # Exact for another eps too: only the sum of both is ever used.
            other = _epsilon(layer, said) - self.layer.epsilon
            values["variance"] = values["variance"] + np.float32(other)
        for what, array in values.items():
            getattr(self.layer, _VARIABLES[what]).assign(array)
        return sum(array.size for array in values.values())

    def _values(self, layer):
        """dict of what -> float32 array (channels,)."""
        arrays = [blob.values().reshape(-1) for blob in layer.blobs]
        values = dict(zip(_BLOBS[self.kind], arrays, strict=False))
        if self.kind == STATISTICS:
            factor = float(values.pop("factor")[0])
            values = {what: _divided(array, factor) for what, array in values.items()}
        elif self.kind == SCALE:
            values.setdefault("shift", np.zeros(self.shape, "float32"))
        return values


def normalization_kinds(path: str | os.PathLike[str], layers: Any) -> tuple[str, ...]:
    """(BN,) or (BatchNorm, Scale): the form of batch normalisation in a file.

    Raises:
        FileError: if it has none, both, or another one.
    """
    types = {layer.type for layer in layers}
    if FUSED in types and not types & {STATISTICS, SCALE}:
        return (FUSED,)
    if STATISTICS in types and FUSED not in types:
        return (STATISTICS, SCALE)
    held = ", ".join(sorted(types - {""})) or "none that say"
    raise FileError(
        path,
        "is no BN-Inception whose batch normalisation is either BN (of the TSN fork) or "
        f"BatchNorm and Scale; its layers with weights are {held}",
    )


def normalization_slots(
    stream: str, layer: Any, convolutions: Any, kinds: tuple[str, ...]
) -> list[Any]:
    """Slots of a BatchNormalization behind a convolution that files call `convolutions`."""
    endings = {
        FUSED: ("_bn", "/bn"),
        STATISTICS: ("_bn", "/bn"),
        SCALE: ("_scale", "_bn_scale", "/scale", "/bn/scale", "/bn/sc", "_bn_sc"),
    }
    shape = (int(layer.gamma.shape[0]),)
    return [
        NormalizationSlot(
            stream,
            layer.name,
            kind,
            tuple(f"{name}{end}" for name in convolutions for end in endings[kind]),
            layer,
            shape,
        )
        for kind in kinds
    ]


def _divided(array, factor):
    """As Caffe does: a factor of 0, of a network that was never trained, gives zeros."""
    return array / np.float32(factor) if factor else np.zeros_like(array)


def _epsilon(layer, said):
    """Caffe takes weights from the file and settings from the text, if there is one."""
    stated = layer.epsilon if said is None else said.epsilon
    return EPSILON if stated is None else stated
