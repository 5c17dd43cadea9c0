"""Late fusion of scores, and two ways to its weights: for scores, and for a network."""

import itertools

import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.evaluation.statistics import accuracy, log_softmax, wilson_interval

NORMALIZATIONS = ("l1", "softmax", "none")
_FUSION_SHARES = np.round(np.arange(0.0, 1.01, 0.05), 2)
_CHANCE_LEVEL = 0.9  # of the interval: 95 % for its lower bound alone


def normalize_scores(scores, rule="l1"):
    """Brings the scores of different networks to one scale.

    Args:
        scores: float (videos, classes).
        rule: "l1": negative scores become 0, then each row is divided by its sum (the
            published rule; a row without a positive score stays 0 and has no vote);
            "softmax"; or "none".

    Returns:
        float64 (videos, classes).

    Raises:
        UserError: an unknown rule, or "l1" where no score at all is positive.

    Example:
        >>> normalize_scores(np.array([[3.0, 1.0, -2.0]]))
        array([[0.75, 0.25, 0.  ]])

    Reference: arXiv 1704.00389, section 4.1, and the fusion script of the release.
    """
    scores = np.asarray(scores, "float64")
    if rule == "l1":
        positive = np.maximum(scores, 0)
        total = positive.sum(axis=1, keepdims=True)
        if not total.any():
            raise UserError(
                "no score is above 0, so the rule l1 leaves nothing (these may be "
                "log-probabilities); use --normalize softmax"
            )
        return positive / np.where(total > 0, total, 1)
    if rule == "softmax":
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    if rule == "none":
        return scores
    raise UserError(f"normalize must be one of {NORMALIZATIONS}; received {rule!r}")


def fuse_scores(matrices, weights, rule="l1"):
    """Weighted sum of normalised scores.

    Args:
        matrices: list of float (videos, classes), one per network.
        weights: as many numbers of 0 or more, not all 0; published 1 (spatial) and 1.5
            (temporal).
        rule: as in `normalize_scores`.

    Returns:
        float64 (videos, classes).

    Raises:
        UserError: shapes or weights do not fit.
    """
    shapes = {np.shape(matrix) for matrix in matrices}
    if len(shapes) != 1:
        raise UserError(f"score matrices have the different shapes {sorted(shapes)}")
    if len(weights) != len(matrices):
        raise UserError(
            f"{len(matrices)} score files need as many weights; received {len(weights)}"
        )
    if min(weights) < 0 or not any(weights):
        raise UserError(f"weights are 0 or more and not all 0; received {list(weights)}")
    return sum(
        weight * normalize_scores(matrix, rule)
        for weight, matrix in zip(weights, matrices, strict=True)
    )


def search_weights(matrices, labels, rule="l1", folds=5, step=None, seed=0):
    """Best weights, and the accuracy they may be believed to have.

    The weights of each fold's videos are chosen on the other folds alone, so the
    cross-validated accuracy was not fitted to the videos it is measured on. The weights
    that are returned are then chosen on all videos.

    Args:
        matrices: as `fuse_scores`, of one split.
        labels: int (videos,).
        rule: as in `normalize_scores`.
        folds: parts of the cross-validation; classes are spread evenly over them.
        step: step of the grid of weights, which sum to 1; default 0.05 for two or three
            matrices, 0.1 for four, 0.2 beyond.
        seed: seed of the shuffling before the folds are cut.

    Returns:
        dict "weights" (tuple that sums to 1), "accuracy" (cross-validated),
        "fitted_accuracy" (of these weights on the videos they were chosen on: too high)
        and "fold_weights".

    Raises:
        UserError: fewer than two matrices, or fewer videos than folds.

    Example:
        >>> found = search_weights([spatial, temporal], labels)
        >>> len(found["weights"])
        2
    """
    labels = np.asarray(labels)
    if len(matrices) < 2:
        raise UserError("a search for weights needs two or more score files")
    if labels.ndim != 1:
        raise UserError("a search for weights needs one label per video")
    folds = min(folds, len(labels))
    if folds < 2:
        raise UserError(f"cross-validation needs 2 folds or more of {len(labels)} videos")
    if step is None:
        step = {2: 0.05, 3: 0.05, 4: 0.1}.get(len(matrices), 0.2)
    grid = _grid(len(matrices), round(1 / step))
    stacked = np.stack([normalize_scores(matrix, rule) for matrix in matrices])
    right = np.stack(
        [np.argmax(np.tensordot(w, stacked, 1), axis=1) == labels for w in grid]
    )
    part = _folds(labels, folds, seed)
    correct, chosen = np.zeros(len(labels)), []
    for fold in range(folds):
        held_out = part == fold
        best = _best(grid, right[:, ~held_out])
        correct[held_out] = right[best, held_out]
        chosen.append(tuple(float(weight) for weight in grid[best]))
    best = _best(grid, right)
    return {
        "weights": tuple(float(weight) for weight in grid[best]),
        "accuracy": float(correct.mean()),
        "fitted_accuracy": float(right[best].mean()),
        "fold_weights": chosen,
    }


def _grid(count, parts):
    rows = [
        row
        for row in itertools.product(range(parts + 1), repeat=count - 1)
        if sum(row) <= parts
    ]
    return np.array([(*row, parts - sum(row)) for row in rows]) / parts


def _best(grid, right):
    """Row of the best weights; among equals the middle of the plateau, not its edge."""
    accuracy = right.mean(axis=1)
    tied = np.flatnonzero(accuracy >= accuracy.max() - 1e-12)
    distance = np.square(grid[tied] - grid[tied].mean(axis=0)).sum(axis=1)
    return tied[np.argmin(distance.round(12))]


def _folds(labels, folds, seed):
    order = np.random.default_rng(seed).permutation(len(labels))
    # Sorted by class, then dealt out like cards: every fold gets its share of a class.
    order = order[np.argsort(labels[order], kind="stable")]
    part = np.empty(len(labels), int)
    part[order] = np.arange(len(labels)) % folds
    return part


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
    for share in _FUSION_SHARES:
        fused = share * scores["spatial"] + (1 - share) * scores["temporal"]
        fits.append(log_softmax(fused.astype("float64"))[rows, labels].mean())
    best = np.flatnonzero(np.isclose(fits, max(fits), rtol=0, atol=1e-9))
    spatial = float(_FUSION_SHARES[best[len(best) // 2]])
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
    lower, _ = wilson_interval(accuracy(scores, labels), count, _CHANCE_LEVEL)
    return bool(lower > np.bincount(labels).max() / count)
