"""Progress of long work on stderr: a live bar in a terminal, plain lines elsewhere."""

import sys
import time

import keras
import rich.console
import rich.progress


class Progress:
    """Gives every training stage a Keras callback that shows loss terms and time left.

    On a terminal it is one live bar a stage; into a file or pipe it is one line an
    epoch, so that a log stays readable.
    """

    def __init__(self, stream=None):
        self.console = rich.console.Console(file=stream or sys.stderr, highlight=False)

    def message(self, text):
        self.console.print(text, markup=False, soft_wrap=True)

    def stage(self, name, steps, done=0):
        return _StageProgress(self.console, name, steps, done)


class _StageProgress(keras.callbacks.Callback):
    def __init__(self, console, name, steps, done):
        super().__init__()
        self.console, self.stage_name, self.steps, self.done = console, name, steps, done
        self.started, self.first = None, done
        self.bar = None

    def on_train_begin(self, logs=None):
        if self.started is None:
            self.started = time.monotonic()
        if self.console.is_terminal and self.bar is None:
            progress = rich.progress
            self.bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=24),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                progress.TextColumn("left"),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[terms]}"),
                console=self.console,
            )
            self.task = self.bar.add_task(
                self.stage_name, total=self.steps, completed=self.done, terms=""
            )
            self.bar.start()

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, terms=_terms(logs))

    def on_epoch_end(self, epoch, logs=None):
        if self.bar is None:
            elapsed = time.monotonic() - self.started
            left = elapsed / (self.done - self.first) * (self.steps - self.done)
            self.console.print(
                f"{self.stage_name} {self.done}/{self.steps} {_terms(logs)} "
                f"({elapsed:.0f} s, {left:.0f} s left)",
                markup=False,
                soft_wrap=True,
            )

    def on_train_end(self, logs=None):
        if self.bar is not None and self.done >= self.steps:
            self.bar.stop()

    def close(self):
        """Leaves the terminal as it was, also after Ctrl-C."""
        if self.bar is not None:
            self.bar.stop()


def _terms(logs):
    return " ".join(f"{name} {float(value):.3f}" for name, value in (logs or {}).items())
