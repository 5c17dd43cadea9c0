"""Finds what was not finite in a batch: a weight, a layer's output, a loss term."""

import contextlib

import keras
import numpy as np


def explain_batch(stage_model, clips, labels, batch, names=None):
    """Says in one line which tensor of a training step is the first that is not finite.

    The batch is run once more, eagerly, with the weights as they are. Looked at in turn:
    the weights, every layer's output in the order of the calls, the loss terms, and the
    gradient that the optimiser noted.

    Args:
        stage_model: compiled StageModel.
        clips, labels: the batch, as arrays or tensors.
        batch: its number, counted from 0.
        names: what to call the clips, in their order, or None.

    Returns:
        str, e.g. "in batch 37 the loss term 'photometric' was not finite for 2 of 16
        clips, the first is a.avi".
    """
    weight = first_bad_weight(stage_model)
    if weight is not None:
        return f"before batch {batch} the weight {weight} was no longer finite"
    count, found = len(clips), []
    with _watching(stage_model.network, count, found):
        outputs = stage_model(clips, training=True)
    if found:
        layer, bad = found[0]
        what = f"the output of the layer {_named(stage_model, layer)}"
        return _sentence(what, batch, bad, count, names)
    terms = stage_model.per_sample_terms(clips, labels, outputs)
    for name, values in terms.items():
        bad = _bad_clips(values, count)
        if bad:
            return _sentence(f"the loss term {name!r}", batch, bad, count, names)
    place = int(keras.ops.convert_to_numpy(stage_model.optimizer.bad_gradient))
    variables = stage_model.trainable_variables
    what = "the loss"
    if 0 <= place < len(variables):
        what = f"the gradient of {_named(stage_model, variables[place])}"
    among = ""
    if names:
        more = f" and {count - 3} more" if count > 3 else ""
        among = f", of the clips {', '.join(names[:3])}{more}"
    return f"in batch {batch} {what} was not finite{among}"


def first_bad_weight(model):
    """Path and stream of the first weight that is not finite, or None.

    Args:
        model: StageModel.

    Returns:
        str, e.g. "'conv1/kernel' of the temporal stream".
    """
    for variable in model.trainable_variables:
        if not np.isfinite(keras.ops.convert_to_numpy(variable.value)).all():
            return _named(model, variable)
    return None


def _named(stage_model, part):
    """Path of a weight or layer with its stream: streams share paths."""
    path = repr(part.path or part.name)
    network = stage_model.network
    for stream in ("motion", "temporal", "spatial"):
        model = getattr(network, stream, None)
        if model is None:
            continue
        known = [model, *model._flatten_layers(include_self=False), *model.weights]
        if any(part is one for one in known):
            return f"{path} of the {stream} stream"
    return path


@contextlib.contextmanager
def _watching(network, count, found):
    """Notes (layer, clips) of every output that is not finite, in order of calls."""
    layers = [
        layer
        for layer in network._flatten_layers(include_self=False)
        if not list(layer._flatten_layers(include_self=False))
    ]
    for layer in layers:
        layer.call = _noting(layer, layer.call, count, found)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _noting(layer, call, count, found):
    def noting(*arguments, **options):
        outputs = call(*arguments, **options)
        for output in keras.tree.flatten(outputs):
            bad = _bad_clips(output, count)
            if bad:
                found.append((layer, bad))
                break
        return outputs

    return noting


def _bad_clips(values, count):
    """Numbers of the clips in whose rows something is not finite.

    Segments are folded into the rows, each clip's next to each other.
    """
    values = keras.ops.convert_to_numpy(keras.ops.cast(values, "float32"))
    rows = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    return sorted({int(row) // max(1, len(rows) // count) for row in bad})


def _sentence(what, batch, bad, count, names):
    first = f", the first is {names[bad[0]]}" if names else ""
    return f"in batch {batch} {what} was not finite for {len(bad)} of {count} clips{first}"
