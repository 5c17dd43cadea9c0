"""The layers of our models that wait for Caffe weights, and how each array turns.

Caffe convolutions are (out, in, h, w) and deconvolutions (in, out, h, w), neither
flipped, so both become Keras' kernel by one transposition; a dense layer over a feature
map reads (C, H, W) there and (H, W, C) here; images are BGR there and RGB here.
"""

import dataclasses

import keras
import numpy as np

from h2s_keras.errors import FileError, UserError

CONVOLUTION, DECONVOLUTION, DENSE = "Convolution", "Deconvolution", "InnerProduct"
SUFFIX = "_vgg16"  # of the temporal stream in the release, beside MotionNet's own names
_VGG16 = [f"conv{b}_{i}" for b, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]
_WIDTHS = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
# What files call the last layer of VGG16: its name tells the data set.
_LAST = ("fc8", "fc8-1", "fc8-2", "fc8-101", "fc8-51", "fc8_101", "fc8_51")
_LAST += ("fc8_ucf101", "fc8_hmdb51", "fc8-ucf101", "fc8-hmdb51", "fc8_new")


@dataclasses.dataclass
class Slot:
    """A layer of ours that waits for the weights of a Caffe layer."""

    stream: str
    name: str
    kind: str
    names: tuple  # what Caffe files call it
    layer: keras.layers.Layer
    shape: tuple  # of the weights in Caffe's order
    stride: int = 1
    pad: int = 0
    map_shape: tuple | None = None  # (channels, height, width) that a dense layer reads
    reverse_frames: bool = False  # BGR -> RGB within each frame of 3 channels
    input_scale: float = 1.0  # of our input over Caffe's: the kernel is divided by it

    @property
    def outputs(self):
        return self.shape[1 if self.kind == DECONVOLUTION else 0]

    def arrays(self, weights, bias=None):
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
        if self.input_scale != 1.0:
            kernel = kernel / np.float32(self.input_scale)
        bias = np.zeros(self.outputs, "float32") if bias is None else bias.reshape(-1)
        return [kernel, bias]


def find_slots(model, path, layers):
    """(slots of the streams that this file is about, names of layers to leave out)."""
    from h2s_keras.models.motion_net import MotionNet
    from h2s_keras.models.two_stream import HiddenTwoStream

    names = [layer.name for layer in layers]
    if isinstance(model, MotionNet):
        # MotionNet out of the stacked release: the CNN's layers are known by name.
        return _motion_slots(model), [name for name in names if name.endswith(SUFFIX)]
    if isinstance(model, HiddenTwoStream):
        motion = any(layer.type == DECONVOLUTION for layer in layers)
        if motion or any(name.endswith(SUFFIX) for name in names):
            if model.branched:
                raise UserError(
                    "the release has no branched model; load_caffe_weights(model.motion, "
                    "...) fills its MotionNet"
                )
            slots = _motion_slots(model.motion)
            return slots + _vgg16_slots(model.temporal, "temporal", SUFFIX), []
        stream = "spatial" if _image_channels(layers) == 3 else "temporal"
        part = getattr(model, stream)
        if part is None:
            raise FileError(
                path,
                "holds a spatial VGG16 and this model has no spatial stream; add "
                '.spatial("vgg16") to the builder',
            )
        if stream == "temporal" and model.branched:
            raise UserError("a branched temporal stream is no VGG16 over flow")
        return _vgg16_slots(part, stream), []
    if isinstance(model, keras.Model):
        inputs = getattr(model, "inputs", None) or ()
        channels = inputs[0].shape[-1] if len(inputs) == 1 else None
        stream = "spatial" if channels == 3 else "temporal"
        suffixed = any(name.endswith(SUFFIX) for name in names)
        if suffixed and stream == "temporal":
            skipped = [name for name in names if not name.endswith(SUFFIX)]
            return _vgg16_slots(model, stream, SUFFIX), skipped
        return _vgg16_slots(model, stream), []
    raise UserError(
        "load_caffe_weights fills a MotionNet, a HiddenTwoStream or a VGG16 stream; "
        f"received {type(model).__name__}"
    )


def _motion_slots(motion):
    if not motion.built:
        motion.build((None, motion.num_frames, None, None, 3))
    head, slots = motion.head, []
    for layer in motion.convolutions:
        slots.append(_convolution_slot("motion", layer, (layer.name,)))
    slots[0].reverse_frames = True
    slots.append(_flow_slot(head.flow_convolutions[0]))
    for index, deconvolution in enumerate(head.deconvolutions):
        upsampling = head.upsamplings[index]
        level = int(deconvolution.name.removeprefix("deconv"))
        names = (f"deconv{level}", f"upconv{level}")
        slots.append(_convolution_slot("motion", deconvolution, names, pad=1))
        pair = (f"{level + 1}to{level}", f"{level + 1}_to_{level}")
        names = [f"{verb}{way}" for verb in ("upsample_flow", "up_flow") for way in pair]
        names.append(f"upsampled_flow{pair[1]}")
        slots.append(_convolution_slot("motion", upsampling, names, pad=1))
        if head.intermediate_convolution:
            names = [f"{kind}{level}" for kind in ("smooth_conv", "xconv", "iconv")]
            names = (*names, f"smooth{level}")
            slots.append(
                _convolution_slot("motion", head.smooth_convolutions[index], names, pad=1)
            )
        slots.append(_flow_slot(head.flow_convolutions[index + 1]))
    return slots


def _flow_slot(layer):
    level = layer.name.removeprefix("flow")
    kinds = ("flow", "conv_pr", "predict_flow", "pr", "flow_pr", "conv_flow")
    names = [f"{kind}{level}" for kind in kinds]
    return _convolution_slot("motion", layer, names, pad=1)


def _convolution_slot(stream, layer, names, name=None, pad=None):
    kernel = layer.kernel.shape
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    return Slot(
        stream,
        name or layer.name,
        DECONVOLUTION if transposed else CONVOLUTION,
        tuple(dict.fromkeys((name or layer.name, *names))),
        layer,
        (kernel[3], kernel[2], kernel[0], kernel[1]),
        stride=layer.strides[0],
        pad=kernel[0] // 2 if pad is None else pad,
    )


def _vgg16_slots(model, stream, suffix=""):
    layers = list(_flat_layers(model))
    convolutions = [one for one in layers if isinstance(one, keras.layers.Conv2D)]
    dense = [one for one in layers if isinstance(one, keras.layers.Dense)]
    if [one.kernel.shape[3] for one in convolutions] != _WIDTHS or [
        one.name for one in dense
    ] != ["fc6", "fc7", "fc8"]:
        raise UserError(
            f"the {stream} stream is no VGG16 with its published heads; Caffe weights can "
            f'be had for .{stream}("vgg16") and for MotionNet'
        )
    slots = [
        _convolution_slot(stream, layer, (f"{name}{suffix}",), name)
        for name, layer in zip(_VGG16, convolutions, strict=True)
    ]
    height, width = (side // 32 for side in model.input_shape[1:3])
    for layer in dense:
        columns, rows = layer.kernel.shape
        known = _LAST if layer.name == "fc8" else (layer.name,)
        slot = Slot(
            stream, layer.name, DENSE, tuple(known), layer, (int(rows), int(columns))
        )
        if layer.name == "fc6":
            slot.map_shape = (columns // (height * width), height, width)
        slots.append(slot)
    if suffix:
        # Names without the suffix belong to MotionNet.
        for slot in slots:
            slot.names = tuple(
                f"{name.removesuffix(suffix)}{suffix}" for name in slot.names
            )
    return slots


def _flat_layers(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _flat_layers(layer)
        else:
            yield layer


def _image_channels(layers):
    """Channels that the first convolution of a VGG16 file reads; None if there is none."""
    for layer in layers:
        if layer.name == "conv1_1" or layer.type == CONVOLUTION:
            return layer.blobs[0].shape[1] if len(layer.blobs[0].shape) == 4 else None
    return None
