import keras
from keras import ops

KINDS = ("constant", "cosine", "multistep")


@keras.saving.register_keras_serializable(package="h2s_keras")
class StageSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then constant, cosine or Caffe's multistep.

    Args:
        learning_rate: after the warm-up.
        total_steps: of the stage; cosine ends there at 2 % of the learning rate.
        warmup_steps: the first steps climb from 1/warmup_steps of it; they keep the
            first updates of MotionNet from running into NaN.
        kind: "constant", "cosine" or "multistep".
        boundaries: for multistep, steps at which the rate is multiplied by `factor`.
        factor: of multistep.

    Raises:
        ValueError: for an unknown kind.

    Example:
        >>> float(StageSchedule(1e-3, 100, warmup_steps=10)(0))      # 1e-4

    Source: schedules of arXiv 1704.00389, section 4.1; released solver files.
    """

    def __init__(
        self,
        learning_rate,
        total_steps,
        warmup_steps=0,
        kind="cosine",
        boundaries=(),
        factor=0.1,
    ):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}; received {kind!r}.")
        self.learning_rate, self.total_steps = learning_rate, total_steps
        self.warmup_steps, self.kind = warmup_steps, kind
        self.boundaries, self.factor = tuple(boundaries), factor

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = ops.convert_to_tensor(self.learning_rate, "float32")
        if self.kind == "cosine":
            done = ops.clip(step / max(self.total_steps, 1), 0.0, 1.0)
            rate = rate * (0.02 + 0.98 * 0.5 * (1.0 + ops.cos(3.14159265 * done)))
        elif self.kind == "multistep":
            for boundary in self.boundaries:
                rate = ops.where(step >= boundary, rate * self.factor, rate)
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, (step + 1.0) / self.warmup_steps)
        return rate

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "kind": self.kind,
            "boundaries": self.boundaries,
            "factor": self.factor,
        }
