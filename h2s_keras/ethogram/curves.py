"""Average precision and area under the ROC curve, for many draws of videos at once."""

import numpy as np

# Draws see so many thresholds at the most; the figures themselves see all.
_THRESHOLDS = 1000


class Ranking:
    """Counts of the labelled frames of one behaviour, from the highest score down.

    Args:
        labels: bool (frames,), whether each frame shows the behaviour.
        scores: float (frames,).
        videos: int (frames,), number of the video that each frame is of.
        count: number of videos.
    """

    def __init__(self, labels, scores, videos, count):
        labels, videos = np.asarray(labels, bool), np.asarray(videos, int)
        # Frames of equal score pass a threshold together.
        _, place, frames = np.unique(
            -np.asarray(scores, "float64"), return_inverse=True, return_counts=True
        )
        self._all = [
            np.bincount(place[kind], minlength=len(frames))[None].astype("float64")
            for kind in (labels, ~labels)
        ]
        steps = max(1, min(_THRESHOLDS, len(frames)))
        if len(frames) > steps:
            place = (np.cumsum(frames) - 1)[place] * steps // len(labels)
        self._of_videos = [
            np.bincount(videos[kind] * steps + place[kind], minlength=count * steps)
            .reshape(count, steps)
            .astype("float64")
            for kind in (labels, ~labels)
        ]

    def value(self):
        """(average precision, AUROC) of all frames; NaN where not defined."""
        return [float(figure[0]) for figure in _curves(*self._all)]

    def of_draws(self, weights):
        """The same of draws of videos, each float (draws,).

        Args:
            weights: float (draws, videos), how often each video was drawn.
        """
        return _curves(*(weights @ table for table in self._of_videos))


def _curves(true, false):
    """Average precision and AUROC of counts (draws, thresholds), highest score first."""
    if not true.shape[1]:
        return np.full((2, len(true)), np.nan)
    passed_true, passed_false = np.cumsum(true, axis=1), np.cumsum(false, axis=1)
    positives, negatives = passed_true[:, -1], passed_false[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = passed_true / np.maximum(passed_true + passed_false, 1)
        average = (true * precision).sum(axis=1) / positives
        ranked = (false * (passed_true - true / 2)).sum(axis=1)
        area = ranked / (positives * negatives)
    return np.where(positives, average, np.nan), area
