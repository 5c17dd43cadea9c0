"""What labels of classes may be: their shapes, and the values that stand for a class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from h2s_keras.errors import UserError
from h2s_keras.tensor_types import Tensor

_SUM_TOLERANCE = 1e-2  # Soft labels of half precision are off by so much.


def check_labels(labels: Any, num_classes: int) -> None:
    """Raises a UserError for labels that are not classes of the network.

    Args:
        labels: array; whole numbers (batch,) or (batch, 1) counted from 0, or one-hot or
            soft labels (batch, num_classes) whose rows sum to 1.
        num_classes: number of classes of the network.
    """
    labels = np.asarray(labels)
    check_label_shape(labels.shape, num_classes)
    if labels.dtype.kind not in "buif":
        # The extension types of bfloat16 have a kind of their own.
        labels = labels.astype("float32")
    if is_one_hot(labels.shape):
        _check_rows(labels)
        return
    labels = labels.reshape(-1)
    if not labels.size:
        return
    if labels.dtype.kind == "f":
        broken = labels[labels != np.floor(labels)]  # NaN as well
        if broken.size:
            raise UserError(
                f"labels are whole numbers from 0 to {num_classes - 1}; received "
                f"{broken[0]:g}."
            )
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if not outside.size:
        return
    low, high = (f"{value:g}" for value in (labels.min(), labels.max()))
    raise UserError(
        f"the label {outside[0]:g} is outside the {num_classes} classes of this network, "
        f"0 to {num_classes - 1} (labels received: {low} to {high}). "
        f"{_cause(labels, num_classes)}"
    )


def _cause(labels: Any, num_classes: int) -> str:
    low, high = labels.min(), labels.max()
    if low < 0:
        return (
            "A negative label often marks videos without a class: leave them out, or give "
            "them sample_weight 0 and any class."
        )
    if low >= 1 and high == num_classes:
        return "They seem to count from 1: subtract 1."
    if high == num_classes:
        return "They may count from 1 (then subtract 1), or a class is missing."
    return "Do labels and network come from the same list of classes?"


def _check_rows(rows: Any) -> None:
    sums = rows.astype("float64").sum(axis=1)
    bad = np.flatnonzero(~(np.abs(sums - 1.0) <= _SUM_TOLERANCE) | (rows < 0).any(axis=1))
    if not bad.size:
        return
    hint = ""
    if sums[bad[0]] == 0:
        hint = " One-hot encoding makes a row of zeros of a label outside the classes."
    raise UserError(
        "each row of one-hot or soft labels sums to 1 and holds no negative value; row "
        f"{bad[0]} sums to {sums[bad[0]]:g}.{hint}"
    )


def check_label_shape(shape: Sequence[int | None], num_classes: int) -> None:
    """Raises a UserError for a shape that labels do not have."""
    shape = tuple(shape)
    if len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, num_classes)):
        return
    raise UserError(
        f"labels are (batch,) or (batch, 1) numbers of classes, or one-hot (batch, "
        f"{num_classes}) for the {num_classes} classes of this network; received shape "
        f"{shape}."
    )


def is_one_hot(shape: Sequence[int | None]) -> bool:
    """Whether labels of a valid shape have a column for each class."""
    return len(shape) == 2 and shape[1] != 1


def label_targets(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Targets of labels, and which of the labels are valid.

    Args:
        labels: tensor of a shape that `check_label_shape` takes.
        num_classes: number of classes of the network.

    Returns:
        (targets, known): one-hot or soft targets float32 (batch, num_classes), zeros for a
        number that is not a class, and bool (batch,), whether a row names a class.
    """
    if _known_shape(labels) is None:
        raise UserError(
            "labels came to one compiled step in several forms; stay with one of (batch,), "
            "(batch, 1) and one-hot, or call compile() again"
        )
    check_label_shape(labels.shape, num_classes)
    if is_one_hot(labels.shape):
        targets = ops.cast(labels, "float32")
        total = ops.sum(targets, axis=-1)
        return targets, ops.abs(total - 1.0) <= _SUM_TOLERANCE
    labels = ops.reshape(labels, (-1,))
    # Before the cast: 2^32 and NaN become some class by it.
    values = ops.cast(labels, "float32")
    known = ops.logical_and(values >= 0, values < num_classes)
    known = ops.logical_and(known, ops.equal(values, ops.floor(values)))
    # No backend refuses -1, PyTorch refuses other numbers outside the classes.
    classes = ops.where(known, ops.cast(labels, "int32"), -1)
    return ops.one_hot(classes, num_classes, dtype="float32"), known


def per_sample_weights(sample_weight: Tensor, like: Tensor) -> Tensor:
    """Weights (batch,) in the dtype of `like` (batch,), from (batch,), (batch, 1) or ().

    Raises:
        UserError: for another shape.
    """
    shape = check_weight_shape(sample_weight)
    weight = ops.cast(sample_weight, like.dtype)
    if shape == ():
        return weight * ops.ones_like(like)
    return ops.reshape(weight, (-1,))


def check_weight_shape(sample_weight: Tensor) -> tuple[int | None, ...] | None:
    """Shape of the weights, None where it is not known; raises as `per_sample_weights`."""
    shape = _known_shape(sample_weight)
    if shape and (len(shape) > 2 or shape[1:] not in ((), (1,), (None,))):
        raise UserError(
            "sample_weight has one weight per clip, (batch,) or (batch, 1); received shape "
            f"{shape}."
        )
    return shape


def _known_shape(tensor: Tensor) -> tuple[int | None, ...] | None:
    """Shape, or None where TensorFlow has traced one step for weights of two ranks."""
    try:
        return tuple(tensor.shape)
    except ValueError:
        return None
