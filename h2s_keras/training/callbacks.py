"""Callbacks of a stage: saving its state, the non-finite guard, the log file."""

import csv
import math
import os
import signal

import keras
import numpy as np
from absl import logging

from h2s_keras.errors import UserError
from h2s_keras.training.state import save_state


class Interruption:
    """Turns Ctrl-C and SIGTERM into a flag, so that a step is never cut in half.

    A second Ctrl-C ends the program at once.
    """

    def __init__(self):
        self.requested = False
        self._previous = {}

    def __enter__(self):
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        except ValueError:
            pass  # Signals can be caught in the main thread only.
        return self

    def _request(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


class StateCheckpoint(keras.callbacks.Callback):
    """Saves the state after every epoch, and after the step in which Ctrl-C came.

    Args:
        folder: of the run.
        stage_index: position of the stage.
        position: object with the attribute `step`, the steps done so far; advanced here.
        interruption: `Interruption`.
    """

    def __init__(self, folder, stage_index, position, interruption):
        super().__init__()
        self.folder, self.stage_index = folder, stage_index
        self.position, self.interruption = position, interruption

    def on_train_batch_end(self, batch, logs=None):
        self.position.step += 1
        if self.interruption.requested:
            # Within an epoch the guard has not looked yet; the last state stays good.
            if weights_are_finite(self.model):
                self._save()
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self._save()

    def _save(self):
        save_state(self.folder, self.stage_index, self.position.step, self.model)


class NonFiniteGuard(keras.callbacks.Callback):
    """Goes back to the last good weights when the loss is no longer finite.

    Good weights are kept in memory every epoch. After a bad epoch they are restored and
    the learning rate is halved, also for runs that resume later; after `patience` bad
    epochs training ends with the name of the first bad term.

    Args:
        schedules: the `StageSchedule`s of the optimiser.
        patience: bad epochs that are forgiven.
    """

    def __init__(self, schedules, patience=3):
        super().__init__()
        self.schedules, self.patience, self.count = schedules, patience, 0
        self._good = None

    def on_train_begin(self, logs=None):
        counter = getattr(self.model, "halvings", None)
        earlier = 0 if counter is None else int(keras.ops.convert_to_numpy(counter))
        self._halve(earlier - self.count)
        self.count = max(earlier, self.count)
        self._keep()

    def on_epoch_end(self, epoch, logs=None):
        bad = [name for name, value in (logs or {}).items() if not math.isfinite(value)]
        if not bad and weights_are_finite(self.model):
            self._keep()
            return
        self.count += 1
        name = bad[0] if bad else "a weight"
        if self.count > self.patience:
            raise UserError(
                f"{name} was not finite {self.count} times, last at epoch {epoch + 1}; "
                "lower the learning rate or raise the warm-up of this stage"
            )
        for variable, value in zip(self._variables(), self._good, strict=True):
            variable.assign(value)
        if hasattr(self.model, "halvings"):
            self.model.halvings.assign(self.count)
        self._halve(1)
        logging.warning(
            "%s was not finite in epoch %d: went back to the last good weights and "
            "halved the step (%d of %d times)",
            name,
            epoch + 1,
            self.count,
            self.patience,
        )

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def _keep(self):
        self._good = [
            keras.ops.convert_to_numpy(variable.value) for variable in self._variables()
        ]

    def _halve(self, times):
        if times <= 0:
            return
        for schedule in self.schedules:
            schedule.learning_rate /= 2**times
        # The rate is a constant of the compiled step.
        self.model.make_train_function(force=True)


def weights_are_finite(model):
    """Whether no trainable weight is NaN or infinite."""
    return all(
        np.isfinite(keras.ops.convert_to_numpy(variable.value)).all()
        for variable in model.trainable_variables
    )


class CsvLog(keras.callbacks.Callback):
    """Appends a row an epoch: stage, step, seconds and every loss term."""

    def __init__(self, path, stage, position, clock):
        super().__init__()
        self.path, self.stage = path, stage
        self.position, self.clock = position, clock

    def on_epoch_end(self, epoch, logs=None):
        rows = [
            (self.stage, self.position.step, f"{self.clock():.1f}", name, f"{value:.6g}")
            for name, value in (logs or {}).items()
        ]
        new = not os.path.exists(self.path)
        with open(self.path, "a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["stage", "step", "seconds", "term", "value"])
            writer.writerows(rows)
