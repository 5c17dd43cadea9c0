"""Where the weights of a Caffe BN-Inception go: the stream models of `build_backbone`."""

import os
from typing import Any

import keras

from h2s_keras.models.bn_inception import convolution_names
from h2s_keras.models.caffe_weights.batch_normalization import (
    normalization_kinds,
    normalization_slots,
)
from h2s_keras.models.caffe_weights.slot import convolution_slot, dense_slot, flat_layers

# What files call the classifier; "fc-action" in the TSN release.
CLASSIFIERS = ("fc-action", "fc_action", "fc")


def bn_inception_sign(layers: Any) -> str | None:
    """The name of a layer that tells a BN-Inception file by its names, or None."""
    known = {own for name in convolution_names() for own in (name, _own(name))}
    signs = (layer.name for layer in layers if layer.name in known)
    return next(signs, None)


def is_bn_inception(model: keras.Model) -> bool:
    """Whether a stream is BN-Inception with one dense layer behind it."""
    ours = _layers(model)
    names = [_own(name) for name in convolution_names()]
    return (
        all(name in ours and f"{name}_bn" in ours for name in names)
        and all(isinstance(ours[name], keras.layers.Conv2D) for name in names)
        and len(_dense(ours)) == 1
    )


def bn_inception_slots(
    model: keras.Model, stream: str, path: str | os.PathLike[str], layers: Any
) -> list[Any]:
    """The layers of a stream that wait for the weights of a BN-Inception file.

    Args:
        model: a stream for which `is_bn_inception` holds; any number of channels.
        stream: "spatial" or "temporal".
        path: the file, for errors.
        layers: its list of `CaffeLayer` with blobs.

    Returns:
        list of `Slot`, the first convolution first.

    Raises:
        FileError: if the file has batch normalisation of no known form.
    """
    ours, slots = _layers(model), []
    kinds = normalization_kinds(path, layers)
    for released in convolution_names():
        own = _own(released)
        # Some copies of the network have no "/" in their names.
        names = (released, own)
        slots.append(convolution_slot(stream, ours[own], names))
        slots += normalization_slots(stream, ours[f"{own}_bn"], names, kinds)
    return [*slots, dense_slot(stream, _dense(ours)[0], CLASSIFIERS)]


def _layers(model):
    return {layer.name: layer for layer in flat_layers(model)}


def _dense(ours):
    return [layer for layer in ours.values() if isinstance(layer, keras.layers.Dense)]


def _own(released):
    return released.replace("/", "_")
