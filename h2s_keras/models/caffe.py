"""Weights of Caffe's two-stream networks for the models of this library."""

import collections
import dataclasses
import os

import numpy as np

from h2s_keras.errors import FileError, UserError
from h2s_keras.layers.image_preprocessing import MODES
from h2s_keras.models.caffe_file import read_caffemodel
from h2s_keras.models.caffe_layout import DENSE, find_slots
from h2s_keras.models.caffe_prototxt import read_prototxt

# BGR means that a preprocessing mode subtracts exactly.
_MODE_OF_MEAN = {tuple(reversed(MODES[mode][0])): mode for mode in ("caffe", "unit")}
_IMAGENET_MEAN = tuple(reversed(MODES["caffe"][0]))


@dataclasses.dataclass
class CaffeReport:
    """What `load_caffe_weights` did.

    Attributes:
        path: the file.
        streams: the parts that were filled: "motion", "temporal", "spatial".
        loaded: dict of Caffe's layer name -> (stream, our layer name).
        by_order: the names in `loaded` that no table knows; they were matched by their
            order in the prototxt and their shapes.
        skipped: layers of the file with weights that this model has no use for.
        parameters: how many numbers were loaded.
        spatial_mean: BGR mean of the spatial stream's input, or None.
    """

    path: str
    streams: tuple
    loaded: dict
    by_order: list
    skipped: list
    parameters: int
    spatial_mean: tuple | None = None

    def __str__(self):
        lines = [
            f"{self.path}: {len(self.loaded)} layers, {self.parameters:,} parameters for "
            f"{' and '.join(self.streams)}"
        ]
        if self.by_order:
            pairs = (f"{name} = {self.loaded[name][1]}" for name in self.by_order)
            lines.append(f"matched by order and shape: {', '.join(pairs)}")
        if self.skipped:
            lines.append(f"not used: {', '.join(self.skipped)}")
        if self.spatial_mean is not None:
            mean = ", ".join(f"{value:g}" for value in self.spatial_mean)
            lines.append(f"spatial images: BGR minus {mean}")
        return "\n".join(lines)


def load_caffe_weights(model, path, prototxt=None, spatial_mean=None):
    """Fills a model from a .caffemodel; its own preprocessing then suits the weights.

    Args:
        model: `MotionNet` of either variant; `HiddenTwoStream` (its MotionNet and VGG16
            temporal stream from the stacked file, where the temporal layers are named
            conv1_1_vgg16 ... fc8_vgg16; its spatial stream from a VGG16 over 3 channels
            with plain names); or one VGG16 stream by itself, as `build_backbone` makes.
        path: the .caffemodel, current or V1 format.
        prototxt: text of the network. With it, layers of the file that it does not name
            are left out (as Caffe does), layers with unknown names are matched by order
            and shape, and strides and paddings are compared.
        spatial_mean: BGR mean that the spatial stream was trained with: (103.939,
            116.779, 123.68) or (104, 117, 123). Default: what the prototxt's
            transform_param says, else the mean of the model's own preprocessing.

    Returns:
        `CaffeReport`; its str() is a summary of a few lines.

    Raises:
        UserError: in one line, if the file is damaged, if layers are missing, left over
            or of other shapes (all of them are named, and the model is untouched), or if
            the file is of a network that this library lacks, such as BN-Inception.

    Example:
        >>> motion_net = MotionNet(num_frames=11)
        >>> print(load_caffe_weights(motion_net, "motion_net.caffemodel"))
        motion_net.caffemodel: 29 layers, 42,319,860 parameters for motion
    """
    path = os.fspath(path)
    layers = [layer for layer in read_caffemodel(path) if layer.blobs]
    text = None if prototxt is None else read_prototxt(prototxt)
    _refuse_unknown(path, layers)
    slots, skipped = find_slots(model, path, layers)
    if text is not None:
        order = {layer.name: index for index, layer in enumerate(text)}
        skipped += [layer.name for layer in layers if layer.name not in order]
        layers = [layer for layer in layers if layer.name in order]
        layers.sort(key=lambda layer: order[layer.name])
    unused = set(skipped)
    layers = [layer for layer in layers if layer.name not in unused]

    matches, by_order, problems = _match(slots, layers, text)
    problems += _misfits(matches, text)
    if problems:
        raise FileError(
            path,
            f"does not fit this model: {'; '.join(problems)}. Build the model for the "
            "network of the file"
            + (
                ""
                if prototxt
                else ", or give its deploy prototxt, if only names or biases differ"
            ),
        )
    for _, layer in matches:
        if not all(np.isfinite(blob.flat).all() for blob in layer.blobs):
            raise FileError(
                path, f"{layer.name} holds NaN or infinite weights; give another snapshot"
            )
    mean = _set_spatial_input(model, path, slots[0], text, spatial_mean)

    # === Everything fits: fill ===
    parameters = 0
    for slot, layer in matches:
        values = slot.arrays(*(blob.values() for blob in layer.blobs))
        slot.layer.set_weights(values)
        parameters += sum(value.size for value in values)
    return CaffeReport(
        path=path,
        streams=tuple(dict.fromkeys(slot.stream for slot in slots)),
        loaded={layer.name: (slot.stream, slot.name) for slot, layer in matches},
        by_order=by_order,
        skipped=list(dict.fromkeys(skipped)),
        parameters=parameters,
        spatial_mean=mean,
    )


def _set_spatial_input(model, path, first, text, mean):
    """Lets the model subtract what the Caffe network did; gives that BGR mean or None.

    Exact at the border too, where a mean folded into a bias would not be: the zeros of
    the padding stand for the mean colour.
    """
    if first.stream != "spatial" or not hasattr(model, "spatial_preprocessing"):
        if mean is not None:
            raise FileError(
                path,
                "goes into a model without spatial preprocessing, where spatial_mean has "
                "no use; leave it out",
            )
        return None
    said = [layer.means for layer in text or () if len(layer.means) == 3]
    own = MODES[model.spatial_preprocessing.mode][0][::-1]
    if mean is None:
        mean = said[0] if said else own if own in _MODE_OF_MEAN else _IMAGENET_MEAN
    mean = tuple(float(value) for value in mean)
    if mean not in _MODE_OF_MEAN:
        known = " or ".join(str(values) for values in _MODE_OF_MEAN)
        raise UserError(f"the spatial mean must be BGR {known}; received {mean}")
    mode = _MODE_OF_MEAN[mean]
    if model.spatial_preprocessing.mode != mode:
        model.spatial_preprocessing.mode = mode
        # Functions that Keras has compiled before hold the old preprocessing.
        model.train_function = model.test_function = model.predict_function = None
    _, scale, reversed_to_bgr = MODES[mode]
    first.input_scale, first.reverse_frames = scale[0], not reversed_to_bgr
    return mean


# === What the file holds ===


def _refuse_unknown(path, layers):
    signs = [one.name for one in layers if one.name.startswith(("inception_", "conv1/7x7"))]
    if signs:
        raise FileError(
            path,
            f"holds a BN-Inception network ({signs[0]}, ...), which this library does not "
            "have; MotionNet, the stacked MotionNet with VGG16 and VGG16 streams can be "
            "converted",
        )
    counts = collections.Counter(layer.name for layer in layers)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise FileError(path, f"names layers twice: {', '.join(twice)}; cannot choose one")


def _match(slots, layers, text):
    """(pairs of slot and layer, names matched by order, problems)."""
    free = {layer.name: layer for layer in layers}
    found = {}
    for index, slot in enumerate(slots):
        for name in slot.names:
            if name in free:
                found[index] = free.pop(name)
                break
    by_order = []
    if text is not None:
        # Layers of equal kind and shape follow one another in one order in every
        # network of this family, so within such a group order tells them apart.
        kinds = {layer.name: layer.type for layer in text}
        waiting, offered = {}, {}
        for index, slot in enumerate(slots):
            if index not in found:
                waiting.setdefault((slot.kind, slot.shape), []).append(index)
        for layer in free.values():
            kind = layer.type or kinds[layer.name]
            shape = _plain(layer.blobs[0].shape, 2 if kind == DENSE else 4)
            offered.setdefault((kind, shape), []).append(layer)
        for key, indices in waiting.items():
            if len(offered.get(key, ())) == len(indices):
                for index, layer in zip(indices, offered[key], strict=True):
                    found[index] = free.pop(layer.name)
                    by_order.append(layer.name)
    problems = []
    missing = [slots[i].names[0] for i in range(len(slots)) if i not in found]
    if missing:
        problems.append(f"missing {', '.join(missing)}")
    if free:
        extra = (f"{name} ({_sides(layer.blobs[0])})" for name, layer in free.items())
        problems.append(f"left over {', '.join(extra)}")
    return [(slots[i], found[i]) for i in sorted(found)], by_order, problems


def _misfits(matches, text):
    settings, problems = {layer.name: layer for layer in text or ()}, []
    for slot, layer in matches:
        said = settings.get(layer.name)
        if layer.type not in ("", slot.kind):
            problems.append(f"{layer.name} is a {layer.type}, not a {slot.kind}")
            continue
        expected = [("weights", slot.shape), ("bias", (slot.outputs,))]
        if said is not None and not said.bias:
            expected.pop()
        for (what, shape), blob in zip(expected, layer.blobs, strict=False):
            if _plain(blob.shape, len(shape)) != shape:
                problems.append(
                    f"{layer.name} {what} {_sides(blob)}, expected "
                    f"{'x'.join(map(str, shape))}"
                )
        if len(layer.blobs) < len(expected):
            problems.append(f"{layer.name} bias missing")
        if len(layer.blobs) > len(expected):
            problems.append(
                f"{layer.name} has {len(layer.blobs)} blobs, expected {len(expected)}"
            )
        if said is None or slot.kind == DENSE:
            continue
        for what, mine in (("stride", slot.stride), ("pad", slot.pad)):
            theirs = getattr(said, what)
            if theirs != mine:
                shown = "unequal values" if theirs is None else theirs
                problems.append(f"{layer.name} {what} {shown}, expected {mine}")
    return problems


def _plain(shape, axes):
    """A shape without the leading ones of the older format, which always has 4 axes."""
    while len(shape) > axes and shape[0] == 1:
        shape = shape[1:]
    return tuple(shape)


def _sides(blob):
    return "x".join(map(str, blob.shape))
