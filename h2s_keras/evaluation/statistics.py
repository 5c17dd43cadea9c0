"""Figures of recognition with their uncertainty, and tables of them; plain NumPy."""

import math
import statistics

import numpy as np

from h2s_keras.errors import UserError


def check_finite(logits, where):
    """UserError where a network's answer holds NaN or infinity, which ranks nothing."""
    if not np.isfinite(logits).all():
        raise UserError(
            f"{where}: the model answers with scores that are not finite numbers; its "
            "weights are broken, or its precision is too low (float16 ends at 65504)"
        )


def log_softmax(values):
    shifted = values - values.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def accuracy(scores, labels):
    """Share of rows whose best class is the label."""
    return float(np.mean(np.argmax(scores, axis=-1) == labels))


def top_k_correct(scores, labels, k=1):
    """Whether the label is among the k best classes, bool (videos,).

    Classes of equal score are ranked by their number.

    Args:
        scores: float (videos, classes).
        labels: int (videos,).
        k: 1 or more.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (best == labels[:, None]).any(axis=1)


def confusion_matrix(labels, predictions, num_classes):
    """Counts, int64 (classes, classes): rows the true class, columns the predicted one."""
    matrix = np.zeros((num_classes, num_classes), "int64")
    np.add.at(matrix, (np.asarray(labels), np.asarray(predictions)), 1)
    return matrix


def mean_class_accuracy(labels, predictions):
    """Mean over the classes that occur of each class's accuracy."""
    labels, right = np.asarray(labels), np.asarray(labels) == np.asarray(predictions)
    return float(np.mean([right[labels == name].mean() for name in np.unique(labels)]))


def class_table(matrix, class_names):
    """Rows (class, videos, recall, precision, F1) of a confusion matrix; None where 0/0."""
    matrix = np.asarray(matrix)
    rows = []
    for index, name in enumerate(class_names):
        right = int(matrix[index, index])
        true, guessed = int(matrix[index].sum()), int(matrix[:, index].sum())
        f1 = 2 * right / (true + guessed) if true + guessed else None
        rows.append(
            (
                name,
                true,
                right / true if true else None,
                right / guessed if guessed else None,
                f1,
            )
        )
    return rows


def most_confused_pairs(matrix, class_names, count=10):
    """Rows (true class, taken for, videos, share of the true class), most videos first."""
    matrix = np.asarray(matrix)
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong.ravel(), kind="stable")[:count]
    rows = []
    for true, guess in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[true, guess]:
            share = float(wrong[true, guess] / matrix[true].sum())
            number = int(wrong[true, guess])
            rows.append((class_names[true], class_names[guess], number, share))
    return rows


def expected_calibration_error(probabilities, labels, bins=15):
    """Mean gap between confidence and accuracy, 0 (calibrated) to 1.

    The best class's probability is put into bins of equal width, open below; each bin's
    gap counts by its share of the videos.

    Args:
        probabilities: float (videos, classes), rows summing to 1.
        labels: int (videos,).
        bins: 1 or more.

    Example:
        >>> expected_calibration_error(np.array([[0.8, 0.2]]), np.array([0]))
        0.2

    Reference: Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3.
    """
    probabilities = np.asarray(probabilities, "float64")
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == np.asarray(labels)
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(index, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def wilson_interval(share, count, level=0.95):
    """Wilson's score interval of a proportion; at 0 and 1 it does not shrink to a point.

    Args:
        share: the proportion that was found, 0 to 1.
        count: how many it was found on, above 0; it need not be whole (see
            `effective_count`).
        level: level of confidence.

    Returns:
        (low, high), floats from 0 to 1.

    Raises:
        ValueError: a share outside 0 to 1, or a count that is not above 0.

    Example:
        >>> wilson_interval(9 / 9, 9)
        (0.7008549, 1.0)

    Reference: Wilson, "Probable inference, the law of succession, and statistical
    inference", 1927; Brown, Cai and DasGupta, "Interval estimation for a binomial
    proportion", 2001.
    """
    if not 0 <= share <= 1 or not count > 0:
        raise ValueError(
            f"An interval needs a share from 0 to 1 of a count above 0; got {share} of "
            f"{count}."
        )
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = share * (1 - share) / count + (z / (2 * count)) ** 2
    half = z * math.sqrt(spread) / (1 + z * z / count)
    # Exactly 0 and 1 where the formula is, but for rounding.
    low = 0.0 if share == 0 else max(0.0, centre - half)
    high = 1.0 if share == 1 else min(1.0, centre + half)
    return low, high


def effective_count(labels):
    """Videos that a mean over classes is worth: all of them where classes are equal.

    A mean of K class accuracies over n_1, ..., n_K videos varies like a proportion of
    K^2 / (1/n_1 + ... + 1/n_K) videos.

    Args:
        labels: int (videos,).
    """
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return float(len(counts) ** 2 / (1 / counts).sum())


def bootstrap_interval(statistic, *arrays, level=0.95, samples=1000, seed=0):
    """Percentile interval of a figure over videos drawn again with replacement.

    It shrinks to a point where all videos are alike; for a proportion take
    `wilson_interval`.

    Args:
        statistic: function of arrays like `arrays` to a number, or NaN where a draw does
            not allow one; such draws are left out.
        *arrays: each (videos, ...), drawn by common rows.
        level: level of confidence.
        samples: draws.
        seed: seed of the draws.

    Returns:
        (low, high), floats; NaN where most draws allow no figure.

    Raises:
        ValueError: no videos, or arrays of different lengths.

    Example:
        >>> bootstrap_interval(np.median, np.array([3.1, 2.9, 3.4, 3.0, 2.8]))
        (2.8, 3.4)

    Reference: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    arrays = [np.asarray(array) for array in arrays]
    count = len(arrays[0])
    if not count or any(len(array) != count for array in arrays):
        raise ValueError(
            f"The bootstrap draws common rows; got lengths {[len(a) for a in arrays]}."
        )
    values = [
        statistic(*(array[rows] for array in arrays))
        for rows in bootstrap_rows(count, samples, seed)
    ]
    return percentile_interval(values, level)


def bootstrap_rows(count, samples=1000, seed=0):
    """Draws with replacement of `count` rows out of as many, int (samples, count)."""
    generator = np.random.default_rng(seed)
    return np.array([generator.integers(count, size=count) for _ in range(samples)])


def percentile_interval(values, level=0.95):
    """(low, high), floats, between which the share `level` of drawn figures lies.

    NaN, where a draw allows no figure, is left out; where that is most of them, both
    bounds are NaN.
    """
    values = np.asarray(values, "float64")
    known = values[~np.isnan(values)]
    if 2 * len(known) < len(values) or not len(known):
        return math.nan, math.nan
    tail = 50 * (1 - level)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def mcnemar_test(first_correct, second_correct):
    """Exact paired test of two models on the same videos.

    Only videos that one model gets right and the other wrong tell them apart; were the
    models equally good, each such video would be a fair coin.

    Args:
        first_correct, second_correct: bool (videos,), in one order.

    Returns:
        dict "first_only", "second_only" (videos that only this model gets right) and
        "p_value" (two-sided, 1 where they never differ).

    Raises:
        ValueError: different lengths.

    Reference: McNemar 1947, in its exact binomial form.
    """
    first, second = np.asarray(first_correct, bool), np.asarray(second_correct, bool)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"A paired test needs the same videos; got {first.shape} and {second.shape}."
        )
    one, two = int((first & ~second).sum()), int((second & ~first).sum())
    total = one + two
    tail = sum(math.comb(total, k) for k in range(min(one, two) + 1))
    # Python's integers keep the tail exact for any number of videos.
    value = min(1.0, 2 * tail / 2**total) if total else 1.0
    return {"first_only": one, "second_only": two, "p_value": float(value)}


def table_lines(header, rows):
    """A table as lines of text: first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    lines = []
    for row in cells:
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *padded[1:]]).rstrip())
    return lines
