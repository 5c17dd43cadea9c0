"""The optimiser of a stage: schedule, clipping, weight decay, learning-rate groups."""

import keras

from h2s_keras.errors import UserError
from h2s_keras.training.schedule import StageSchedule


def build_optimizer(stage, network):
    """An optimiser for one stage, from the stage's plain values.

    Args:
        stage: dict with "steps", "learning_rate" and optionally "optimizer" ("adam" or
            "sgd"), "schedule" (see `StageSchedule`), "warmup", "boundaries", "factor",
            "weight_decay", "clip_norm", and "rate_factors": {part: factor} for the parts
            "motion", "temporal", "spatial" of the network.
        network: a built HiddenTwoStream.

    Returns:
        (optimiser, list of its StageSchedules); with rate_factors a MultiOptimizer.

    Raises:
        UserError: for an unknown optimiser, or a rate factor whose part has nothing to
            train.
    """
    factors = stage.get("rate_factors") or {}
    default, default_schedule = _single(stage, 1.0)
    if not factors:
        return default, [default_schedule]
    optimizer_map, schedules = {}, [default_schedule]
    for part, factor in factors.items():
        model = getattr(network, part, None)
        variables = [] if model is None else model.trainable_variables
        if not variables:
            raise UserError(
                f"rate_factors names {part!r}, which has nothing to train in this stage."
            )
        optimizer, schedule = _single(stage, factor)
        schedules.append(schedule)
        for variable in variables:
            if variable.path in optimizer_map:
                raise ValueError(
                    f"Two variables share the path {variable.path!r}; give their layers "
                    "different names."
                )
            optimizer_map[variable.path] = optimizer
    joined = keras.optimizers.OptimizerMap(default, optimizer_map)
    return keras.optimizers.MultiOptimizer(joined), schedules


def _single(stage, factor):
    schedule = StageSchedule(
        stage["learning_rate"] * factor,
        stage["steps"],
        warmup_steps=stage.get("warmup", 0),
        kind=stage.get("schedule", "cosine"),
        boundaries=stage.get("boundaries", ()),
        factor=stage.get("factor", 0.1),
    )
    options = {
        "learning_rate": schedule,
        "weight_decay": stage.get("weight_decay"),
        "global_clipnorm": stage.get("clip_norm", 1.0),
    }
    name = stage.get("optimizer", "adam")
    if name == "adam":
        return keras.optimizers.Adam(beta_1=0.9, beta_2=0.999, **options), schedule
    if name == "sgd":
        return keras.optimizers.SGD(momentum=0.9, **options), schedule
    raise UserError(f"optimizer must be 'adam' or 'sgd'; received {name!r}.")
