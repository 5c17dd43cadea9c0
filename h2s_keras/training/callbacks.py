"""Callbacks of a stage: figures of the optimiser, saving its state."""

import signal

import keras
import numpy as np


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
        save: function without arguments that saves the state of the stage at `position`.
        position: object with the attribute `step`, the batches done so far; advanced here.
        interruption: `Interruption`.
        processes: `Processes` that train together, or None. They stop together, after an
            epoch.
    """

    def __init__(self, save, position, interruption, processes=None):
        super().__init__()
        self.save, self.position, self.interruption = save, position, interruption
        self.processes = processes

    def on_train_batch_end(self, batch, logs=None):
        self.position.step += 1
        if self.interruption.requested and self.processes is None:
            # Within an epoch the guard has not looked yet; the last state stays good.
            if bad_batch(self.model) < 0 and weights_are_finite(self.model):
                self.save()
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self.save()
        if self.processes is not None and self.processes.any(self.interruption.requested):
            raise KeyboardInterrupt


def bad_batch(model):
    """The batch whose gradient was not finite and stopped all updates, or -1."""
    return int(keras.ops.convert_to_numpy(model.optimizer.bad_batch))


def weights_are_finite(model):
    """Whether no trainable weight is NaN or infinite."""
    return all(
        np.isfinite(keras.ops.convert_to_numpy(variable.value)).all()
        for variable in model.trainable_variables
    )


class OptimizerFigures(keras.callbacks.Callback):
    """Adds the learning rate, and for float16 the loss scale, to the figures of an epoch.

    First in the list of callbacks, so that the others show and write them.
    """

    def on_epoch_end(self, epoch, logs=None):
        optimizer, number = self.model.optimizer, keras.ops.convert_to_numpy
        rate = float(number(optimizer.learning_rate)) * float(number(optimizer.rate_scale))
        logs["learning_rate"] = rate
        if optimizer.use_dynamic_scale:
            logs["loss_scale"] = float(number(optimizer.dynamic_scale))
