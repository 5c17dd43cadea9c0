"""Everything a recipe can say of a run and of a stage, with what holds if it does not."""

import copy

from h2s_keras.data.data_options import check_data_options
from h2s_keras.errors import UserError, refuse_unknown
from h2s_keras.training.option_checks import (
    check_fusion,
    check_targets,
    check_values,
    with_both_sides,
)

RUN = {
    # "float32", "mixed_bfloat16" or "mixed_float16"; losses and warps stay float32.
    "dtype_policy": "float32",
    # "mirrored": a replica on each GPU (or logical CPU) of this host.
    "strategy": "none",
    # Event files with scalars, flow pictures and histograms in the run folder.
    "tensorboard": True,
    # What the run takes on two cores, about; `h2s train --budget` scales the steps by it.
    "minutes": None,
}

MODEL = {
    # What `HiddenTwoStreamBuilder` takes; "stored" motion reads stored flow in place of
    # clips (data.contents="flow").
    "motion": "tiny",
    "motion_options": {},
    # Of `QuantizedFlowAdapter`: bound, levels, centre, padding; a branched model has none.
    "adapter": {},
    # None: MotionNet alone, for the stage "motion".
    "temporal": "tiny",
    "temporal_weights": None,
    "temporal_dropout": None,
    "temporal_partial_batch_normalization": False,
    "spatial": None,
    "spatial_weights": None,
    "spatial_dropout": None,
    "spatial_partial_batch_normalization": False,
    "branched": False,
    "rematerialize": False,
    "fusion": (1.0, 1.5),
    # A .keras file or run folder whose weights to start from.
    "initial": None,
}

STAGE = {
    # What runs, and what of it learns (None: all of it).
    "train": None,
    "freeze": (),
    # Train the temporal stream on flow that is computed once for each video; for a frozen
    # MotionNet on video files.
    "cached_flow": False,
    # Epochs without a better loss on the validation videos before the stage stops; 0: all
    # steps are done. With validation videos the best weights are kept either way.
    "patience": 0,
    # Batches of a size of their own (None: the run's), several for one update.
    "batch_size": None,
    "gradient_accumulation_steps": 1,
    # Optimiser steps in an epoch: after each the state is saved and looked at.
    "epoch": 50,
    "optimizer": "adam",
    "schedule": "cosine",
    "warmup": 0,
    "boundaries": (),
    "factor": 0.1,
    "lr_multipliers": {},
    "global_clipnorm": 1.0,
    "weight_decay": 0.0,
    "weight_decay_kind": "decoupled",
    "decay_biases": False,
    "ema": None,
    # Arguments of UnsupervisedFlowLoss; with "kind": "supervised" of SupervisedFlowLoss,
    # which needs data.targets="flow"; with "kind": "mixed" pairs of frames, half of each
    # batch synthetic with known flow, and "supervised_weight" is the factor on these.
    "flow_loss": None,
    "flow_loss_weight": 1.0,
    "action_loss_weight": 1.0,
    "label_smoothing": 0.0,
    "consensus": "average",
    "smoothness_ramp": 0,
    "smoothness_start": 0.1,
    # Of `FlowObjective`: margin, occlusion_start, self_supervision_weight, ...
    "flow_options": {},
    # "auto": XLA where Keras finds it worth while.
    "jit_compile": "auto",
}
_ADAPTER = ("bound", "levels", "centre", "padding", "enlarge")
_NEEDED = ("name", "streams", "steps", "learning_rate")
_NEEDED_OF_RUN = ("name", "seed", "batch_size", "data", "stages")
_POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
# Several names, of which one alone may stand without brackets.
NAMES = ("streams", "train", "freeze")
# The least value of what is counted.
_LEAST_OF_RUN = {"seed": 0, "batch_size": 1}
_LEAST = {
    "steps": 1,
    "epoch": 1,
    "patience": 0,
    "gradient_accumulation_steps": 1,
    "batch_size": 1,
    "warmup": 0,
    "smoothness_ramp": 0,
}


def check_recipe(config):
    """`complete_config` of a recipe that must say everything that a run needs.

    Raises:
        UserError: as `complete_config`, and for a value that is missing.
    """
    lacking = [key for key in _NEEDED_OF_RUN if key not in config]
    if lacking:
        raise UserError(f"this recipe lacks {lacking[0]!r}; a run needs its value")
    return complete_config(config)


def complete_config(config):
    """`config` with every option of the run and of its stages filled in.

    Args:
        config: plain values of a recipe.

    Raises:
        UserError: for an option that no stage, model or kind of data has, or a stage that
            lacks what it needs.

    Example:

    ```python
    complete_config({"stages": [...]})["strategy"]      # "none"
    ```
    """
    refuse_unknown("recipe", config, (*_NEEDED_OF_RUN, "model", *RUN))
    refuse_unknown("model", config.get("model", {}), MODEL)
    model = {**copy.deepcopy(MODEL), **config.get("model", {})}
    refuse_unknown("model.adapter", model["adapter"], _ADAPTER)
    check_fusion(model["fusion"])
    complete = {**RUN, **config, "model": model, "stages": _stages(config)}
    if "data" in config:
        check_data_options(config["data"])
        complete["data"] = with_both_sides(config["data"])
    if complete["dtype_policy"] not in _POLICIES:
        raise UserError(
            f"dtype_policy must be one of {', '.join(_POLICIES)}; received "
            f"{complete['dtype_policy']!r}"
        )
    _count("recipe", complete, _LEAST_OF_RUN)
    check_targets(complete)
    return complete


def complete_stage(stage):
    """One stage with every option filled in; raises as `complete_config`."""
    where = f"stage {stage.get('name', 'without a name')!r}"
    lacking = [key for key in _NEEDED if key not in stage]
    if lacking:
        raise UserError(f"{where}: {lacking[0]!r} is missing")
    refuse_unknown(where, stage, (*STAGE, *_NEEDED))
    # A recipe's stages may share dicts of options; settings must not.
    complete = copy.deepcopy({**STAGE, **stage})
    for key in NAMES:
        if isinstance(complete[key], str):
            complete[key] = [complete[key]]
    _count(where, complete, _LEAST)
    check_values(where, complete)
    if complete["jit_compile"] not in ("auto", True, False):
        raise UserError(
            f"{where}: jit_compile is 'auto', True or False; received "
            f"{complete['jit_compile']!r}"
        )
    return complete


def _stages(config):
    return [complete_stage(stage) for stage in config["stages"]]


def _count(where, values, least):
    """Checks numbers that count something; 2e3 becomes 2000."""
    for key, lowest in least.items():
        value = values.get(key)
        if value is None and STAGE.get(key, 0) is None or key not in values:
            continue
        if isinstance(value, float) and value.is_integer():
            value = values[key] = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise UserError(
                f"{where}: {key} takes a whole number from {lowest}; received {value!r}"
            )


def scale_steps(config, minutes):
    """Changes the steps of a recipe's stages so that it takes about so many minutes.

    Args:
        config: complete plain values, with "minutes", the recipe's own.
        minutes: wanted.

    Raises:
        UserError: the recipe does not say how long it takes, or `minutes` is not positive.
    """
    if not config["minutes"]:
        raise UserError(
            f"the recipe {config['name']!r} does not say how many minutes it takes, so "
            "--budget cannot scale it; set the steps of its stages"
        )
    if not minutes > 0:
        raise UserError(f"--budget takes minutes above 0; received {minutes}")
    for stage in config["stages"]:
        stage["steps"] = max(1, round(stage["steps"] * minutes / config["minutes"]))
    config["minutes"] = minutes
