"""Runs the stages of a recipe one after another, resumable at any step."""

import contextlib
import dataclasses
import time

import keras
from absl import logging

from h2s_keras.errors import UserError
from h2s_keras.layers.unsupervised_flow_loss import UnsupervisedFlowLoss
from h2s_keras.training.callbacks import (
    CsvLog,
    Interruption,
    NonFiniteGuard,
    StateCheckpoint,
)
from h2s_keras.training.optimizers import build_optimizer
from h2s_keras.training.stage_model import StageModel
from h2s_keras.training.state import find_states, read_state, restore_state, save_state

PARTS = ("motion", "temporal", "spatial")


@dataclasses.dataclass
class Position:
    """Steps done in the stage that runs."""

    step: int = 0


def run_stages(network, config, data, run, progress=None, resume=False):
    """Trains `network` through config["stages"].

    Args:
        network: a built HiddenTwoStream.
        config: plain values of a recipe: "seed", "batch_size", "stages".
        data: object with `training(batch_size, start_step, seed)` giving an endless
            tf.data.Dataset of (clips, labels) that continues exactly at a step.
        run: RunFolder.
        progress: object with `stage(name, steps, done)` giving a Keras callback that has
            `close()`, or None.
        resume: continue from the newest state of the run folder.

    Yields:
        (stage dict, seconds) after each stage that is done; those that an earlier run
        finished are passed over.

    Raises:
        UserError: if the saved state belongs to another configuration.
        KeyboardInterrupt: after Ctrl-C, once the state is saved.
    """
    first_stage, first_step, arrays = 0, 0, None
    if resume:
        first_stage, first_step, arrays = _newest_state(run)
    for index, stage in enumerate(config["stages"]):
        if index < first_stage:
            continue
        started = time.monotonic()
        position = Position(first_step if index == first_stage else 0)
        keras.utils.set_random_seed(config["seed"] + index)
        try:
            stage_model, schedules = prepare_stage(network, stage)
        except ValueError as error:
            raise UserError(f"stage {stage['name']!r}: {error}") from error
        if index == first_stage and arrays is not None:
            restore_state(stage_model, arrays)
        elif index:
            # From here on the weights of the stage before are on disk with this stage.
            save_state(run.path, index, 0, stage_model)
        batch_size = stage.get("batch_size", config["batch_size"])
        seed = config["seed"] + 1000 * index
        dataset = data.training(batch_size, position.step, seed)
        callbacks = [NonFiniteGuard(schedules)]
        shown = contextlib.nullcontext()
        if progress is not None:
            bar = progress.stage(stage["name"], stage["steps"], position.step)
            shown = contextlib.closing(bar)
            callbacks.append(bar)
        callbacks.append(
            CsvLog(
                run.file("log.csv"),
                stage["name"],
                position,
                lambda started=started: time.monotonic() - started,
            )
        )
        with shown, Interruption() as interruption:
            callbacks.append(StateCheckpoint(run.path, index, position, interruption))
            _fit(stage_model, dataset, stage, position, callbacks, data, batch_size, seed)
        yield stage, time.monotonic() - started


def prepare_stage(network, stage):
    """Sets what learns, and returns the compiled (StageModel, schedules) of a stage."""
    trained = stage.get("train", stage["streams"])
    for part in PARTS:
        model = getattr(network, part)
        if model is not None:
            model.trainable = part in trained
    missing = [part for part in trained if getattr(network, part, None) is None]
    if missing:
        raise UserError(f"it trains {missing[0]!r}, which the model does not have")
    flow_loss = stage.get("flow_loss")
    stage_model = StageModel(
        network,
        stage["streams"],
        None if flow_loss is None else UnsupervisedFlowLoss(**flow_loss),
        flow_loss_weight=stage.get("flow_loss_weight", 1.0),
        action_loss_weight=stage.get("action_loss_weight", 1.0),
        label_smoothing=stage.get("label_smoothing", 0.0),
        smoothness_ramp=stage.get("smoothness_ramp", 0),
        smoothness_start=stage.get("smoothness_start", 0.1),
        name=stage["name"],
    )
    optimizer, schedules = build_optimizer(stage, network)
    stage_model.compile(optimizer=optimizer, jit_compile=stage.get("jit_compile", False))
    optimizer.build(stage_model.trainable_variables)
    return stage_model, schedules


def _fit(stage_model, dataset, stage, position, callbacks, data, batch_size, seed):
    """Fits up to stage["steps"] in epochs of stage["epoch"] steps."""
    epoch = min(stage.get("epoch", 50), stage["steps"])
    while position.step < stage["steps"]:
        into = position.step % epoch
        remaining = stage["steps"] - position.step
        steps = min(epoch - into, remaining)
        epochs = remaining // epoch if steps == epoch else 1
        stage_model.fit(
            dataset,
            steps_per_epoch=steps,
            epochs=epochs,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
        if position.step < stage["steps"]:
            dataset = data.training(batch_size, position.step, seed)


def _newest_state(run):
    """The newest state that can be read; damaged ones are reported and passed over."""
    for stage, step, path in find_states(run.path):
        try:
            return stage, step, read_state(path)
        except UserError as error:
            logging.warning("%s; trying the state before it", error)
    return 0, 0, None
