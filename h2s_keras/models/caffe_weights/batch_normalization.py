"""Batch normalisation of Caffe files: one layer in the TSN fork, two in stock Caffe.

`BN` of the fork that Temporal Segment Networks were trained with holds scale, shift,
moving mean and moving variance. Stock Caffe has `BatchNorm` (mean, variance, and a factor
that both are divided by; a factor of 0 makes them 0) and behind it `Scale` (scale, shift).
Both add 1e-5 to the variance unless the layer says otherwise.

Source: the fork's BNLayer (its release notes: the fourth blob is the variance since cuDNN
5, April 2016, before the TSN release); Caffe 1.0, BatchNormLayer and ScaleLayer.
"""

import dataclasses
import math
import os
from typing import Any

import numpy as np

from h2s_keras.errors import FileError
from h2s_keras.models.caffe_weights.slot import Slot

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

    def flaw(self, layer: Any, said: Any) -> str | None:
        """As of Slot; a negative variance, as of exchanged blobs, is one too."""
        found = super().flaw(layer, said)
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
    told = layer.epsilon if said is None else said.epsilon
    return EPSILON if told is None else told
