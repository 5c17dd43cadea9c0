"""From the plain values of a stage to a model that `fit` trains."""

import contextlib

from h2s_keras.data.clips.sampling import host_batch_size
from h2s_keras.errors import UserError
from h2s_keras.layers.mixed_flow_loss import MixedFlowLoss
from h2s_keras.layers.supervised_flow_loss import SupervisedFlowLoss
from h2s_keras.layers.unsupervised_flow_loss import UnsupervisedFlowLoss
from h2s_keras.models.motion_net_of import motion_net_of, sees_pairs
from h2s_keras.training.freezing import set_trainable
from h2s_keras.training.optimizers import build_optimizer
from h2s_keras.training.stage_model import StageModel
from h2s_keras.training.stage_options import complete_stage


def prepare_stage(network, stage):
    """Sets what learns, and returns the compiled StageModel of a stage."""
    stage_model = _compiled(network, complete_stage(stage))
    stage_model.optimizer.build(stage_model.trainable_variables)
    return stage_model


def check_stages(network, config, hosts=None):
    """Prepares every stage in turn but for the memory of its optimiser.

    So a mistake in the last stage of a run of days is told before the first step.

    Args:
        network: a built HiddenTwoStream.
        config: complete plain values of a recipe.
        hosts: `Hosts` that train together, or None.

    Raises:
        UserError: a stage does not fit the network, or its batches do not fit the hosts.
    """
    for stage in config["stages"]:
        with stage_errors(stage):
            if hosts is not None:
                size = stage["batch_size"] or config["batch_size"]
                host_batch_size(size, hosts.host, hosts.count)
            _compiled(network, stage)


@contextlib.contextmanager
def stage_errors(stage):
    """Tells what does not fit in a stage as the user's mistake, with the stage's name."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"stage {stage['name']!r}: {error}") from error


def is_mixed(stage):
    """Whether a stage learns from real and synthetic pairs of frames together."""
    return (stage["flow_loss"] or {}).get("kind") == "mixed"


def _compiled(network, stage):
    set_trainable(network, stage)
    flow_loss = stage["flow_loss"]
    motion_net = motion_net_of(network)
    if is_mixed(stage) and not sees_pairs(motion_net):
        raise ValueError(
            "flow_loss.kind='mixed' tunes a MotionNet that sees pairs of frames "
            f"(coarse_to_fine); this one sees {motion_net.num_frames} frames at once. "
            f"Leave the stage out (--set stages.{stage['name']}=none) or start from a "
            "preset such as model.motion=tiny_synthetic."
        )
    stage_model = StageModel(
        network,
        stage["streams"],
        None if flow_loss is None else _flow_loss(**flow_loss),
        flow_loss_weight=stage["flow_loss_weight"],
        action_loss_weight=stage["action_loss_weight"],
        label_smoothing=stage["label_smoothing"],
        # The model counts batches, recipes count optimiser steps.
        smoothness_ramp=stage["smoothness_ramp"] * stage["accumulate"],
        smoothness_start=stage["smoothness_start"],
        flow_options={
            name: value * (stage["accumulate"] if name.endswith("_start") else 1)
            for name, value in stage["flow_options"].items()
        },
        consensus=stage["consensus"],
        name=stage["name"],
    )
    half = stage_model.compute_dtype == "float16"
    optimizer = build_optimizer(stage, network, dynamic_scale=half)
    stage_model.compile(
        optimizer=optimizer,
        jit_compile=stage["jit_compile"],
        # The optimiser scales the loss itself.
        auto_scale_loss=False,
    )
    return stage_model


def _flow_loss(kind="unsupervised", **options):
    kinds = {
        "unsupervised": UnsupervisedFlowLoss,
        "supervised": SupervisedFlowLoss,
        "mixed": _mixed_flow_loss,
    }
    if kind not in kinds:
        raise ValueError(
            f"flow_loss.kind must be one of {', '.join(kinds)}; received {kind!r}."
        )
    return kinds[kind](**options)


def _mixed_flow_loss(supervised_weight=1.0, **options):
    """`options` are those of the loss of real clips."""
    unsupervised = UnsupervisedFlowLoss(**options)
    return MixedFlowLoss(unsupervised, supervised_weight=supervised_weight)
