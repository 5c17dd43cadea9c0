"""A constant shift between labels and predictions, found by correlation.

Labels that another program counted from another first frame, or at another rate, lie some
frames beside what the video shows. Every figure suffers, and none says why.
"""

import dataclasses

import numpy as np

from h2s_keras.evaluation.statistics import bootstrap_interval

# Shifts of one frame are within what annotators and windows differ by.
_LEAST = 2
# A constant shift is the same everywhere; what chance prefers differs from draw to draw.
_WIDEST = 10
_UNITS = 8


@dataclasses.dataclass(frozen=True)
class Shift:
    """By how many frames predictions follow the labels.

    Attributes:
        frames: positive where predictions are late, that is, where labels are early.
        low, high: 95 % interval over videos, or over stretches of a few videos.
        correlation: correlation of labels and predictions once the shift is undone.
        correlation_as_is: the same without.
    """

    frames: int
    low: int
    high: int
    correlation: float
    correlation_as_is: float

    def __str__(self):
        order = "later" if self.frames > 0 else "earlier"
        return (
            f"predictions come {abs(self.frames)} frames {order} than the labels (95 % "
            f"interval {self.low} to {self.high}; correlation {self.correlation:.2f} when "
            f"that is undone, {self.correlation_as_is:.2f} as they are); check from which "
            "frame and at which rate the labels were counted"
        )


def find_shift(truth, predicted, largest=30, seed=0):
    """The constant shift between labels and predictions, if there is a clear one.

    Args:
        truth: per video an int array (frames, behaviours) of 1, 0 and -1, or `FrameLabels`.
        predicted: per video an array (frames, behaviours), probabilities or 0 and 1.
        largest: frames, in both directions, up to which a shift is looked for; at most a
            quarter of the shortest video.
        seed: seed of the bootstrap.

    Returns:
        `Shift`, or None where the correlation is best within a frame of no shift, or its
        interval includes that.

    Example:
        >>> labels = np.zeros((200, 1), int)
        >>> labels[30:60] = labels[110:130] = labels[160:185] = 1
        >>> find_shift([labels], [np.roll(labels, 5, axis=0)]).frames
        5
    """
    largest = min(largest, min(map(len, map(_matrix, truth))) // 4)
    lags = np.arange(-largest, largest + 1)
    sums = []
    for labels, scores in zip(truth, predicted, strict=True):
        labels, scores = _matrix(labels), _matrix(scores).astype("float64")
        # A few videos are parted, so that there is something to draw from.
        parts = max(1, -(-_UNITS // len(truth)))
        for rows in np.array_split(np.arange(len(labels)), parts):
            if len(rows):
                sums.append(_sums(labels, scores, rows[0], rows[-1] + 1, lags))
    sums = np.array(sums)

    def best(rows):
        values = _correlation(sums[rows].sum(axis=0))
        return np.nan if np.isnan(values).all() else lags[np.nanargmax(values)]

    everything = np.arange(len(sums))
    found = best(everything)
    if np.isnan(found) or abs(found) < _LEAST:
        return None
    low, high = bootstrap_interval(best, everything, samples=200, seed=seed)
    if np.isnan(low) or low * high <= 0 or min(abs(low), abs(high)) < _LEAST:
        return None
    if high - low > _WIDEST:
        return None
    values = _correlation(sums.sum(axis=0))
    as_is = values[largest]
    return Shift(
        int(found),
        int(np.floor(low)),
        int(np.ceil(high)),
        float(np.nanmax(values)),
        0.0 if np.isnan(as_is) else float(as_is),
    )


def _matrix(labels):
    return np.asarray(getattr(labels, "matrix", labels))


def _sums(labels, scores, begin, end, lags):
    """(lags, behaviours, 6): count and sums of x, y, xy, xx, yy of the labelled frames."""
    out = np.zeros((len(lags), labels.shape[1], 6))
    for number, lag in enumerate(lags):
        first, last = max(begin, -lag, 0), min(end, len(labels) - max(lag, 0))
        if first >= last:
            continue
        x, y = labels[first:last], scores[first + lag : last + lag]
        known = x != -1
        x, y = np.where(known, x, 0), np.where(known, y, 0)
        terms = (known, x, y, x * y, x * x, y * y)
        out[number] = np.stack([term.sum(axis=0) for term in terms], axis=-1)
    return out


def _correlation(sums):
    """(lags,): the mean over behaviours of Pearson's correlation, NaN where undefined."""
    count, x, y, xy, xx, yy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (count * xy - x * y) / np.sqrt((count * xx - x * x) * (count * yy - y * y))
    known = np.isfinite(value)
    # The same behaviours at every lag, or lags could not be compared.
    value = value[:, known.all(axis=0)]
    if not value.shape[1]:
        return np.full(len(sums), np.nan)
    return value.mean(axis=1)
