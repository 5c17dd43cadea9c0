"""Keeps the weights that do best on validation videos, and stops where nothing improves."""

import json
import os

import keras
import numpy as np

from h2s_keras.evaluation.measure import accuracy, collect_scores


class Validation(keras.callbacks.Callback):
    """Measures a stage on validation videos after every epoch.

    The weights of the least loss are kept in a file of the run folder, with the history,
    so that a run that is resumed knows both.

    Args:
        path: of the file.
        batches: function without arguments, giving batches as `collect_scores` takes them.
        stream: "temporal" or "spatial".
        position: object with the attribute `step`, the batches done.
        patience: epochs without improvement after which the stage stops; 0 for none.

    Attributes:
        history: list of dicts "step", "loss", "accuracy" and "training_accuracy", one
            before the first step and one per epoch. The loss is the mean negative
            log-probability of the true class, averaged over a video's clips.
    """

    def __init__(self, path, batches, stream, position, patience=0):
        super().__init__()
        self.path, self.batches, self.stream = path, batches, stream
        self.position, self.patience = position, patience
        self.history, self._best = [], None
        if os.path.exists(path):
            with np.load(path, allow_pickle=False) as file:
                history = json.loads(str(file["history"]))
                self._best = [file[f"w{n}"] for n in range(len(file.files) - 1)]
            self.history = [entry for entry in history if entry["step"] <= position.step]

    @property
    def best(self):
        """The entry of the history with the least loss, or None."""
        return min(self.history, key=lambda entry: entry["loss"], default=None)

    @property
    def exhausted(self):
        """Whether `patience` epochs have passed without improvement."""
        if not self.patience or not self.history:
            return False
        since = [entry["step"] for entry in self.history].index(self.best["step"])
        return len(self.history) - 1 - since >= self.patience

    def on_train_begin(self, logs=None):
        # What the stage begins with is kept where it makes nothing better.
        if not self.history:
            self.note(self.measure(self.model))

    def on_epoch_end(self, epoch, logs=None):
        measured = self.measure(self.model)
        if logs and "accuracy" in logs:
            measured["training_accuracy"] = float(logs["accuracy"])
        self.note(measured)
        if logs is not None:
            for name in ("loss", "accuracy"):
                if name in measured:
                    logs[f"validation_{name}"] = measured[name]
        if self.exhausted:
            self.model.stop_training = True

    def note(self, measured):
        """Adds to the history, and keeps the weights where they are the best so far."""
        entry = {"step": self.position.step, **measured}
        self.history.append(entry)
        if self.best is entry:
            self._best = self.model.get_weights()
        self._write()

    def measure(self, model):
        """dict "loss" and "accuracy" of a stage model on the validation videos."""
        scores, labels = collect_scores(model, self.batches())
        chosen = scores[self.stream][np.arange(len(labels)), labels]
        return {
            "loss": float(-chosen.mean()),
            "accuracy": accuracy(scores[self.stream], labels),
        }

    def figures(self):
        """What to keep of the stage: the best entry, the last step and the history."""
        best = self.best or {"loss": None, "accuracy": None, "step": None}
        return {
            "validation_accuracy": best["accuracy"],
            "validation_loss": best["loss"],
            "best_step": best["step"],
            "history": self.history,
        }

    def restore_best(self, model):
        """Gives `model` the weights of the least loss, where there are some."""
        if self._best is not None:
            model.set_weights(self._best)

    def _write(self):
        arrays = {f"w{n}": array for n, array in enumerate(self._best)}
        with open(self.path + ".tmp", "wb") as file:
            np.savez(file, history=np.array(json.dumps(self.history)), **arrays)
        os.replace(self.path + ".tmp", self.path)
