"""The figures that people of this field read, per behaviour, with their uncertainty.

Frames that are not labelled (-1) are touched by nothing here. A figure that cannot be
measured, such as the recall of a behaviour that the videos do not show, is None.
"""

import dataclasses

import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.ethogram.labels import compare_bouts
from h2s_keras.ethogram.shift import Shift, find_shift
from h2s_keras.evaluation.statistics import bootstrap_rows, percentile_interval, table_lines

# Name to what it is, in the order of tables.
FIGURES = {
    "prevalence": "share of the labelled frames that show the behaviour",
    "f1": "F1 of frames",
    "precision": "precision of frames",
    "recall": "recall of frames",
    "average_precision": "average precision of frames",
    "auroc": "area under the ROC curve of frames",
    "bout_f1": "F1 of bouts at a temporal intersection over union of 0.5",
    "onset_error": "median absolute error of the first frame of matched bouts, in frames",
    "offset_error": "median absolute error of the stop of matched bouts, in frames",
    "time_budget_error": "mean over videos of |predicted - true| share of labelled frames",
}

# Of each table, heading of a column to its figure.
_COLUMNS = {
    "frames": {
        "prevalence": "prevalence",
        "F1": "f1",
        "precision": "precision",
        "recall": "recall",
        "AP": "average_precision",
        "AUROC": "auroc",
    },
    "bouts": {
        "F1": "bout_f1",
        "onset error": "onset_error",
        "offset error": "offset_error",
        "budget error": "time_budget_error",
    },
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure and its interval; each None where it is not measurable."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Figures:
    """What `measure` found.

    Attributes:
        behaviors: dict of behaviour to dict of figure's name to `Figure`.
        macro: dict of figure's name to `Figure`: the mean over the behaviours for which it
            is measurable.
        notes: what is not measurable and why, in words.
        shift: `Shift` between labels and predictions, or None without a sign of one.
    """

    behaviors: dict
    macro: dict
    notes: tuple
    shift: Shift | None

    def lines(self):
        """Tables of frames and of bouts as lines of text, then the notes.

        A row per behaviour and their mean; the figures of one table would not fit into
        the width of a terminal.
        """
        everyone = [*self.behaviors.items(), ("mean", self.macro)]
        lines, missing = [], False
        for title, columns in _COLUMNS.items():
            rows = []
            for name, figures in everyone:
                values = [figures[figure].value for figure in columns.values()]
                missing |= None in values
                rows.append([name, *("-" if v is None else f"{v:.3f}" for v in values)])
            lines += table_lines([title, *columns], rows)
        shift = [] if self.shift is None else [str(self.shift)]
        return [*lines, *(["-: not measurable"] if missing else []), *self.notes, *shift]

    def as_dict(self):
        """The same as dicts, lists, numbers and None, for JSON."""
        return dataclasses.asdict(self)


def measure(truth, predicted, probabilities=None, samples=1000, seed=0):
    """Figures of predictions for labelled videos.

    Args:
        truth: `FrameLabels` of each video, all with the same behaviours.
        predicted: of each video an array (frames, behaviours) of 0 and 1, or `FrameLabels`.
        probabilities: of each video a float array (frames, behaviours), or None: without
            average precision and AUROC.
        samples: draws of the bootstrap over videos; 0 for no intervals. One video gives
            none.
        seed: seed of the draws.

    Returns:
        `Figures`.

    Raises:
        UserError: behaviours or lengths that differ, with both numbers; a probability that
            is not finite.

    Example:
        >>> labels = FrameLabels("a", ("groom",), np.array([[0], [1], [1], [-1]]))
        >>> found = measure([labels], [np.array([[0], [1], [0], [1]])])
        >>> round(found.behaviors["groom"]["f1"].value, 2)
        0.67

    Reference: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    behaviors, truth, predicted, scores = _checked(truth, predicted, probabilities)
    counted = [
        _Behavior(column, truth, predicted, scores) for column in range(len(behaviors))
    ]
    draws = np.zeros((0, len(truth)))
    if samples > 0 and len(truth) > 1:
        rows = bootstrap_rows(len(truth), samples, seed)
        draws = np.array([np.bincount(drawn, minlength=len(truth)) for drawn in rows])
    notes, values, drawn = [], [], []
    for name, behavior in zip(behaviors, counted, strict=True):
        if reason := behavior.absent():
            notes.append(f"{name}: not measurable, {reason}")
        values.append(behavior.figures())
        drawn.append(behavior.figures(draws))
    tables = {
        name: {figure: _figure(value[figure], draw[figure]) for figure in FIGURES}
        for name, value, draw in zip(behaviors, values, drawn, strict=True)
    }
    macro = {}
    for figure in FIGURES:
        known = [k for k, value in enumerate(values) if not np.isnan(value[figure][0])]
        macro[figure] = _figure(
            _mean([values[k][figure] for k in known]),
            # A draw may lack a behaviour; the mean is over those that it has.
            _mean([drawn[k][figure] for k in known]),
        )
        if 0 < len(known) < len(behaviors) and figure == "f1":
            notes.append(f"macro F1 is of {len(known)} of {len(behaviors)} behaviours")
    shift = find_shift(truth, scores or predicted, seed=seed)
    return Figures(tables, macro, tuple(notes), shift)


def _checked(truth, predicted, probabilities):
    given = [predicted] if probabilities is None else [predicted, probabilities]
    if not len(truth):
        raise UserError("no videos to measure; give the labels of one or more")
    for arrays in given:
        if len(arrays) != len(truth):
            raise UserError(f"{len(truth)} labelled videos, but {len(arrays)} predictions")
    behaviors = truth[0].behaviors
    matrices, checked = [], [[] for _ in given]
    for number, labels in enumerate(truth):
        name = labels.video or f"video {number}"
        if labels.behaviors != behaviors:
            first = truth[0].video or "the first video"
            raise UserError(
                f"{name} has {len(labels.behaviors)} behaviours "
                f"({', '.join(labels.behaviors)}), but {first} "
                f"has {len(behaviors)} ({', '.join(behaviors)}); name the same in one order"
            )
        matrices.append(labels.matrix)
        for kept, arrays in zip(checked, given, strict=True):
            array = getattr(arrays[number], "matrix", arrays[number])
            array = np.asarray(array)
            if array.shape != labels.matrix.shape:
                raise UserError(
                    f"{name}: the labels are of {labels.frames} frames and "
                    f"{len(behaviors)} behaviours, but the prediction is of shape "
                    f"{array.shape}"
                )
            kept.append(array)
        marks = checked[0][-1][labels.matrix != -1]
        if not np.isin(marks, (0, 1)).all():
            raise UserError(f"{name}: predictions are 0 or 1; give probabilities apart")
    if probabilities is not None and not all(np.isfinite(p).all() for p in checked[1]):
        raise UserError("a probability is not finite; look at the features and weights")
    predicted = [array == 1 for array in checked[0]]
    return behaviors, matrices, predicted, checked[1] if probabilities is not None else None


def _figure(value, drawn):
    value = float(value[0])
    if np.isnan(value):
        return Figure(None)
    low, high = percentile_interval(drawn)
    return Figure(value) if np.isnan(low) else Figure(value, low, high)


def _mean(columns):
    """(draws,): the mean over the columns that are known for a draw, else NaN."""
    if not columns:
        return np.array([np.nan])
    columns = np.array(columns)
    known = ~np.isnan(columns)
    return _ratio(np.where(known, columns, 0).sum(axis=0), known.sum(axis=0))


def _ratio(above, below):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


class _Behavior:
    """Counts of one behaviour per video, and figures of draws of videos from them."""

    def __init__(self, column, truth, predicted, scores):
        rows, onsets, offsets = [], [], []
        for matrix, guess in zip(truth, predicted, strict=True):
            labels, guess = matrix[:, column], guess[:, column]
            known = labels != -1
            true, guessed = labels[known] == 1, guess[known]
            bouts = compare_bouts(labels, guess)
            rows.append(
                (known.sum(), true.sum(), guessed.sum(), (true & guessed).sum(), *bouts[:3])
            )
            onsets.append(np.abs(bouts[3]))
            offsets.append(np.abs(bouts[4]))
        columns = np.array(rows, "float64").T
        self.known, self.true, self.guessed, self.right = columns[:4]
        self.matched, self.true_bouts, self.guessed_bouts = columns[4:]
        self.onsets, self.offsets = _Errors(onsets), _Errors(offsets)
        self.ranking = None
        if scores is not None:
            truth = [matrix[:, column] for matrix in truth]
            scores = [matrix[:, column] for matrix in scores]
            kept = [labels != -1 for labels in truth]
            self.ranking = Ranking(
                np.concatenate([m[k] == 1 for m, k in zip(truth, kept, strict=True)]),
                np.concatenate([s[k] for s, k in zip(scores, kept, strict=True)]),
                np.repeat(np.arange(len(truth)), [k.sum() for k in kept]),
                len(truth),
            )

    def absent(self):
        """Why figures cannot be measured, in words, or None."""
        if not self.known.sum():
            return "no frame is labelled for it"
        if not self.true.sum():
            return (
                f"none of {int(self.known.sum())} labelled frames shows it "
                f"({int(self.guessed.sum())} were predicted to)"
            )
        return None

    def figures(self, draws=None):
        """Dict of figure to float (draws,), NaN where one is not measurable.

        Args:
            draws: float (draws, videos), how often each video was drawn; None for each
                video once.
        """
        weights = np.ones((1, len(self.known))) if draws is None else draws
        known, true, guessed, right = (
            weights @ counts for counts in (self.known, self.true, self.guessed, self.right)
        )
        bouts = weights @ self.true_bouts
        measured = (self.known > 0).astype("float64")
        off = np.abs(self.guessed - self.true) / np.maximum(self.known, 1)
        curves = np.full((2, len(weights)), np.nan)
        if self.ranking is not None:
            ranking = self.ranking
            curves = [ranking.value()] if draws is None else ranking.of_draws(weights)
            curves = np.array(curves).reshape(2, -1)
        return {
            "prevalence": _ratio(true, known),
            "f1": np.where(true > 0, _ratio(2 * right, true + guessed), np.nan),
            "precision": np.where(true > 0, _ratio(right, guessed), np.nan),
            "recall": _ratio(right, true),
            "average_precision": curves[0],
            "auroc": curves[1],
            "bout_f1": np.where(
                bouts > 0,
                _ratio(2 * (weights @ self.matched), bouts + weights @ self.guessed_bouts),
                np.nan,
            ),
            "onset_error": self.onsets.medians(weights),
            "offset_error": self.offsets.medians(weights),
            "time_budget_error": _ratio(weights @ off, weights @ measured),
        }


class _Errors:
    """Errors of matched bouts per video, counted by size, for medians of draws."""

    def __init__(self, errors):
        self.sizes = np.unique(np.concatenate(errors)).astype("float64")
        self.counts = np.array(
            [(one[:, None] == self.sizes).sum(axis=0) for one in errors], "float64"
        )

    def medians(self, weights):
        if not len(self.sizes):
            return np.full(len(weights), np.nan)
        passed = np.cumsum(weights @ self.counts, axis=1)
        total = passed[:, -1]
        middle = [(passed > place[:, None]).argmax(axis=1) for place in _middles(total)]
        return np.where(total > 0, self.sizes[np.array(middle)].mean(axis=0), np.nan)


def _middles(total):
    """The places, from 0, of the one or two middle values among so many."""
    return np.maximum(total - 1, 0) // 2, total // 2


# Draws see so many thresholds at the most; the figures themselves see all.
_DRAWN_THRESHOLDS = 1000


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
        steps = max(1, min(_DRAWN_THRESHOLDS, len(frames)))
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
