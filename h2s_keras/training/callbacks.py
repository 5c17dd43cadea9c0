"""Callbacks of a stage: its state, its log, TensorBoard, and values that are not finite."""

import csv
import os
import signal

import keras
import numpy as np
from absl import logging

from h2s_keras.errors import UserError
from h2s_keras.files import whole_file
from h2s_keras.models.motion_net_of import motion_net_of
from h2s_keras.visualization import motion_panel


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


_HEADER = ["stage", "step", "seconds", "term", "value"]


class CsvLog(keras.callbacks.Callback):
    """Appends rows an epoch: stage, batches done, seconds, and every figure.

    Args:
        path: path of the file, made when needed.
        stage: its name.
        position: object with the attribute `step`, the batches done.
        clock: function without arguments, the seconds that the stage has trained.
    """

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
                writer.writerow(_HEADER)
            writer.writerows(rows)


def cut_log(path, stages, index, step):
    """Drops the rows of a log that a run, going on from a state, will write again.

    They are there where the run was cut, or the disk full, between the log and the state.

    Args:
        path: path of the file; nothing is done where there is none.
        stages: names of all stages, in order.
        index, step: stage and batches done of the state that the run goes on from.
    """
    if not os.path.exists(path):
        return
    places = {name: place for place, name in enumerate(stages)}

    def stays(row):
        if row == _HEADER:
            return True
        # The last row may be half a row.
        if len(row) < len(_HEADER) or not row[1].isdigit():
            return False
        return (places.get(row[0], -1), int(row[1])) <= (index, step)

    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    kept = [row for row in rows if stays(row)]
    if kept == rows:
        return
    with whole_file(path) as temporary, open(temporary, "w", newline="") as file:
        csv.writer(file).writerows(kept)


_CHECK_EVERY = 10  # batches


class NonFiniteGuard(keras.callbacks.Callback):
    """Goes back to the last good state when the loss or a gradient is no longer finite.

    `StageUpdates` stops all updates at the first bad batch; this callback looks every few
    batches whether it did, has the cause explained, goes back to the last saved state and
    halves the step, also for runs that resume later.

    Args:
        stage: name of the stage, for messages.
        go_back: function without arguments that restores the last good state and returns
            its batch number.
        explain: function (batch number or None) -> text that says what was not finite.
        patience: times that training may go back before it ends.

    Raises:
        UserError: the patience is at an end; the text names the first bad tensor or loss
            term, the batch and its clips.
    """

    def __init__(self, stage, go_back, explain, patience=3):
        super().__init__()
        self.stage, self.go_back, self.explain = stage, go_back, explain
        self.patience = patience

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % _CHECK_EVERY == 0 and bad_batch(self.model) >= 0:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        bad = bad_batch(self.model)
        if bad < 0 and weights_are_finite(self.model):
            return
        model = self.model
        reason = self.explain(bad if bad >= 0 else None)
        count = int(keras.ops.convert_to_numpy(model.halvings)) + 1
        if count > self.patience:
            raise UserError(
                f"stage {self.stage!r}: {reason}; went back {self.patience} times with "
                "half the step each time, without success: lower the learning rate, or "
                "raise the warm-up of this stage"
            )
        step = self.go_back()
        model.halvings.assign(count)
        model.optimizer.rate_scale.assign(0.5**count)
        # The data must go back, too.
        model.stop_training = True
        logging.warning(
            "stage %r: %s; went back to batch %d and halved the step (%d of %d times)",
            self.stage,
            reason,
            step,
            count,
            self.patience,
        )


_CLIPS_SHOWN = 2


class TensorBoardLog(keras.callbacks.Callback):
    """Writes what `tensorboard --logdir RUN/tensorboard` shows of a stage.

    Scalars of every figure an epoch; for stages that run MotionNet also pictures (frames,
    flow, warped frame, error) of a few clips that stay the same, and a histogram of the
    lengths of their flow in pixels. TensorFlow writes the files on every backend; the
    package tensorboard is needed to look at them only.

    Args:
        folder: folder of the event files; made when needed.
        position: object with the attribute `step`, the batches done.
        sample_clips: function without arguments that gives uint8 clips (batch, time,
            height, width, 3) for the pictures, or None.
    """

    def __init__(self, folder, position, sample_clips=None):
        super().__init__()
        self.folder, self.position = folder, position
        self.sample_clips = sample_clips
        self._writer = self._clips = None
        self._resumed = position.step

    def on_epoch_end(self, epoch, logs=None):
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self.folder)
        # These operations come with TensorFlow; tf.summary.scalar wants tensorboard.
        writer, step = self._writer._resource, self.position.step
        if self._resumed:
            # TensorBoard drops what a run that was cut had written beyond its state.
            start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
            event = tf.compat.v1.Event(step=self._resumed + 1, session_log=start)
            tf.raw_ops.ImportEvent(writer=writer, event=event.SerializeToString())
            self._resumed = 0
        for name, value in (logs or {}).items():
            tf.raw_ops.WriteScalarSummary(
                writer=writer, step=step, tag=name, value=np.float32(value)
            )
        if self.sample_clips is not None and hasattr(self.model, "streams"):
            self._write_motion(tf, writer, step)
        self._writer.flush()

    def _write_motion(self, tf, writer, step):
        motion = motion_net_of(self.model.network)
        if motion is None or self.model.streams == ("spatial",):
            return
        if self._clips is None:
            clips = np.asarray(self.sample_clips())
            clips = clips.reshape(-1, *clips.shape[-4:])
            self._clips = clips[:_CLIPS_SHOWN]
        if self._clips.shape[1] != motion.num_frames:
            return  # A stage on pairs of frames, for a network of longer clips.
        flows = motion.estimate_flow(self._clips)
        lengths = np.sqrt(np.sum(np.square(flows), axis=-1, dtype="float32"))
        if not np.isfinite(lengths).all():
            return  # The guard reports it.
        tf.raw_ops.WriteHistogramSummary(
            writer=writer, step=step, tag="flow length in pixels", values=lengths.ravel()
        )
        for number, (clip, flow) in enumerate(zip(self._clips, flows, strict=True)):
            scale = max(1, 128 // clip.shape[1])
            panel = motion_panel(clip, None, flow, scale=scale)
            tf.raw_ops.WriteImageSummary(
                writer=writer,
                step=step,
                tag=f"motion of clip {number}",
                tensor=panel[None],
                bad_color=np.array([255, 0, 0, 255], "uint8"),
                max_images=1,
            )
