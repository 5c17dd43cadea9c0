"""Weights of late fusion, chosen on validation videos."""

import numpy as np

from h2s_keras.evaluation.statistics import accuracy, log_softmax, wilson_interval

_SHARES = np.round(np.arange(0.0, 1.01, 0.05), 2)
_LEVEL = 0.9  # of the interval: 95 % for its lower bound alone


def choose_fusion(scores, labels):
    """Weights of the spatial and the temporal stream that fit validation videos best.

    A stream that cannot be told from chance on these videos gets weight 0. Otherwise the
    shares with the highest mean log-probability of the true classes are taken, the middle
    one where several are equal. Where these name no more videos right than the better
    stream alone, that stream is taken alone, the temporal one of two that are equal: what
    a few videos of known people cannot show to help spoils the answer for new ones.

    Args:
        scores: dict "spatial" and "temporal" to log-probabilities (videos, classes).
        labels: int (videos,).

    Returns:
        (spatial, temporal), together 1.

    Example:

    ```python
    network.fusion = choose_fusion(scores, labels)      # (0.0, 1.0): motion decides alone
    ```
    """
    useful = {name: beats_chance(scores[name], labels) for name in scores}
    if not useful["spatial"] or not useful["temporal"]:
        spatial = float(useful["spatial"])
        return spatial, 1.0 - spatial
    rows, fits = np.arange(len(labels)), []
    for share in _SHARES:
        fused = share * scores["spatial"] + (1 - share) * scores["temporal"]
        fits.append(log_softmax(fused.astype("float64"))[rows, labels].mean())
    best = np.flatnonzero(np.isclose(fits, max(fits), rtol=0, atol=1e-9))
    spatial = float(_SHARES[best[len(best) // 2]])
    fused = spatial * scores["spatial"] + (1 - spatial) * scores["temporal"]
    alone = {name: accuracy(scores[name], labels) for name in scores}
    if accuracy(fused, labels) <= max(alone.values()):
        spatial = float(alone["spatial"] > alone["temporal"])
    return spatial, round(1.0 - spatial, 2)


def beats_chance(scores, labels):
    """Whether a stream is better than always naming the largest class of these videos.

    By the lower Wilson bound of its accuracy.
    """
    count = len(labels)
    lower, _ = wilson_interval(accuracy(scores, labels), count, _LEVEL)
    return bool(lower > np.bincount(labels).max() / count)
