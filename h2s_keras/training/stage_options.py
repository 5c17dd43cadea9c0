"""Everything a recipe can say of a run and of a stage, with what holds if it does not."""

import copy

from h2s_keras.data.data_options import check_data_options
from h2s_keras.errors import UserError, refuse_unknown

RUN = {
    # "float32", "mixed_bfloat16" or "mixed_float16"; losses and warps stay float32.
    "dtype_policy": "float32",
    # "mirrored": a replica on each GPU (or logical CPU) of this host.
    "strategy": "none",
    # Event files with scalars, flow pictures and histograms in the run folder.
    "tensorboard": True,
}

MODEL = {
    # What `HiddenTwoStreamBuilder` takes; "stored" motion reads stored flow in place of
    # clips (data.contents="flow").
    "motion": "tiny",
    "motion_options": {},
    # Of `QuantizedFlowAdapter`: bound, levels, centre; a branched model has none.
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
    # Batches of a size of their own (None: the run's), several for one update.
    "batch_size": None,
    "accumulate": 1,
    # Optimiser steps in an epoch: after each the state is saved and looked at.
    "epoch": 50,
    "optimizer": "adam",
    "schedule": "cosine",
    "warmup": 0,
    "boundaries": (),
    "factor": 0.1,
    "rate_factors": {},
    "clip_norm": 1.0,
    "weight_decay": 0.0,
    "weight_decay_kind": "decoupled",
    "decay_biases": False,
    "ema": None,
    # Arguments of UnsupervisedFlowLoss; with "kind": "supervised" of SupervisedFlowLoss,
    # which needs data.targets="flow".
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
_ADAPTER = ("bound", "levels", "centre")
_NEEDED = ("name", "streams", "steps", "learning_rate")


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
    stages = [complete_stage(stage) for stage in config["stages"]]
    refuse_unknown("model", config.get("model", {}), MODEL)
    if "data" in config:
        check_data_options(config["data"])
    model = {**copy.deepcopy(MODEL), **config.get("model", {})}
    refuse_unknown("model.adapter", model["adapter"], _ADAPTER)
    return {**RUN, **config, "model": model, "stages": stages}


def complete_stage(stage):
    """One stage with every option filled in; raises as `complete_config`."""
    name = stage.get("name", "without a name")
    lacking = [key for key in _NEEDED if key not in stage]
    if lacking:
        raise UserError(f"stage {name!r}: {lacking[0]!r} is missing")
    refuse_unknown(f"stage {name!r}", stage, (*STAGE, *_NEEDED))
    return {**copy.deepcopy(STAGE), **stage}
