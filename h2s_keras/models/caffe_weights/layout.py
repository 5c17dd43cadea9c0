"""The layers of our models that wait for the weights of a Caffe file, by its names."""

import os
from typing import Any

import keras

from h2s_keras.errors import FileError, UserError
from h2s_keras.models.bn_inception import convolution_names
from h2s_keras.models.caffe_weights.slot import (
    CONVOLUTION,
    DECONVOLUTION,
    convolution_slot,
    dense_slot,
    flat_layers,
    normalization_kinds,
    normalization_slots,
)

SUFFIX = "_vgg16"  # of the temporal stream in the release, beside MotionNet's own names
_VGG16 = [f"conv{b}_{i}" for b, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]
_WIDTHS = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
# What files call the last layer of VGG16: its name tells the data set.
_LAST = (
    *("fc8", "fc8-1", "fc8-2", "fc8-101", "fc8-51", "fc8_101", "fc8_51", "fc8_ucf101"),
    *("fc8_hmdb51", "fc8-ucf101", "fc8-hmdb51", "fc8_new"),
)
_FIRST = ("conv1_1", "conv1/7x7_s2", "conv1_7x7_s2")


def find_slots(
    model: keras.Model, path: str | os.PathLike[str], layers: Any
) -> tuple[list[Any], list[str]]:
    """(slots of the streams that this file is about, names of layers to leave out)."""
    from h2s_keras.models.motion_net import MotionNet
    from h2s_keras.models.two_stream import HiddenTwoStream

    names = [layer.name for layer in layers]
    if isinstance(model, MotionNet):
        if sign := bn_inception_sign(layers):
            raise FileError(
                path, f"holds a BN-Inception network ({sign}, ...) and this is a MotionNet"
            )
        # MotionNet out of the stacked release: the CNN's layers are known by name.
        return _motion_slots(model), [name for name in names if name.endswith(SUFFIX)]
    if isinstance(model, HiddenTwoStream):
        return _two_stream_slots(model, path, layers), []
    if isinstance(model, keras.Model):
        inputs: Any = getattr(model, "inputs", None) or ()
        channels = inputs[0].shape[-1] if len(inputs) == 1 else None
        stream = "spatial" if channels == 3 else "temporal"
        suffixed = any(name.endswith(SUFFIX) for name in names)
        if suffixed and stream == "temporal":
            skipped = [name for name in names if not name.endswith(SUFFIX)]
            return _vgg16_slots(model, stream, SUFFIX), skipped
        return _stream_slots(model, stream, path, layers), []
    raise UserError(
        "load_caffe_weights fills a MotionNet, a HiddenTwoStream, or a VGG16 or "
        f"BN-Inception stream; received {type(model).__name__}"
    )


def image_channels(layers: Any) -> int | None:
    """Channels that the first convolution of a CNN's file reads; None if there is none."""
    named = (layer for layer in layers if layer.name in _FIRST)
    others = (layer for layer in layers if layer.type == CONVOLUTION)
    first = next(named, None) or next(others, None)
    shape: tuple[int, ...] = () if first is None else first.blobs[0].shape
    return shape[1] if len(shape) == 4 else None


def _two_stream_slots(model, path, layers):
    motion = any(layer.type == DECONVOLUTION for layer in layers)
    if motion or any(layer.name.endswith(SUFFIX) for layer in layers):
        if model.branched:
            raise UserError(
                "the release has no branched model; load_caffe_weights(model.motion, "
                "...) fills its MotionNet"
            )
        slots = _motion_slots(model.motion)
        return slots + _vgg16_slots(model.temporal, "temporal", SUFFIX)
    stream = "spatial" if image_channels(layers) == 3 else "temporal"
    part = getattr(model, stream)
    if part is None:
        inception = bn_inception_sign(layers)
        name, step = ("BN-Inception", "bn_inception") if inception else ("VGG16", "vgg16")
        raise FileError(
            path,
            f"holds a spatial {name} and this model has no spatial stream; add "
            f'.spatial("{step}") to the builder',
        )
    if stream == "temporal" and model.branched:
        raise UserError("a branched temporal stream is no CNN over flow")
    return _stream_slots(part, stream, path, layers)


def _stream_slots(model, stream, path, layers):
    """Told by the model: its layers' names are known where those of the file may not be."""
    if is_bn_inception(model):
        return bn_inception_slots(model, stream, path, layers)
    if sign := bn_inception_sign(layers):
        raise FileError(
            path,
            f"holds a BN-Inception network ({sign}, ...) and the {stream} stream is none; "
            f'build it by .{stream}("bn_inception") or build_backbone("bn_inception", ...)',
        )
    return _vgg16_slots(model, stream)


def _motion_slots(motion):
    if not motion.built:
        motion.build((None, motion.num_frames, None, None, 3))
    head, slots = motion.head, []
    for layer in motion.convolutions:
        slots.append(_motion_slot(layer))
    slots[0].reverse_frames = True
    slots.append(_flow_slot(head.flow_convolutions[0]))
    for index, deconvolution in enumerate(head.deconvolutions):
        upsampling = head.upsamplings[index]
        level = int(deconvolution.name.removeprefix("deconv"))
        names = [f"deconv{level}", f"upconv{level}"]
        slots.append(_motion_slot(deconvolution, names, pad=1))
        pair = (f"{level + 1}to{level}", f"{level + 1}_to_{level}")
        names = [f"{verb}{way}" for verb in ("upsample_flow", "up_flow") for way in pair]
        names.append(f"upsampled_flow{pair[1]}")
        slots.append(_motion_slot(upsampling, names, pad=1))
        if head.intermediate_convolution:
            names = [f"{kind}{level}" for kind in ("smooth_conv", "xconv", "iconv")]
            names.append(f"smooth{level}")
            slots.append(_motion_slot(head.smooth_convolutions[index], names, pad=1))
        slots.append(_flow_slot(head.flow_convolutions[index + 1]))
    return slots


def _flow_slot(layer):
    level = layer.name.removeprefix("flow")
    kinds = ("flow", "conv_pr", "predict_flow", "pr", "flow_pr", "conv_flow")
    names = [f"{kind}{level}" for kind in kinds]
    return _motion_slot(layer, names, pad=1)


def _motion_slot(layer, names=(), pad=None):
    return convolution_slot("motion", layer, (layer.name, *names), pad=pad)


def _vgg16_slots(model, stream, suffix=""):
    layers = list(flat_layers(model))
    convolutions = [one for one in layers if isinstance(one, keras.layers.Conv2D)]
    dense = [one for one in layers if isinstance(one, keras.layers.Dense)]
    if [one.kernel.shape[3] for one in convolutions] != _WIDTHS or [
        one.name for one in dense
    ] != ["fc6", "fc7", "fc8"]:
        raise UserError(
            f"the {stream} stream is no VGG16 with its published heads and no "
            f'BN-Inception; Caffe weights can be had for .{stream}("vgg16"), '
            f'.{stream}("bn_inception") and MotionNet'
        )
    slots = [
        convolution_slot(stream, layer, (name, f"{name}{suffix}"), name)
        for name, layer in zip(_VGG16, convolutions, strict=True)
    ]
    height, width = (side // 32 for side in model.input_shape[1:3])
    for layer in dense:
        slot = dense_slot(stream, layer, _LAST if layer.name == "fc8" else (layer.name,))
        if layer.name == "fc6":
            slot.map_shape = (slot.shape[1] // (height * width), height, width)
        slots.append(slot)
    if suffix:
        # Names without the suffix belong to MotionNet.
        for slot in slots:
            slot.names = tuple(
                f"{name.removesuffix(suffix)}{suffix}" for name in slot.names
            )
    return slots


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
