"""Keeps the weights that do best on held-out videos, and stops where nothing improves."""

import json
import os

import keras
import numpy as np
from keras import ops

from h2s_keras.errors import UserError
from h2s_keras.evaluation.flow_estimators import flow_estimator
from h2s_keras.evaluation.measure import collect_scores
from h2s_keras.evaluation.statistics import accuracy
from h2s_keras.files import whole_file
from h2s_keras.models.motion_net_of import motion_net_of, pair_network
from h2s_keras.ops.warp import backward_warp


class Validation(keras.callbacks.Callback):
    """Measures a stage on validation videos after every epoch.

    The weights of the least loss are kept in a file of the run folder, with the history,
    so that a run that is resumed knows both.

    Args:
        path: path of the file.
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
            self._best, history = read_best(path)
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
        with whole_file(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, history=np.array(json.dumps(self.history)), **arrays)


def best_path(run, stage):
    """Where the best weights of a stage are kept in a run's folder."""
    return run.file(f"best-{stage.name}.npz")


def read_best(path):
    """(weights, history) of a `Validation`; weights in the order of `get_weights`."""
    with np.load(path, allow_pickle=False) as file:
        weights = [file[f"w{n}"] for n in range(len(file.files) - 1)]
        return weights, json.loads(str(file["history"]))


BASELINES = {"dis": "DIS", "tvl1": "TV-L1"}
_AT_ONCE = 32


def warped_error(pairs, flows):
    """What is left of the difference between two frames once the second is warped back.

    Args:
        pairs: uint8 (pairs, 2, height, width, 3).
        flows: float (pairs, height, width, 2), pixels.

    Returns:
        float: the mean absolute difference of the first frame and the second one warped by
        the flow, as a share of their difference without a warp, over all pixels of all
        pairs. 1 is what zero flow gives. Beyond the border the nearest pixel is taken, so
        that flow that points outside gains nothing.

    Example:

    ```python
    warped_error(pairs, np.zeros((*pairs.shape[::2][:1], *pairs.shape[2:4], 2)))    # 1.0
    ```
    """
    left = still = 0.0
    for start in range(0, len(pairs), _AT_ONCE):
        first, second = np.moveaxis(pairs[start : start + _AT_ONCE].astype("float32"), 1, 0)
        flow = np.asarray(flows[start : start + _AT_ONCE], "float32")
        warped = backward_warp(
            ops.convert_to_tensor(second), ops.convert_to_tensor(flow), padding="border"
        )
        left += np.abs(first - ops.convert_to_numpy(warped)).sum(dtype="float64")
        still += np.abs(first - second).sum(dtype="float64")
    # Of frames that do not change at all, any error is as many grey levels.
    return float(left / max(still, 1.0))


class MotionValidation(Validation):
    """Measures a stage of MotionNet on held-out frames, before its first step as well.

    The weights of the least error are kept: those that the stage began with, where none of
    its steps does better.

    Args:
        path, position, patience: as `Validation`.
        pairs: uint8 (pairs, 2, height, width, 3), held out.
        baselines: whether `figures` measures the classical methods of OpenCV too, where it
            is installed.
    """

    def __init__(self, path, pairs, position, patience=0, baselines=False):
        super().__init__(path, None, "motion", position, patience)
        self.pairs, self.baselines = pairs, baselines
        self._pair_network = None

    def measure(self, model):
        """dict "loss": `warped_error` of the flow by the stage model's MotionNet."""
        motion_net = motion_net_of(model.network)
        if self._pair_network is None:
            self._pair_network = pair_network(motion_net)
        elif self._pair_network is not motion_net:
            self._pair_network.set_weights(motion_net.get_weights())
        flows = self._pair_network.estimate_flow(self.pairs, batch_size=_AT_ONCE)[:, 0]
        return {"loss": warped_error(self.pairs, flows)}

    def figures(self):
        """What to keep of the stage: errors as `warped_error`, which weights were kept."""
        figures = {
            "warped_error_before": self.history[0]["loss"],
            "warped_error": self.best["loss"],
            "kept": "before" if self.best is self.history[0] else "tuned",
            "best_step": self.best["step"],
            "pairs": len(self.pairs),
            "history": self.history,
        }
        if self.baselines:
            figures.update(baseline_errors(self.pairs))
        return figures


def baseline_errors(pairs):
    """dict "warped_error_dis" and "warped_error_tvl1", without those that are missing."""
    figures = {}
    for name in BASELINES:
        try:
            estimate = flow_estimator(name)
        except UserError:
            continue  # OpenCV is an extra.
        flows = np.stack([next(estimate(pair)) for pair in pairs])
        figures[f"warped_error_{name}"] = warped_error(pairs, flows)
    return figures


def motion_sentence(figures):
    """The figures of `MotionValidation` in words."""
    before, best = figures["warped_error_before"], figures["warped_error"]
    others = [
        f"{title} {figures[f'warped_error_{name}']:.1%}"
        for name, title in BASELINES.items()
        if f"warped_error_{name}" in figures
    ]
    beside = f" ({', '.join(others)})" if others else ""
    said = (
        f"on {figures['pairs']} held-out pairs of frames warping by the flow leaves "
        f"{before:.1%} of zero flow's error before tuning"
    )
    if figures["kept"] == "tuned":
        return (
            f"{said} and {best:.1%} after{beside}; the weights of step "
            f"{figures['best_step']} were kept"
        )
    return (
        f"{said}{beside}; no step of the tuning did better, so the weights from before it "
        "were kept"
    )
