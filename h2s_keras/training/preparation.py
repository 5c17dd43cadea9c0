"""From the options of a stage to the weights that learn and a model that `fit` trains."""

import contextlib
import fnmatch
import inspect

import keras

from h2s_keras.data.clips.sampling import process_batch_size
from h2s_keras.errors import UserError
from h2s_keras.layers.mixed_flow_loss import MixedFlowLoss
from h2s_keras.layers.supervised_flow_loss import SupervisedFlowLoss
from h2s_keras.layers.unsupervised_flow_loss import UnsupervisedFlowLoss
from h2s_keras.models.motion_net_of import motion_net_of, sees_pairs
from h2s_keras.options import StageOptions
from h2s_keras.training.backend_steps import jit_compile
from h2s_keras.training.flow_objective import FlowObjective
from h2s_keras.training.optimizers import PARTS, build_optimizer, part_of
from h2s_keras.training.stage_model import StageModel

# Options of a flow loss that are arguments of `FlowObjective`, not of the loss in it.
_AROUND = inspect.signature(FlowObjective.__init__).parameters.keys() - {"loss"}


def prepare_stage(network, stage):
    """Sets what learns, and returns the compiled StageModel of a stage."""
    stage_model = _compiled(network, StageOptions.of(stage))
    stage_model.optimizer.build(stage_model.trainable_variables)
    return stage_model


def check_stages(network, config, processes=None):
    """Prepares every stage in turn but for the memory of its optimiser.

    So a mistake in the last stage of a run of days is reported before the first step.

    Args:
        network: a built HiddenTwoStream.
        config: `RunOptions`.
        processes: `Processes` that train together, or None.

    Raises:
        UserError: a stage does not fit the network, or its batches the processes.
    """
    for stage in config.stages:
        with stage_errors(stage):
            if processes is not None:
                size = stage.batch_size or config.batch_size
                process_batch_size(size, processes.index, processes.count)
            _compiled(network, stage)


@contextlib.contextmanager
def stage_errors(stage):
    """Raises what does not fit in a stage as a UserError with the stage's name."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"stage {stage.name!r}: {error}") from error


def is_mixed(stage):
    """Whether a stage learns from real and synthetic pairs of frames together."""
    return stage.flow_loss is not None and stage.flow_loss.kind == "mixed"


def _compiled(network, stage):
    set_trainable(network, stage)
    motion_net = motion_net_of(network)
    if is_mixed(stage) and not sees_pairs(motion_net):
        raise ValueError(
            "flow_loss.kind='mixed' tunes a MotionNet that sees pairs of frames "
            f"(coarse_to_fine); this one sees {motion_net.num_frames} frames at once. "
            f"Leave the stage out (--set stages.{stage.name}=none) or start from a "
            "preset such as model.motion=tiny_synthetic."
        )
    stage_model = StageModel(
        network,
        stage.streams,
        flow_objective(stage.flow_loss, stage.gradient_accumulation_steps),
        flow_loss_weight=stage.flow_loss_weight,
        action_loss_weight=stage.action_loss_weight,
        label_smoothing=stage.label_smoothing,
        consensus=stage.consensus,
        name=stage.name,
    )
    half = stage_model.compute_dtype == "float16"
    optimizer = build_optimizer(stage, network, dynamic_scale=half)
    stage_model.compile(
        optimizer=optimizer,
        jit_compile=jit_compile(stage.jit_compile),
        # The optimiser scales the loss itself.
        auto_scale_loss=False,
    )
    return stage_model


def flow_objective(options, batches_per_step=1):
    """The `FlowObjective` of `FlowLossOptions`; None of None.

    Args:
        options: what counts steps there counts batches in the objective.
        batches_per_step: number of batches per step of the optimizer.
    """
    if options is None:
        return None
    given = options.to_dict()
    kind = given.pop("kind")
    around = {name: given.pop(name) for name in _AROUND if name in given}
    for name in ("smoothness_ramp", "occlusion_start", "self_supervision_start"):
        if name in around:
            around[name] *= batches_per_step
    if kind == "supervised":
        loss = SupervisedFlowLoss(**given)
    elif kind == "mixed":
        weight = given.pop("supervised_weight")
        loss = MixedFlowLoss(UnsupervisedFlowLoss(**given), supervised_weight=weight)
    else:
        loss = UnsupervisedFlowLoss(**given)
    return FlowObjective(loss, **around)


def set_trainable(network, stage):
    """Freezes all but what `stage` trains.

    Args:
        network: a built HiddenTwoStream.
        stage: `StageOptions`: "train" holds the parts that learn (None: the streams), and
            "freeze" patterns of layers that do not, such as "motion/conv1*" (part/name of
            the layer); with "freeze_normalization" no batch normalization does.

    Raises:
        UserError: for a part that the network lacks, or a pattern that matches no layer
            with weights in the parts that learn.

    Example:

    ```python
    stage = StageOptions(name="a", streams=["temporal"], freeze=["temporal/block1_*"])
    set_trainable(network, stage)
    ```
    """
    trained = stage.train or stage.streams
    for part in PARTS:
        model = part_of(network, part)
        if model is not None:
            mark_trainable(model, part in trained)
    missing = [part for part in trained if part_of(network, part) is None]
    if missing:
        raise UserError(
            f"it trains {missing[0]!r}, which the model does not have; leave the stage out "
            f"(--set stages.{stage.name}=none) or give the model one"
        )
    layers = {
        f"{part}/{layer.name}": layer
        for part in trained
        for layer in _leaves(network, part)
    }
    if stage.freeze_normalization:
        for layer in layers.values():
            if isinstance(layer, keras.layers.BatchNormalization):
                # A frozen one computes with its moving statistics.
                layer.trainable = False
    for pattern in stage.freeze:
        matched = fnmatch.filter(layers, pattern)
        if not matched:
            shown = ", ".join(list(layers)[:6])
            raise UserError(
                f"freeze names {pattern!r}, which matches no layer that would learn; there "
                f"are {shown}, ..."
            )
        for name in matched:
            layers[name].trainable = False


def mark_trainable(model, value):
    """Sets `trainable` of a model and of all its layers, whatever they had.

    TensorFlow drops a value that an object has already, and with it Keras' setting of the
    layers inside, which may have another.
    """
    model.trainable = not value
    model.trainable = value


def _leaves(network, part):
    """Layers with weights of their own, also those inside nested models."""
    return [
        layer
        for layer in part_of(network, part)._flatten_layers()
        if layer._trainable_variables
    ]
