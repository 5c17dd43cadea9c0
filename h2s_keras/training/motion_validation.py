"""Keeps the weights of MotionNet that explain held-out frames best."""

import numpy as np
from keras import ops

from h2s_keras.data.records.flow_estimators import flow_estimator
from h2s_keras.errors import UserError
from h2s_keras.models.motion_net import motion_net_of
from h2s_keras.ops.warp import backward_warp
from h2s_keras.training.validation import Validation

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
        if motion_net.num_frames == 2:
            self._pair_network = motion_net
        elif self._pair_network is None:
            self._pair_network = motion_net.with_num_frames(2)
        else:
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
