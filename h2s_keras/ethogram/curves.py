"""Average precision and area under the ROC curve, of weighted draws of whole videos."""

import numpy as np


class Ranking:
    """Scores of the labelled frames of one behaviour, sorted once for many draws.

    Args:
        labels: bool (frames,), whether each frame shows the behaviour.
        scores: float (frames,).
        videos: int (frames,), number of the video that each frame is of.
    """

    def __init__(self, labels, scores, videos):
        scores = np.asarray(scores, "float64")
        order = np.argsort(-scores, kind="stable")
        self.labels = np.asarray(labels, bool)[order]
        self.videos = np.asarray(videos)[order]
        # Frames of equal score pass a threshold together: the last of each counts.
        changes = np.diff(scores[order], append=-np.inf) != 0
        self.last = np.flatnonzero(changes)

    def _counts(self, weights):
        weight = np.asarray(weights, "float64")[self.videos]
        true = np.cumsum(weight * self.labels)[self.last]
        false = np.cumsum(weight * ~self.labels)[self.last]
        return true, false

    def average_precision(self, weights):
        """Mean precision over the steps of recall; NaN where no frame shows the behaviour.

        Args:
            weights: (videos,), how often each video was drawn.
        """
        if not len(self.last):
            return np.nan
        true, false = self._counts(weights)
        if not true[-1]:
            return np.nan
        steps = np.diff(true, prepend=0)
        passed = np.maximum(true + false, 1e-12)
        return float((steps * true / passed).sum() / true[-1])

    def auroc(self, weights):
        """Chance that a frame with the behaviour scores above one without; NaN if of one
        kind there is none."""
        if not len(self.last):
            return np.nan
        true, false = self._counts(weights)
        if not true[-1] or not false[-1]:
            return np.nan
        before = np.concatenate([[0], true[:-1]])
        area = (np.diff(false, prepend=0) * (before + true) / 2).sum()
        return float(area / true[-1] / false[-1])
