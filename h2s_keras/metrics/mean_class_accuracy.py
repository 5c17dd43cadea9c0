from typing import Any

import keras
from keras import ops

from h2s_keras.ops.host_values import host_values
from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class MeanClassAccuracy(keras.metrics.Metric):
    """Mean over classes of the share of each class's samples that are recognised.

    Unlike plain accuracy a frequent class counts no more than a rare one; classes
    without a sample do not count. Counts of each class are summed, so the result is
    right for partial batches and for several devices.

    Args:
        num_classes: size of the predictions.
        name, dtype: as for every metric.

    Call arguments of update_state:
        y_true: int (batch,) or (batch, 1), labels counted from 0.
        y_pred: float (batch, num_classes), scores of any scale.
        sample_weight: None, or (batch,).

    Raises:
        ValueError: if labels or predictions have another shape, or a label with a weight
            is none of the classes. Inside a compiled function, which cannot raise, such a
            label makes the result NaN.

    Example:
        >>> metric = MeanClassAccuracy(2)
        >>> metric.update_state([0, 0, 0, 1], [[1, 0], [1, 0], [1, 0], [1, 0]])
        >>> float(metric.result())      # all of class 0, none of class 1
        0.5

    Reference: equals `balanced_accuracy_score` of scikit-learn.
    """

    def __init__(
        self, num_classes: int, name: str = "mean_class_accuracy", dtype: str | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if num_classes < 1:
            raise ValueError(f"num_classes must be 1 or more; received {num_classes!r}.")
        self.num_classes = num_classes
        self.right = self.add_variable((num_classes,), "zeros", name="right")
        self.total = self.add_variable((num_classes,), "zeros", name="total")

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Any:
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        labels = tuple(y_true.shape)
        if labels[1:] not in ((), (1,)) or tuple(y_pred.shape)[1:] != (self.num_classes,):
            raise ValueError(
                "MeanClassAccuracy takes labels (batch,) counted from 0 and predictions "
                f"(batch, {self.num_classes}); received {labels} and "
                f"{tuple(y_pred.shape)}. Of one-hot labels take the argmax."
            )
        y_true = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        hits = ops.cast(ops.argmax(y_pred, axis=-1), "int32") == y_true
        wrong = ops.logical_or(y_true < 0, y_true >= self.num_classes)
        classes = ops.where(wrong, 0, y_true)
        members = ops.one_hot(classes, self.num_classes, dtype=self.dtype)
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
            members = members * weight[:, None]
            wrong = ops.logical_and(wrong, weight != 0)
        self._refuse(y_true, wrong)
        members = ops.where(wrong[:, None], float("nan"), members)
        self.total.assign_add(ops.sum(members, axis=0))
        right = members * ops.cast(hits, self.dtype)[:, None]
        self.right.assign_add(ops.sum(right, axis=0))

    def _refuse(self, labels, wrong):
        wrong = host_values(wrong)
        if wrong is not None and wrong.any():
            label = host_values(labels)[wrong][0]
            raise ValueError(
                f"MeanClassAccuracy takes labels from 0 to {self.num_classes - 1}; "
                f"received {label}. Count labels from 0; a sample without a label needs "
                "the weight 0."
            )

    def result(self) -> Tensor:
        seen = ops.cast(self.total != 0, self.dtype)
        shares = ops.divide_no_nan(self.right, self.total)
        return ops.divide_no_nan(ops.sum(shares), ops.sum(seen))

    def get_config(self) -> dict[str, Any]:
        return {
            "num_classes": self.num_classes,
            "name": self.name,
            "dtype": self.dtype,
        }
