from typing import Any

import keras
from keras import ops

from h2s_keras.tensor_types import Tensor

RULES = ("thumos", "activitynet")


@keras.saving.register_keras_serializable(package="h2s_keras")
class VideoMeanAveragePrecision(keras.metrics.Metric):
    """Mean average precision over videos, 0 to 1, by either benchmark's rule.

    Each row of a batch is a view of a numbered video. A video's score is the mean over
    its views; for each class the videos are ranked by it. At a positive of rank r, the
    precision is the share of positives among the first r videos.

    - "thumos" (THUMOS14): average precision is the mean of the precisions at the
      positives, as they are.
    - "activitynet": precision is first interpolated, that is replaced by the highest at
      this rank or any later one; its mean over the positives is then never lower.

    Classes without a positive do not count. Scores that are equal are ranked by the
    number of the video. The state is one row per video that views are added to, so the
    result is right for partial batches and for several devices, in any order.

    Args:
        num_classes: size of the predictions.
        num_videos: how many there are; videos never seen do not count.
        rule: "thumos" or "activitynet".
        name, dtype: as for every metric.

    Call arguments of update_state:
        y_true: int (batch,) or (batch, 1), one class each, or 0/1 (batch, num_classes),
            several.
        y_pred: float (batch, num_classes), scores of one scale.
        videos: int (batch,), 0 to num_videos - 1.
        sample_weight: None, or (batch,); 0 leaves a row out (padding).

    Raises:
        ValueError: for another rule, or labels or predictions of another shape.

    Example:
        >>> metric = VideoMeanAveragePrecision(2, num_videos=2)
        >>> metric.update_state([0, 1], [[0.9, 0.1], [0.2, 0.8]], videos=[0, 1])
        >>> float(metric.result())
        1.0

    Reference: THUMOS14 evaluation kit (TH14evalkit); ActivityNet toolkit
    (`interpolated_prec_rec`). "thumos" equals `average_precision_score` of scikit-learn
    where no scores are equal.
    """

    def __init__(
        self,
        num_classes: int,
        num_videos: int,
        rule: str = "thumos",
        name: str = "video_mean_average_precision",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if rule not in RULES:
            raise ValueError(f"rule must be one of {RULES}; received {rule!r}.")
        if num_classes < 1 or num_videos < 1:
            raise ValueError(
                "num_classes and num_videos must be 1 or more; received "
                f"{num_classes!r} and {num_videos!r}."
            )
        self.num_classes, self.num_videos, self.rule = num_classes, num_videos, rule
        shape = (num_videos, num_classes)
        self.scores = self.add_variable(shape, "zeros", name="scores")
        self.positives = self.add_variable(shape, "zeros", name="positives")
        self.views = self.add_variable((num_videos,), "zeros", name="views")

    def update_state(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        videos: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Any:
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        labels, wide = tuple(y_true.shape), (self.num_classes,)
        if labels[1:] not in ((), (1,), wide) or tuple(y_pred.shape)[1:] != wide:
            raise ValueError(
                "VideoMeanAveragePrecision takes labels (batch,) or 0/1 (batch, "
                f"{self.num_classes}) and scores (batch, {self.num_classes}); received "
                f"{labels} and {tuple(y_pred.shape)}."
            )
        if labels[1:] != wide:
            y_true = ops.reshape(ops.cast(y_true, "int32"), (-1,))
            y_true = ops.one_hot(y_true, self.num_classes)
        y_true = ops.cast(y_true, self.dtype)
        y_pred = ops.cast(y_pred, self.dtype)
        videos = ops.reshape(ops.cast(videos, "int32"), (-1,))
        weight = ops.ones_like(y_pred[:, :1])
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))

        def added(rows):
            return ops.segment_sum(rows * weight, videos, self.num_videos)

        self.scores.assign_add(added(y_pred))
        self.positives.assign_add(added(y_true))
        self.views.assign_add(added(ops.ones_like(weight))[:, 0])

    def class_average_precision(self) -> Any:
        """Average precision of each class (num_classes,), and its positives."""
        seen = (self.views > 0)[:, None]
        mean = ops.divide_no_nan(ops.convert_to_tensor(self.scores), self.views[:, None])
        # Videos never seen go to the end of every ranking, below any score.
        lowest = ops.min(mean) - 1.0
        order = ops.argsort(-ops.where(seen, mean, lowest), axis=0)
        positive = ops.cast(self.positives > 0, self.dtype)
        positive = ops.take_along_axis(positive, order, axis=0)
        rank = ops.arange(1, self.num_videos + 1, dtype=self.dtype)[:, None]
        precision = ops.cumsum(positive, axis=0) / rank
        if self.rule == "activitynet":
            precision = ops.associative_scan(ops.maximum, precision, reverse=True)
        count = ops.sum(positive, axis=0)
        return ops.divide_no_nan(ops.sum(precision * positive, axis=0), count), count

    def result(self) -> Tensor:
        precision, count = self.class_average_precision()
        present = ops.cast(count > 0, self.dtype)
        return ops.divide_no_nan(ops.sum(precision * present), ops.sum(present))

    def get_config(self) -> dict[str, Any]:
        return {
            "num_classes": self.num_classes,
            "num_videos": self.num_videos,
            "rule": self.rule,
            "name": self.name,
            "dtype": self.dtype,
        }
