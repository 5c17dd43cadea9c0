"""Runs the stages of a recipe one after another, resumable at any step."""

import contextlib
import dataclasses
import functools
import time

import keras
import numpy as np
from absl import logging

from h2s_keras.data.clips.cached_flow import PAIRS_AT_ONCE
from h2s_keras.data.clips.motion_pairs import MotionPairs
from h2s_keras.errors import UserError
from h2s_keras.files import remove_unfinished, sha256
from h2s_keras.models.motion_net_of import motion_net_of, pair_network, sees_pairs
from h2s_keras.options import RunOptions
from h2s_keras.training.callbacks import (
    CsvLog,
    Interruption,
    NonFiniteGuard,
    OptimizerFigures,
    StateCheckpoint,
    TensorBoardLog,
    cut_log,
)
from h2s_keras.training.diagnosis import explain_batch, first_bad_weight
from h2s_keras.training.preparation import is_mixed, prepare_stage, stage_errors
from h2s_keras.training.state import (
    find_states,
    read_state,
    restore_state,
    save_state,
    saved_seconds,
    state_path,
)
from h2s_keras.training.validation import MotionValidation, Validation, best_path

_VALIDATION_CLIPS = 200


@dataclasses.dataclass
class Position:
    """Batches done in the stage that runs."""

    step: int = 0


def run_stages(
    network,
    config,
    data,
    run,
    progress=None,
    strategy=None,
    processes=None,
    part=None,
):
    """Trains `network` through config.stages, from the newest state of the run folder on.

    Args:
        network: a built HiddenTwoStream, made in the scope of `strategy`.
        config: `RunOptions`, or a dict of them, with at least the seed, the batch size and
            the stages.
        data: object with the interface of `h2s_keras.data.training_data`.
        run: RunFolder.
        progress: object with `stage(name, steps, done, place, later)` giving a Keras
            callback that has `close()` and counts the batches in `done`, or None. `place`
            is (number, count) of the stage, `later` counts the batches of those after it.
        strategy: tf.distribute strategy, or None.
        processes: `Processes` that train together, or None.
        part: places in config.stages of the stages to run; None: all. Others count for the
            time left and the states alone.

    Yields:
        (stage dict, seconds, Validation or None) after each stage that is done; those that
        an earlier run finished are passed over.

    Raises:
        UserError: if the saved state belongs to another configuration, or a stage keeps
            running into values that are not finite.
        KeyboardInterrupt: after Ctrl-C, once the state is saved.
    """
    config = RunOptions.of(config)
    scope = contextlib.nullcontext if strategy is None else strategy.scope
    remove_unfinished(run.path)
    first_stage, first_step, arrays = newest_state(run, processes)
    names = [stage.name for stage in config.stages]
    cut_log(run.file("log.csv"), names, first_stage, first_step)
    for index in range(len(config.stages)) if part is None else part:
        if index < first_stage:
            continue
        stage = config.stages[index]
        started, seconds = time.monotonic(), 0.0
        position = Position(first_step if index == first_stage else 0)
        keras.utils.set_random_seed(config.seed + index)
        with stage_errors(stage), scope():
            stage_model = prepare_stage(network, stage)
        if index == first_stage and arrays is not None:
            restore_state(stage_model, arrays)
            seconds = saved_seconds(state_path(run.path, first_stage, first_step))
        else:
            # What the guard goes back to; and the weights of the stage before are on disk
            # with this stage from here on.
            save_state(run.path, index, 0, stage_model)
        stage_data = data
        if stage.cached_flow:
            stage_data = _flow_data(network, data, run, progress)
        elif is_mixed(stage):
            if processes is not None:
                raise UserError(
                    f"stage {stage.name!r}: flow_loss.kind='mixed' runs in one process; "
                    f"leave --processes out, or the stage (--set stages.{stage.name}=none)"
                )
            stage_data = MotionPairs(data)
        running = _RunningStage(
            stage_model, config, index, position, run, stage_data, processes
        )
        if is_mixed(stage) and running.validation is None and progress is not None:
            progress.message(
                f"{stage.name}: no videos are held out (data.validation), so nothing "
                "shows whether tuning helps; the tuned weights are kept"
            )
        if running.steps_left():
            # What lay between a cut and now does not count.
            running.started = started - seconds
            running.fit(progress)
            seconds = running.seconds()
        running.keep_best()
        # A later stage reads the same flow.
        if stage_data is not data and not _cached_later(config, index):
            stage_data.close()
        stage_model.optimizer.use_averages()
        yield stage, seconds, running.validation


def _cached_later(config, index):
    return any(stage.cached_flow for stage in config.stages[index + 1 :])


def _flow_data(network, data, run, progress):
    """The flow of the videos by the frozen MotionNet, kept in the run folder."""
    if not sees_pairs(network.motion):
        raise UserError(
            "cached_flow needs a MotionNet that sees pairs of frames (coarse_to_fine), so "
            "that flow does not depend on the clip; this one sees "
            f"{network.motion.num_frames} frames"
        )
    motion_net = pair_network(network.motion)
    key = sha256(np.ascontiguousarray(weight) for weight in motion_net.get_weights())

    def estimate(frames):
        # Always as many pairs, so that the network is compiled once.
        full = np.resize(frames, (PAIRS_AT_ONCE, *frames.shape[1:]))
        return motion_net.predict_on_batch(full)["flow2"][: len(frames), 0]

    folder = run.file("flow")
    if progress is None:
        return data.flow_data(folder, key, estimate)
    videos = len(data.train) + len(data.validation)
    with progress.count("flow of videos", videos) as counter:
        return data.flow_data(folder, key, estimate, counter.update)


class _RunningStage:
    """A stage on its way: fits in epochs, saves, and goes back where it must."""

    def __init__(self, stage_model, config, index, position, run, data, processes):
        self.model, self.stage, self.index = stage_model, config.stages[index], index
        self.position, self.run, self.data, self.processes = position, run, data, processes
        self.batch_size = self.stage.batch_size or config.batch_size
        self.seed = config.seed + 1000 * index
        self.tensorboard = config.tensorboard
        batches = [
            stage.steps * stage.gradient_accumulation_steps for stage in config.stages
        ]
        self.total, self.later = batches[index], sum(batches[index + 1 :])
        self.stages = len(batches)
        self.validation = self._make_validation()
        self.started = time.monotonic()

    def steps_left(self):
        """Whether the stage, which may have been resumed, still has something to do."""
        stopped = self.validation is not None and self.validation.exhausted
        return self.position.step < self.total and not stopped

    def _make_validation(self):
        """What measures the stage on videos set aside; None where there are none.

        `Validation` of a stage that learns actions, `MotionValidation` of one that learns
        motion from pairs.
        """
        if isinstance(self.data, MotionPairs):
            pairs = self.data.held_out()
            if not len(pairs):
                return None
            motion = motion_net_of(self.model.network)
            return MotionValidation(
                best_path(self.run, self.stage),
                pairs,
                self.position,
                self.stage.patience,
                # Beside streams that learn actions they would cost more than they tell.
                baselines=motion is self.model.network,
            )
        learned = [name for name in self.stage.streams if name != "motion"]
        if not getattr(self.data, "validates", False) or not learned:
            return None
        batches = self.data.validation_batches
        if not self.stage.cached_flow:
            # Clips that pass through MotionNet, and after every epoch again.
            batches = functools.partial(batches, most_clips=_VALIDATION_CLIPS)
        return Validation(
            best_path(self.run, self.stage),
            lambda: batches(self.batch_size),
            learned[0],
            self.position,
            self.stage.patience,
        )

    def keep_best(self):
        """Gives the network the best weights on the validation videos."""
        if self.validation is not None:
            self.validation.restore_best(self.model)

    def seconds(self):
        """How long the stage has trained so far."""
        return time.monotonic() - self.started

    def fit(self, progress):
        """Fits until the steps of the stage are done, in epochs of stage.epoch steps."""
        steps, batches = self.stage.steps, self.stage.gradient_accumulation_steps
        total, epoch = self.total, min(self.stage.epoch, steps) * batches
        name, position = self.stage.name, self.position
        log = CsvLog(self.run.file("log.csv"), name, position, self.seconds)
        callbacks = [OptimizerFigures(), log]
        if self.validation is not None:
            callbacks.insert(1, self.validation)
        if self.tensorboard:
            folder = self.run.file(f"tensorboard/{name}")
            # One process alone cannot compute with weights that all share; cached flow has
            # no frames to show.
            shown = self.processes is None and not self.stage.cached_flow
            pictures = self.sample_clips if shown else None
            callbacks.append(TensorBoardLog(folder, position, pictures))
        callbacks.append(NonFiniteGuard(name, self.go_back, self.explain))
        bar, shown = None, contextlib.nullcontext()
        if progress is not None:
            place = (self.index + 1, self.stages)
            bar = progress.stage(name, total, position.step, place, self.later)
            shown = contextlib.closing(bar)
            callbacks.append(bar)
        with shown, Interruption() as interruption:
            callbacks.append(
                StateCheckpoint(self.save, position, interruption, self.processes)
            )
            while self.steps_left():
                into, remaining = position.step % epoch, total - position.step
                steps = min(epoch - into, remaining)
                if bar is not None:
                    bar.done = position.step
                self.model.fit(
                    self.batches(position.step),
                    steps_per_epoch=steps,
                    epochs=max(1, remaining // epoch) if steps == epoch else 1,
                    callbacks=callbacks,
                    shuffle=False,
                    verbose=0,
                )
            # What came after the last step has stopped nothing; all is saved by now.
            requested = interruption.requested
            if requested if self.processes is None else self.processes.any(requested):
                raise KeyboardInterrupt

    def batches(self, start):
        """The dataset of (clips, labels) from a batch on: this process's share of it."""
        share = {} if self.processes is None else self.processes.share()
        return self.data.training(self.batch_size, start, self.seed, **share)

    def sample_clips(self):
        """The first clips of the stage, for pictures; always the same."""
        for clips, _ in self.batches(0).take(1):
            return clips[: min(4, len(clips))]

    def save(self):
        step = self.position.step
        save_state(self.run.path, self.index, step, self.model, self.seconds())

    def go_back(self):
        """Restores the newest good state of this stage; returns its batch number."""
        stage, step, arrays = newest_state(self.run, self.processes)
        if arrays is None or stage != self.index:
            raise UserError(
                f"{self.run.path}: no good state of the stage {self.stage.name!r} is "
                "left to go back to; start anew in another --out folder"
            )
        restore_state(self.model, arrays)
        self.position.step = step
        return step

    def explain(self, batch):
        """What was not finite, in words."""
        if batch is None:
            weight = first_bad_weight(self.model)
            return f"by batch {self.position.step} the weight {weight} was not finite"
        names = self.data.training_names(self.batch_size, batch, self.seed)
        names = names if self.processes is None else self.processes.rows(names)
        for clips, labels in self.batches(batch).take(1):
            return explain_batch(self.model, clips, labels, batch, names)


def newest_state(run, processes=None):
    """(stage, step, arrays) of the newest state that can be read.

    (0, 0, None) where none was ever saved. Damaged states are reported and passed over.
    Processes that train together go on with the newest state that all of them hold.

    Raises:
        UserError: there are states, and none to go on from.
    """
    states = saved = find_states(run.path)
    if processes is not None:
        stage, step = processes.least(states[0][:2] if states else (0, 0))
        states = [state for state in states if state[:2] <= (stage, step)]
    found = (0, 0, None)
    for stage, step, path in states:
        try:
            found = stage, step, read_state(path)
            break
        except UserError as error:
            logging.warning("%s; trying the state before it", error)
    if processes is not None and not processes.agree(found[:2]):
        raise UserError(
            f"{run.path}: the processes hold no common state to go on from; copy the "
            "newest state of one process to the others"
        )
    lost = bool(saved) and found[2] is None
    if lost if processes is None else processes.any(lost):
        raise UserError(
            f"{run.path}: none of its saved states can be read; start anew in another "
            "--out folder"
        )
    return found
