"""BN-Inception as a Caffe network, written from the published table alone.

Nothing here imports the package.
"""

import types

import caffe_forward
import caffe_writer as caffe
import numpy as np
from checks import to_numpy

# Ioffe & Szegedy 2015, figure 5, with the depths of the released network: block, 1x1,
# 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pooling, projection (0: absent).
_BLOCKS = """
    3a   64   64   64   64   96  AVE   32
    3b   64   64   96   64   96  AVE   64
    3c    0  128  160   64   96  MAX    0
    4a  224   64   96   96  128  AVE  128
    4b  192   96  128   96  128  AVE  128
    4c  160  128  160  128  160  AVE  128
    4d   96  128  192  160  192  AVE  128
    4e    0  128  192  192  256  MAX    0
    5a  352  192  320  160  224  AVE  128
    5b  352  192  320  192  224  MAX  128
"""


class _Net(caffe.Net):
    """Adds batch normalisation of either form, and ReLU, behind each convolution."""

    def __init__(self, channels, form, separator, eps):
        super().__init__(channels)
        self.form, self.separator, self.eps = form, separator, eps

    def unit(self, name, bottom, outputs, kernel, stride=1):
        name = name.replace("/", self.separator)
        top = self.weighted(
            "Convolution", name, bottom, outputs, kernel, stride, kernel // 2
        )
        kinds = {"BN": {"_bn": "BN"}, "stock": {"_bn": "BatchNorm", "_scale": "Scale"}}
        for ending, kind in kinds[self.form].items():
            new = f"{name}{ending}"
            layer = caffe.Layer(new, kind, (top,), new, outputs, outputs, eps=self.eps)
            self.append(layer)
            top = new
        self.append(caffe.Layer(f"{name}_relu", "ReLU", (top,), top))
        self.channels[top] = outputs
        return top


def bn_inception(
    channels, size, classes, form="BN", separator="/", last="fc-action", eps=1e-5
):
    """The network for square images of `size` pixels, a multiple of 32.

    `form` of batch normalisation: "BN" of the TSN fork or "stock", BatchNorm and Scale.
    """
    net = _Net(channels, form, separator, eps)
    top = net.unit("conv1/7x7_s2", "data", 64, 7, 2)
    top = net.pooled(f"pool1{separator}3x3_s2", top, 3, 2)
    top = net.unit("conv2/3x3_reduce", top, 64, 1)
    top = net.unit("conv2/3x3", top, 192, 3)
    top = net.pooled(f"pool2{separator}3x3_s2", top, 3, 2)
    for line in _BLOCKS.split("\n")[1:-1]:
        block, *numbers, pool, projection = line.split()
        single, triple_in, triple, double_in, double = map(int, numbers)
        name, before, branches = f"inception_{block}", top, []
        stride = 1 if int(projection) else 2
        if single:
            branches.append(net.unit(f"{name}/1x1", before, single, 1))
        top = net.unit(f"{name}/3x3_reduce", before, triple_in, 1)
        branches.append(net.unit(f"{name}/3x3", top, triple, 3, stride))
        top = net.unit(f"{name}/double_3x3_reduce", before, double_in, 1)
        top = net.unit(f"{name}/double_3x3_1", top, double, 3)
        branches.append(net.unit(f"{name}/double_3x3_2", top, double, 3, stride))
        pad = 1 if stride == 1 else 0
        top = net.pooled(f"{name}{separator}pool", before, 3, stride, pad, pool)
        if int(projection):
            top = net.unit(f"{name}/pool_proj", top, int(projection), 1)
        top = net.joined(f"{name}{separator}output", [*branches, top])
    top = net.pooled("global_pool", top, size // 32, 1, pool="AVE")
    net.weighted("InnerProduct", last, top, classes, 0)
    return net


def random_weights(net, data, seed=0):
    """dict name -> blobs; statistics are near those of `data`, as after training.

    Far from them, mean and shift would be lost beside the values that they move.
    """
    rng = np.random.default_rng(seed)
    weights = caffe.random_weights(net, seed)
    tops = {"data": np.asarray(data, "float64")}
    for layer in net:
        if layer.type in caffe.NORMALIZATIONS:
            values = tops[layer.bottoms[0]]
            blobs = _random_blobs(layer, values.reshape(len(values), -1), rng)
            weights[layer.name] = tuple(np.asarray(blob, "float32") for blob in blobs)
        tops[layer.top] = caffe_forward.compute(layer, weights, tops)
    return weights


def _random_blobs(layer, values, rng):
    count = len(values)
    affine = (rng.uniform(0.4, 1.0, count), rng.normal(1.0, 0.5, count))
    if layer.type == "Scale":
        return affine
    # Around zero: deep maps have few pixels, and the variance of a nearly constant channel
    # would enlarge its rounding.
    variance = np.square(values).mean(axis=1)
    variance *= rng.uniform(0.7, 1.5, count)
    mean = values.mean(axis=1) + 0.3 * np.sqrt(variance) * rng.normal(size=count)
    if layer.type == "BN":
        return *(blob[None] for blob in affine), mean[None], variance[None]
    factor = rng.uniform(500, 1000)
    return mean * factor, variance * factor, [factor]


# === Samples for the tests ===

SIZE, CLASSES, FRAMES = 64, 5, 3
# What real files combine: the release, and a copy in stock Caffe with plain names.
FORMS = {
    "BN": {"form": "BN"},
    "stock": {"form": "stock", "separator": "_", "last": "fc_action"},
}


def made(channels, seed, form):
    """A network of one of FORMS, an input of its kind, its weights and its logits."""
    net = bn_inception(channels, SIZE, CLASSES, **FORMS[form])
    data = np.random.default_rng(seed).normal(0, 50, (channels, SIZE, SIZE))
    weights = random_weights(net, data, seed)
    logits = caffe_forward.forward(net, weights, data)[net[-1].top]
    return types.SimpleNamespace(net=net, weights=weights, data=data, logits=logits)


def write(folder, made, changed=(), more=b"", left_out=()):
    """Path of the file of a network, some of its blobs changed or left out."""
    path = folder / "tsn.caffemodel"
    weights = {**made.weights, **dict(changed)}
    weights = {name: blobs for name, blobs in weights.items() if name not in left_out}
    path.write_bytes(caffe.caffemodel(made.net, weights) + more)
    return path


def layer_of(made, kind):
    """Name of the normalisation layer of this kind in the middle of the network."""
    names = [layer.name for layer in made.net if layer.type == kind]
    return names[len(names) // 2]


def difference(actual, expected):
    """The largest difference beside the largest value."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape and np.abs(expected).max() > 0.1
    return np.abs(actual - expected).max() / np.abs(expected).max()


def logits_of(stream, made):
    """What a stream of ours says of the image that Caffe's network saw."""
    return to_numpy(stream(made.data.transpose(1, 2, 0)[None].astype("float32")))[0]
