"""The loss of every action output: cross-entropy, or what `compile` was given."""

import functools
import inspect

import keras
from keras import ops

from h2s_keras.errors import UserError
from h2s_keras.ops.class_labels import is_one_hot, label_targets

_REDUCTIONS = ("sum_over_batch_size", "mean", "auto")


class ActionLosses:
    """Loss and weight of each action output.

    Args:
        names: names of the action outputs.
        loss: None for cross-entropy; or one loss for all outputs, a list in their order or
            a dict by their names, each a name, function or `keras.losses.Loss`.
        loss_weights: None for 1; a number, a list or a dict likewise.
        label_smoothing: label smoothing of the built-in cross-entropy.

    Raises:
        ValueError: for what cannot be honoured.
    """

    def __init__(self, names, loss=None, loss_weights=None, label_smoothing=0.0):
        self.names, self.label_smoothing = tuple(names), label_smoothing
        if not self.names and (loss is not None or loss_weights is not None):
            raise ValueError(
                "compile() was given a loss for classes and this stage has none: its loss "
                "of flow is StageModel(flow_loss=..., flow_loss_weight=...)."
            )
        losses = self._by_name("loss", loss)
        self.losses = {name: _resolved(losses[name]) for name in self.names}
        if label_smoothing and any(self.losses.values()):
            raise ValueError(
                "label_smoothing belongs to the built-in loss; give it to the loss that "
                "compile() gets, or leave that out."
            )
        weights = self._by_name("loss_weights", loss_weights)
        self.weights = {
            name: 1.0 if weights[name] is None else float(weights[name])
            for name in self.names
        }

    def _by_name(self, argument, given):
        if isinstance(given, dict):
            unknown = sorted(set(given) - set(self.names))
            if unknown:
                raise ValueError(
                    f"compile({argument}=...) names the output {unknown[0]!r}; this stage "
                    f"learns from {', '.join(self.names) or 'no labels'}."
                )
            return {name: given.get(name) for name in self.names}
        if isinstance(given, (list, tuple)):
            if len(given) != len(self.names):
                raise ValueError(
                    f"compile({argument}=...) has {len(given)} entries for the "
                    f"{len(self.names)} outputs {', '.join(self.names)}."
                )
            return dict(zip(self.names, given, strict=True))
        return dict.fromkeys(self.names, given)

    def per_sample(self, name, labels, logits):
        """Unweighted loss of each clip, float32 (batch,); NaN where the label is none."""
        classes = logits.shape[-1]
        logits = ops.cast(logits, "float32")
        targets, known = label_targets(labels, classes)
        loss = self.losses[name]
        if loss is None:
            smoothing = self.label_smoothing
            if smoothing:
                targets = targets * (1 - smoothing) + smoothing / classes
            values = keras.losses.categorical_crossentropy(
                targets, logits, from_logits=True
            )
        else:
            values = _per_clip(loss(_wanted(loss, labels, targets), logits), logits)
        values = ops.cast(values, "float32")
        # A row of zeros would cost nothing, without a word.
        return ops.where(known, values, ops.full_like(values, float("nan")))


def _resolved(loss):
    """A function (targets, logits) -> values that are not reduced, or None: built in."""
    if loss is None or loss in ("crossentropy", "ce"):
        return None
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    if not callable(loss):
        raise ValueError(f"compile(loss=...) takes a loss; received {loss!r}.")
    name = getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__)
    if isinstance(loss, keras.losses.Loss):
        if loss.reduction not in _REDUCTIONS:
            raise ValueError(
                f"The loss {name!r} has reduction={loss.reduction!r}; a stage takes the "
                "mean over the batch: leave reduction out."
            )
        if getattr(loss, "from_logits", None) is False:
            raise ValueError(
                f"The loss {name!r} expects probabilities, and the outputs of a stage are "
                f"logits: give {type(loss).__name__}(from_logits=True)."
            )
        function, marked = loss.call, type(loss)
    else:
        function = marked = loss
        if _is_of_keras(loss) and "from_logits" in inspect.signature(loss).parameters:
            function = functools.partial(loss, from_logits=True)

    def values(targets, logits):
        return function(targets, logits)

    values.sparse = "sparse" in marked.__name__.lower() if _is_of_keras(marked) else None
    values.name = name
    return values


def _is_of_keras(thing):
    return (getattr(thing, "__module__", None) or "").split(".")[0] == "keras"


def _wanted(loss, labels, targets):
    """Labels in the form that a loss takes; one's own loss gets them as they come."""
    if loss.sparse is None:
        return labels
    if not loss.sparse:
        return targets
    if is_one_hot(labels.shape):
        raise UserError(
            f"the loss {loss.name!r} takes labels as numbers (batch,), and these are "
            f"one-hot {tuple(labels.shape)}: give numbers, or the loss without 'sparse'."
        )
    return ops.reshape(labels, (-1,))


def _per_clip(values, logits):
    values = ops.convert_to_tensor(values)
    if not len(values.shape):
        return ops.ones_like(logits[:, 0]) * ops.cast(values, logits.dtype)
    if len(values.shape) > 1:
        values = ops.mean(values, axis=tuple(range(1, len(values.shape))))
    return values
