from typing import Any

import keras
from keras import ops

from h2s_keras.ops.class_labels import check_labels, label_targets, per_sample_weights
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
            is not one of the classes. Inside a compiled function, which cannot raise, such
            a label makes the result NaN.

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
        y_true = ops.reshape(y_true, (-1,))
        members, known = label_targets(y_true, self.num_classes)
        members = ops.cast(members, self.dtype)
        if sample_weight is not None:
            weight = ops.convert_to_tensor(sample_weight)
            weight = per_sample_weights(weight, members[:, 0])
            members = members * weight[:, None]
            known = ops.logical_or(known, weight == 0)
        unknown = host_values(ops.logical_not(known))
        if unknown is not None:
            check_labels(host_values(y_true)[unknown], self.num_classes)
        members = ops.where(known[:, None], members, float("nan"))
        self.total.assign_add(ops.sum(members, axis=0))
        hits = ops.cast(ops.argmax(y_pred, axis=-1), "int32") == ops.cast(y_true, "int32")
        right = members * ops.cast(hits, self.dtype)[:, None]
        self.right.assign_add(ops.sum(right, axis=0))

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
