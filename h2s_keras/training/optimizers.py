"""The optimiser of a stage: schedule, clipping, weight decay, learning-rate groups."""

import keras
from keras import ops

from h2s_keras.errors import UserError
from h2s_keras.models.motion_net_of import motion_net_of
from h2s_keras.options import StageOptions
from h2s_keras.training.backend_steps import apply_adam, apply_momentum, updates_in_place
from h2s_keras.training.stage_updates import StageUpdates

PARTS = ("motion", "temporal", "spatial")
KINDS = ("kernel", "bias")


@keras.saving.register_keras_serializable(package="h2s_keras")
class StageSGD(StageUpdates, keras.optimizers.SGD):
    """SGD with `StageUpdates`."""

    def rule(self, gradient, variable, rate, place):
        if not (updates_in_place() and self.momentum):
            return super().rule(gradient, variable, rate, place)
        moment = self.momentums[place]
        apply_momentum(variable, moment, gradient, rate, self.momentum, self.nesterov)


@keras.saving.register_keras_serializable(package="h2s_keras")
class StageAdam(StageUpdates, keras.optimizers.Adam):
    """Adam with `StageUpdates`."""

    def rule(self, gradient, variable, rate, place):
        if not updates_in_place() or self.amsgrad:
            return super().rule(gradient, variable, rate, place)
        moments = self._momentums[place], self._velocities[place]
        betas, step = (self.beta_1, self.beta_2), self.iterations + 1
        apply_adam(variable, moments, gradient, rate, betas, self.epsilon, step)


def build_optimizer(stage, network, dynamic_scale=False):
    """An optimiser for one stage.

    Args:
        stage: `StageOptions`, or a dict of them. "lr_multipliers" is {group: factor}; a
            group is a part of the network ("motion", "temporal", "spatial"), one of its
            layers ("temporal.conv1"), or kernels or biases only of either
            ("temporal.bias", "temporal.conv1.kernel"). The closest group of a variable
            counts.
        network: a built HiddenTwoStream.
        dynamic_scale: whether to scale the loss, for float16.

    Returns:
        StageSGD or StageAdam.

    Raises:
        UserError: for an option that is not valid, or a group that has nothing to train.

    Example:

    ```python
    stage = StageOptions(name="end_to_end", streams=["temporal"], steps=100,
                         learning_rate=1e-6, optimizer="sgd",
                         lr_multipliers={"temporal": 1000.0, "temporal.bias": 2000.0})
    optimizer = build_optimizer(stage, network)
    ```
    """
    stage = StageOptions.of(stage)
    name, kinds = stage.optimizer, {"adam": StageAdam, "sgd": StageSGD}
    schedule = StageSchedule(
        stage.learning_rate,
        stage.steps,
        warmup_steps=stage.warmup,
        kind=stage.schedule,
        boundaries=stage.boundaries,
        factor=stage.factor,
    )
    moments = {"beta_1": 0.9, "beta_2": 0.999} if name == "adam" else {"momentum": 0.9}
    variables = network.trainable_variables
    decay, spared = stage.weight_decay or 0.0, not stage.decay_biases
    return kinds[name](
        learning_rate=schedule,
        lr_multipliers=group_factors(network, stage.lr_multipliers),
        decays=[0.0 if spared and v.name != "kernel" else decay for v in variables],
        decay_kind=stage.weight_decay_kind,
        global_clipnorm=stage.global_clipnorm,
        gradient_accumulation_steps=stage.gradient_accumulation_steps,
        average=stage.ema,
        dynamic_scale=dynamic_scale,
        **moments,
    )


def group_factors(network, factors):
    """Factor on the learning rate of each trainable variable of `network`, in order.

    Raises:
        UserError: for an unknown group, or one without a variable that learns.
    """
    found = {}
    # The closest group last, so that it is the one that stays.
    for group, factor in sorted(factors.items(), key=lambda item: _closeness(item[0])):
        part, layer, kind = _parsed(group)
        if part not in PARTS:
            raise UserError(
                f"lr_multipliers names {group!r}; a group is one of {', '.join(PARTS)}, "
                "one of its layers as in 'temporal.conv1', or kernels or biases as in "
                "'temporal.bias'."
            )
        model = part_of(network, part)
        variables = [] if model is None else model.trainable_variables
        variables = [
            variable
            for variable in variables
            if kind in ("", variable.name) and layer in ("", _layer_of(variable))
        ]
        if not variables:
            raise UserError(
                f"lr_multipliers names {group!r}, which has nothing to train in this stage."
            )
        found.update({id(variable): float(factor) for variable in variables})
    return [found.get(id(variable), 1.0) for variable in network.trainable_variables]


def _parsed(group):
    """(part, layer or "", kind of variable or "") of a group's name."""
    part, *rest = group.split(".")
    kind = rest.pop() if rest and rest[-1] in KINDS else ""
    return part, ".".join(rest), kind


def _closeness(group):
    _, layer, kind = _parsed(group)
    return bool(layer), bool(kind)


def _layer_of(variable):
    return variable.path.split("/")[-2] if "/" in variable.path else ""


def part_of(network, part):
    """A part of a network, or None; a MotionNet alone is its own part "motion"."""
    if part == "motion":
        return motion_net_of(network)
    return getattr(network, part, None)


SCHEDULES = ("constant", "cosine", "multistep")


@keras.saving.register_keras_serializable(package="h2s_keras")
class StageSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then constant, cosine or Caffe's multistep.

    Args:
        learning_rate: after the warm-up.
        total_steps: steps of the stage; cosine ends there at 2 % of the learning rate.
        warmup_steps: the first steps climb from 1/warmup_steps of it; they keep the
            first updates of MotionNet from running into NaN.
        kind: "constant", "cosine" or "multistep".
        boundaries: for multistep, steps at which the rate is multiplied by `factor`.
        factor: factor of each drop of multistep.

    Raises:
        ValueError: for an unknown kind.

    Example:
        >>> float(StageSchedule(1e-3, 100, warmup_steps=10)(0))      # 1e-4

    Reference: schedules of arXiv 1704.00389, section 4.1; released solver files.
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
        if kind not in SCHEDULES:
            raise ValueError(f"kind must be one of {SCHEDULES}; received {kind!r}.")
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
