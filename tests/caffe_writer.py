"""Caffe networks, written from caffe.proto and the published tables alone.

Descriptions of the networks, random weights for them, their .prototxt text and their
.caffemodel in both formats; tests/caffe_forward.py computes them. Nothing here imports the
package.
"""

import dataclasses
import struct

import numpy as np

# === Networks ===


@dataclasses.dataclass
class Layer:
    name: str
    type: str
    bottoms: tuple
    top: str
    inputs: int = 0
    outputs: int = 0
    kernel: int = 0
    stride: int = 1
    pad: int = 0
    slope: float = 0.0
    pool: str = "MAX"
    eps: float = 1e-5

    @property
    def weight_shapes(self):
        window = (self.kernel, self.kernel)
        if self.type == "Convolution":
            return (self.outputs, self.inputs, *window), (self.outputs,)
        if self.type == "Deconvolution":
            return (self.inputs, self.outputs, *window), (self.outputs,)
        return (self.outputs, self.inputs), (self.outputs,)


WEIGHTED = ("Convolution", "Deconvolution", "InnerProduct")
NORMALIZATIONS = ("BN", "BatchNorm", "Scale")


class Net(list):
    def __init__(self, channels):
        super().__init__()
        self.channels = {"data": channels}

    def weighted(self, kind, name, bottom, outputs, kernel, stride=1, pad=0, slope=None):
        inputs = self.channels[bottom]
        top = name
        self.append(Layer(name, kind, (bottom,), top, inputs, outputs, kernel, stride, pad))
        if slope is not None:
            self.append(Layer(f"relu_{name}", "ReLU", (top,), top, slope=slope))
        self.channels[top] = outputs
        return top

    def pooled(self, name, bottom, kernel, stride, pad=0, pool="MAX"):
        layer = Layer(
            name, "Pooling", (bottom,), name, 0, 0, kernel, stride, pad, pool=pool
        )
        self.append(layer)
        self.channels[name] = self.channels[bottom]
        return name

    def joined(self, name, bottoms):
        self.append(Layer(name, "Concat", tuple(bottoms), name))
        self.channels[name] = sum(self.channels[bottom] for bottom in bottoms)
        return name


_MOTION_NET = (
    ("conv1", 64, 3, 1),
    ("conv1_1", 64, 3, 1),
    ("conv2", 128, 3, 2),
    ("conv2_1", 128, 3, 1),
    ("conv3", 256, 3, 2),
    ("conv3_1", 256, 3, 1),
    ("conv4", 512, 3, 2),
    ("conv4_1", 512, 3, 1),
    ("conv5", 512, 3, 2),
    ("conv5_1", 512, 3, 1),
    ("conv6", 1024, 3, 2),
    ("conv6_1", 1024, 3, 1),
)
_TINY = (
    ("conv1", 64, 7, 1),
    ("conv2", 128, 5, 2),
    ("conv3", 256, 3, 2),
    ("conv4", 128, 3, 2),
)


def motion_net(frames, variant="motionnet", flow_name="conv_pr"):
    """MotionNet as in the paper's table 1, layers in the order of computation."""
    full = variant == "motionnet"
    net, bottom = Net(3 * frames), "data"
    for name, outputs, kernel, stride in _MOTION_NET if full else _TINY:
        bottom = net.weighted(
            "Convolution", name, bottom, outputs, kernel, stride, kernel // 2, 0.1
        )
    flows, smooth = 2 * (frames - 1), "smooth_conv" if full else "xconv"
    coarsest = 6 if full else 4
    net.weighted("Convolution", f"{flow_name}{coarsest}", bottom, flows, 3, 1, 1)
    for level in range(coarsest - 1, 1, -1):
        width = {5: 512, 4: 256, 3: 128, 2: 64}[level]
        up, down = f"upsample_flow{level + 1}to{level}", f"deconv{level}"
        net.weighted("Deconvolution", down, bottom, width, 4, 2, 1, 0.1)
        net.weighted("Deconvolution", up, f"{flow_name}{level + 1}", flows, 4, 2, 1)
        encoder = f"conv{level}_1" if full else f"conv{level}"
        bottom = net.joined(f"concat{level}", (encoder, down, up))
        bottom = net.weighted("Convolution", f"{smooth}{level}", bottom, width, 3, 1, 1)
        net.weighted("Convolution", f"{flow_name}{level}", bottom, flows, 3, 1, 1)
    return net


def vgg16(channels, size, classes, suffix=""):
    """VGG16 with its three dense layers, for square images of `size` pixels."""
    net, bottom = Net(channels), "data"
    for block, (count, width) in enumerate(
        ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1
    ):
        for index in range(1, count + 1):
            name = f"conv{block}_{index}{suffix}"
            bottom = net.weighted("Convolution", name, bottom, width, 3, 1, 1, 0.0)
        bottom = net.pooled(f"pool{block}{suffix}", bottom, 2, 2)
    net.channels[bottom] = 512 * (size // 32) ** 2
    for name, outputs in (("fc6", 4096), ("fc7", 4096), ("fc8", classes)):
        slope = None if name == "fc8" else 0.0
        bottom = net.weighted(
            "InnerProduct", name + suffix, bottom, outputs, 0, slope=slope
        )
    return net


def random_weights(net, seed=0):
    """dict name -> (weights, bias) in Caffe's shapes, sized so that signals live."""
    rng, result = np.random.default_rng(seed), {}
    for layer in net:
        if layer.type in WEIGHTED:
            weights, bias = layer.weight_shapes
            fan_in = layer.inputs * max(1, layer.kernel) ** 2 / layer.stride**2
            values = rng.standard_normal(weights, dtype="float32")
            values *= np.float32((2 / fan_in) ** 0.5)
            result[layer.name] = (values, 0.1 * rng.standard_normal(bias, dtype="float32"))
    return result


# === .prototxt ===


def prototxt(net, size, mean=()):
    """Text of the network over data (1, channels, *size)."""
    sides = " ".join(f"dim: {side}" for side in (1, net.channels["data"], *size))
    means = " ".join(f"mean_value: {value}" for value in mean)
    transform = f" transform_param {{ {means} }}" if mean else ""
    lines = [
        'name: "test"  # written by tests/caffe_writer.py',
        f'layer {{ name: "data" type: "Input" top: "data" '
        f"input_param {{ shape {{ {sides} }} }}{transform} }}",
    ]
    for layer in net:
        bottoms = " ".join(f'bottom: "{bottom}"' for bottom in layer.bottoms)
        settings = ""
        if layer.type in ("Convolution", "Deconvolution"):
            settings = (
                f"convolution_param {{ num_output: {layer.outputs} kernel_size: "
                f"{layer.kernel} stride: {layer.stride} pad: {layer.pad} }}"
            )
        elif layer.type == "InnerProduct":
            settings = f"inner_product_param {{ num_output: {layer.outputs} }}"
        elif layer.type == "ReLU":
            settings = f"relu_param {{ negative_slope: {layer.slope} }}"
        elif layer.type == "Pooling":
            settings = (
                f"pooling_param {{ pool: {layer.pool} kernel_size: {layer.kernel} stride: "
                f"{layer.stride} pad: {layer.pad} }}"
            )
        elif layer.type == "BN":
            settings = f"bn_param {{ frozen: true eps: {layer.eps} }}"
        elif layer.type == "BatchNorm":
            settings = f"batch_norm_param {{ use_global_stats: true eps: {layer.eps} }}"
        elif layer.type == "Scale":
            settings = "scale_param { bias_term: true }"
        lines.append(
            f'layer {{\n  name: "{layer.name}"\n  type: "{layer.type}"\n  {bottoms}\n'
            f'  top: "{layer.top}"\n  {settings}\n}}'
        )
    return "\n".join(lines) + "\n"


# === .caffemodel ===


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, payload):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def integer(number, value):
    return varint(number << 3) + varint(value)


def blob(array, legacy=False, double=False, unpacked=False):
    """BlobProto; `legacy` has num, channels, height, width instead of a shape."""
    array = np.asarray(array)
    if legacy:
        sides = (1,) * (4 - array.ndim) + array.shape
        head = b"".join(integer(number, side) for number, side in enumerate(sides, 1))
    else:
        head = field(7, field(1, b"".join(varint(side) for side in array.shape)))
    if unpacked:
        body = b"".join(
            varint(5 << 3 | 5) + struct.pack("<f", value) for value in array.ravel()
        )
    elif double:
        body = field(8, array.astype("<f8").tobytes())
    else:
        body = field(5, array.astype("<f4").tobytes())
    return head + body


_V1_TYPES = {"Convolution": 4, "Deconvolution": 39, "InnerProduct": 14}


def real(number, value):
    return varint(number << 3 | 5) + struct.pack("<f", value)


def caffe_layer(name, kind, blobs, v1=False, settings=b""):
    """One field of NetParameter: `layer` (100), or V1 `layers` (2)."""
    if v1:
        body = field(2, b"bottom") + field(3, b"top") + field(4, name.encode())
        body += integer(5, _V1_TYPES[kind]) + b"".join(field(6, one) for one in blobs)
        return field(2, body)
    body = field(1, name.encode()) + field(2, kind.encode()) + field(3, b"bottom")
    body += settings
    return field(100, body + b"".join(field(7, one) for one in blobs))


def caffemodel(net, weights, v1=False, **options):
    """Bytes of a NetParameter with the layers of `net` that `weights` names."""
    options = {"legacy": v1, **options}
    parts = [field(1, b"test")]
    for layer in net:
        if layer.name in weights:
            blobs = [blob(array, **options) for array in weights[layer.name]]
            parts.append(caffe_layer(layer.name, layer.type, blobs, v1))
        elif not v1:
            parts.append(caffe_layer(layer.name, layer.type, []))
    return b"".join(parts)
