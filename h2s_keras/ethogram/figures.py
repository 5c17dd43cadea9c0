"""The figures that people of this field read, per behaviour, with their uncertainty.

Frames that are not labelled (-1) are touched by nothing here. A figure that cannot be
measured, such as the recall of a behaviour that the videos do not show, is None.
"""

import dataclasses

import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.ethogram.bout_matching import compare_bouts
from h2s_keras.ethogram.curves import Ranking
from h2s_keras.ethogram.shift import Shift, find_shift
from h2s_keras.evaluation.statistics import bootstrap_interval
from h2s_keras.evaluation.text_table import table_lines

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
        """A table as lines of text: a row per behaviour, then the mean and the notes."""
        header = ["behaviour", *(name.replace("_", " ") for name in FIGURES)]
        rows = [
            [name, *(_cell(figures[figure].value) for figure in FIGURES)]
            for name, figures in [*self.behaviors.items(), ("mean", self.macro)]
        ]
        shift = [] if self.shift is None else [str(self.shift)]
        return [*table_lines(header, rows), *self.notes, *shift]

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
        seed: of the draws.

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
    notes, tables = [], {}
    for name, behavior in zip(behaviors, counted, strict=True):
        reason = behavior.absent()
        if reason:
            notes.append(f"{name}: not measurable, {reason}")
        tables[name] = {
            figure: _figure(getattr(behavior, figure), len(truth), samples, seed)
            for figure in FIGURES
        }
    macro = {}
    for figure in FIGURES:
        known = [
            getattr(behavior, figure)
            for name, behavior in zip(behaviors, counted, strict=True)
            if tables[name][figure].value is not None
        ]
        macro[figure] = _figure(_mean_of(known), len(truth), samples, seed)
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


def _figure(statistic, videos, samples, seed):
    value = statistic(np.ones(videos))
    if np.isnan(value):
        return Figure(None)
    if samples < 1 or videos < 2:
        return Figure(float(value))

    def of_draw(rows):
        return statistic(np.bincount(rows, minlength=videos))

    low, high = bootstrap_interval(of_draw, np.arange(videos), samples=samples, seed=seed)
    if np.isnan(low):
        return Figure(float(value))
    return Figure(float(value), low, high)


def _mean_of(statistics):
    def mean(weights):
        values = [statistic(weights) for statistic in statistics]
        # A draw may lack a behaviour; the mean is over those that it has.
        values = [value for value in values if not np.isnan(value)]
        return np.mean(values) if values else np.nan

    return mean


def _cell(value):
    return "not measurable" if value is None else f"{value:.3f}"


def _ratio(above, below):
    return above / below if below else np.nan


class _Behavior:
    """Counts of one behaviour per video; figures of draws of videos by their weights."""

    def __init__(self, column, truth, predicted, scores):
        rows, onsets, offsets = [], [], []
        for video, (matrix, guess) in enumerate(zip(truth, predicted, strict=True)):
            labels, guess = matrix[:, column], guess[:, column]
            known = labels != -1
            true, guessed = labels[known] == 1, guess[known]
            bouts = compare_bouts(labels, guess)
            rows.append(
                (known.sum(), true.sum(), guessed.sum(), (true & guessed).sum(), *bouts[:3])
            )
            onsets.append((np.abs(bouts[3]), np.full(len(bouts[3]), video)))
            offsets.append((np.abs(bouts[4]), np.full(len(bouts[4]), video)))
        columns = np.array(rows, "float64").T
        self.known, self.true, self.guessed, self.right = columns[:4]
        self.matched, self.true_bouts, self.guessed_bouts = columns[4:]
        self.onsets, self.offsets = _joined(onsets), _joined(offsets)
        self.ranking = None
        if scores is not None:
            truth = [matrix[:, column] for matrix in truth]
            scores = [matrix[:, column] for matrix in scores]
            kept = [labels != -1 for labels in truth]
            self.ranking = Ranking(
                np.concatenate([m[k] == 1 for m, k in zip(truth, kept, strict=True)]),
                np.concatenate([s[k] for s, k in zip(scores, kept, strict=True)]),
                np.repeat(np.arange(len(truth)), [k.sum() for k in kept]),
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

    def prevalence(self, weights):
        return _ratio(weights @ self.true, weights @ self.known)

    def f1(self, weights):
        true = weights @ self.true
        if not true:
            return np.nan
        return 2 * (weights @ self.right) / (true + weights @ self.guessed)

    def precision(self, weights):
        if not weights @ self.true:
            return np.nan
        return _ratio(weights @ self.right, weights @ self.guessed)

    def recall(self, weights):
        return _ratio(weights @ self.right, weights @ self.true)

    def average_precision(self, weights):
        return np.nan if self.ranking is None else self.ranking.average_precision(weights)

    def auroc(self, weights):
        return np.nan if self.ranking is None else self.ranking.auroc(weights)

    def bout_f1(self, weights):
        true = weights @ self.true_bouts
        if not true:
            return np.nan
        return 2 * (weights @ self.matched) / (true + weights @ self.guessed_bouts)

    def onset_error(self, weights):
        return _median(self.onsets, weights)

    def offset_error(self, weights):
        return _median(self.offsets, weights)

    def time_budget_error(self, weights):
        measured = self.known > 0
        if not weights[measured].sum():
            return np.nan
        off = np.abs(self.guessed - self.true)[measured] / self.known[measured]
        return weights[measured] @ off / weights[measured].sum()


def _joined(pairs):
    return tuple(np.concatenate(column) for column in zip(*pairs, strict=True))


def _median(errors, weights):
    values, videos = errors
    values = np.repeat(values, np.asarray(weights, int)[videos.astype(int)])
    return np.median(values) if len(values) else np.nan
