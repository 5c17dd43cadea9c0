"""Weights of Caffe's two-stream networks for the models of this library."""

import collections
import dataclasses
import os
from typing import Any

import keras

from h2s_keras.errors import FileError, UserError
from h2s_keras.layers.image_preprocessing import MODES
from h2s_keras.models.caffe_weights.caffe_file import read_caffemodel
from h2s_keras.models.caffe_weights.caffe_prototxt import read_prototxt
from h2s_keras.models.caffe_weights.layout import find_slots, is_bn_inception
from h2s_keras.models.caffe_weights.slot import DENSE, KINDS, plain_shape, sides

# BGR means that a preprocessing mode subtracts exactly.
_MODE_OF_MEAN = {tuple(reversed(MODES[mode][0])): mode for mode in ("caffe", "tsn")}


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


def load_caffe_weights(
    model: keras.Model,
    path: str | os.PathLike[str],
    prototxt: str | os.PathLike[str] | None = None,
    spatial_mean: Any = None,
) -> CaffeReport:
    """Fills a model from a .caffemodel; its own preprocessing then suits the weights.

    Args:
        model: `MotionNet` of either variant; `HiddenTwoStream` (its MotionNet and VGG16
            temporal stream from the stacked file, where the temporal layers are named
            conv1_1_vgg16 ... fc8_vgg16, and its adapter then clips at 20 px and pads zeros
            as the release does; otherwise its spatial stream from a VGG16 or
            BN-Inception over 3 channels, its temporal stream from one over flow); or one
            VGG16 or BN-Inception stream by itself, as `build_backbone` makes.
        path: the .caffemodel, current or V1 format.
        prototxt: text of the network. With it, layers of the file that it does not name
            are left out (as Caffe does), layers with unknown names are matched by order
            and shape, strides and paddings are compared, and eps of batch normalisation
            is the text's.
        spatial_mean: BGR mean that the spatial stream was trained with: (103.939,
            116.779, 123.68) or (104, 117, 123). Default: what the prototxt's
            transform_param says, else the mean of the model's own preprocessing.

    Returns:
        `CaffeReport`; its str() is a summary of a few lines.

    Raises:
        UserError: in one line, if the file is damaged, if layers are missing, left over
            or of other shapes (all of them are named, and the model is untouched), or if
            batch normalisation has a form other than BN or BatchNorm and Scale.

    Example:
        >>> motion_net = MotionNet(num_frames=11)
        >>> print(load_caffe_weights(motion_net, "motion_net.caffemodel"))
        motion_net.caffemodel: 29 layers, 42,319,860 parameters for motion
    """
    path = os.fspath(path)
    layers = [layer for layer in read_caffemodel(path) if layer.blobs]
    text = None if prototxt is None else read_prototxt(prototxt)
    _check_duplicates(path, layers)
    left_out = []
    if text is not None:
        order = {layer.name: index for index, layer in enumerate(text)}
        left_out = [layer.name for layer in layers if layer.name not in order]
        layers = [layer for layer in layers if layer.name in order]
        layers.sort(key=lambda layer: order[layer.name])
    slots, skipped = find_slots(model, path, layers)
    unused = set(skipped)
    layers = [layer for layer in layers if layer.name not in unused]

    matches, by_order, problems = match(slots, layers, text)
    settings = {layer.name: layer for layer in text or ()}
    matches = [(slot, layer, settings.get(layer.name)) for slot, layer in matches]
    for slot, layer, said in matches:
        problems += slot.shape_mismatches(layer, said)
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
    for slot, layer, said in matches:
        if problem := slot.validate_values(layer, said):
            raise FileError(path, f"{layer.name} {problem}")
    mean = _set_spatial_input(model, path, slots[0].stream, text, spatial_mean)

    # === Everything fits: fill ===
    parameters = sum(slot.fill(layer, said) for slot, layer, said in matches)
    streams = tuple(dict.fromkeys(slot.stream for slot in slots))
    if {"motion", "temporal"} <= set(streams):
        # Between the networks of one file lie the released clipping and deconvolution.
        model.adapter.bound = 20.0
        model.adapter.padding = "zeros"
        _forget_compiled(model)
    return CaffeReport(
        path=path,
        streams=streams,
        loaded={layer.name: (slot.stream, slot.name) for slot, layer, _ in matches},
        by_order=by_order,
        skipped=list(dict.fromkeys(skipped + left_out)),
        parameters=parameters,
        spatial_mean=mean,
    )


def _set_spatial_input(model, path, stream, text, mean):
    """Lets the model subtract what the Caffe network did; gives that BGR mean or None.

    Exact at the border too, where a mean folded into a bias would not be: the zeros of
    the padding stand for the mean colour.
    """
    if stream != "spatial" or not hasattr(model, "spatial_preprocessing"):
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
        network = "tsn" if is_bn_inception(model.spatial) else "caffe"
        published = MODES[network][0][::-1]
        mean = said[0] if said else own if own in _MODE_OF_MEAN else published
    mean = tuple(float(value) for value in mean)
    if mean not in _MODE_OF_MEAN:
        known = " or ".join(str(values) for values in _MODE_OF_MEAN)
        raise UserError(f"the spatial mean must be BGR {known}; received {mean}")
    mode = _MODE_OF_MEAN[mean]
    if model.spatial_preprocessing.mode != mode:
        model.spatial_preprocessing.mode = mode
        _forget_compiled(model)
    return mean


def _forget_compiled(model):
    """Functions that Keras has compiled before hold the old settings."""
    model.train_function = model.test_function = model.predict_function = None


def _check_duplicates(path, layers):
    counts = collections.Counter(layer.name for layer in layers)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise FileError(path, f"names layers twice: {', '.join(twice)}; cannot choose one")


# Axes of a layer's first blob, which older formats fill up to four.
_AXES = {DENSE: 2, **dict.fromkeys(KINDS, 1)}


def match(slots: list[Any], layers: Any, text: Any) -> Any:
    """Finds the layer of each slot by its names, then by order.

    Args:
        slots: list of `Slot`.
        layers: list of `CaffeLayer` with blobs; with a text, in its order.
        text: list of `PrototxtLayer`, or None: then by names alone.

    Returns:
        (list of pairs of slot and layer, names that were matched by order, problems).
    """
    free = {layer.name: layer for layer in layers}
    found = {}
    for index, slot in enumerate(slots):
        for name in slot.names:
            if name in free:
                found[index] = free.pop(name)
                break
    by_order = [] if text is None else _match_by_order(slots, found, free, text)
    problems = []
    missing = [slots[i].names[0] for i in range(len(slots)) if i not in found]
    if missing:
        problems.append(f"missing {', '.join(missing)}")
    if free:
        extra = (f"{name} ({sides(layer.blobs[0])})" for name, layer in free.items())
        problems.append(f"left over {', '.join(extra)}")
    return [(slots[i], found[i]) for i in sorted(found)], by_order, problems


def _match_by_order(slots, found, free, text):
    """Moves layers from `free` to `found`; returns their names.

    Layers of equal kind and shape follow one another in one order in every network of a
    family, so within such a group order tells them apart.
    """
    kinds = {layer.name: layer.type for layer in text}
    waiting: dict[Any, list[Any]] = {}
    offered: dict[Any, list[Any]] = {}
    by_order = []
    for index, slot in enumerate(slots):
        if index not in found:
            waiting.setdefault((slot.kind, slot.shape), []).append(index)
    for layer in free.values():
        kind = layer.type or kinds[layer.name]
        shape = plain_shape(layer.blobs[0].shape, _AXES.get(kind, 4))
        offered.setdefault((kind, shape), []).append(layer)
    for key, indices in waiting.items():
        if len(offered.get(key, ())) == len(indices):
            for index, layer in zip(indices, offered[key], strict=True):
                found[index] = free.pop(layer.name)
                by_order.append(layer.name)
    return by_order
