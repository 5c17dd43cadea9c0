"""Which layer of a Caffe file goes into which layer of ours."""

from typing import Any

from h2s_keras.models.caffe_weights.batch_normalization import KINDS
from h2s_keras.models.caffe_weights.slot import DENSE, plain_shape, sides

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
