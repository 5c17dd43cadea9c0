"""From probabilities to bouts: a threshold and a shortest bout per behaviour."""

import dataclasses

import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.ethogram.labels import compare_bouts, runs

_SHORTEST = (1, 2, 3, 4, 6, 8, 12, 16, 24)
_THRESHOLDS = 49
# Shortest bouts whose worth differs by less are as good as each other.
_AS_GOOD = 0.005


@dataclasses.dataclass(frozen=True)
class Rule:
    """From its probability, which frames show a behaviour.

    Attributes:
        threshold: probability from which on a frame shows the behaviour.
        shortest: frames below which a gap between bouts is closed and a bout is dropped.
        f1, bout_f1: on the videos that the rule was chosen on, or None.
        reason: why nothing could be chosen, or "".
    """

    threshold: float = 0.5
    shortest: int = 1
    f1: float | None = None
    bout_f1: float | None = None
    reason: str = ""


def drop_short(mask, shortest):
    """A copy of a bool (frames,) without the runs of true shorter than `shortest`.

    Example:
        >>> drop_short([True, False, True, True], 2).tolist()
        [False, False, True, True]
    """
    mask = np.array(mask, bool)
    if shortest > 1:
        found = runs(mask)
        lengths = found[:, 1] - found[:, 0]
        # In order, the true frames are those of the runs.
        mask[mask] = np.repeat(lengths >= shortest, lengths)
    return mask


def tidy(mask, shortest):
    """A copy of a bool (frames,) without gaps, then without runs, below `shortest` frames.

    Example:
        >>> tidy([True, True, False, True, False, False, False, True], 3).astype(int)
        array([1, 1, 1, 1, 0, 0, 0, 0])
    """
    mask = np.array(mask, bool)
    if shortest > 1:
        # What lies before the first run and behind the last one is no gap.
        shown = np.flatnonzero(mask)
        if len(shown):
            inside = slice(shown[0], shown[-1] + 1)
            mask[inside] = ~drop_short(~mask[inside], shortest)
    return drop_short(mask, shortest)


def decide(probabilities, rules, exclusive=False):
    """Which behaviours every frame shows; the background is the absence of all.

    Args:
        probabilities: float (frames, behaviours).
        rules: `Rule` of each behaviour.
        exclusive: whether a frame shows one behaviour at most: of those above their
            thresholds the most probable.

    Returns:
        int8 (frames, behaviours), 1 and 0.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(rules):
        raise UserError(
            f"probabilities are (frames, {len(rules)}) for {len(rules)} rules; got "
            f"{probabilities.shape}"
        )
    above = probabilities >= [rule.threshold for rule in rules]
    if exclusive:
        best = np.where(above, probabilities, -np.inf).argmax(axis=1)
        above &= np.arange(len(rules)) == best[:, None]
    clean = drop_short if exclusive else tidy
    columns = [clean(above[:, k], rule.shortest) for k, rule in enumerate(rules)]
    return np.stack(columns, axis=1).astype("int8") if columns else above.astype("int8")


def choose_rules(truth, probabilities):
    """The rule of each behaviour that is best on videos that the network did not see.

    What is maximised is the mean of the F1 of frames and the F1 of bouts. Thresholds within
    a standard error of the best, that of a share of so many bouts, count as equally good,
    and the one nearest to 0.5 is taken, so that chance in a few videos decides little. It
    also takes back what streams are surer of in videos that they learned from. Of shortest
    bouts that are as good as each other the longest is taken, since bouts of new videos
    break more often. Frames that are not labelled are touched by nothing.

    Args:
        truth: `FrameLabels` of videos that are not for testing: figures of test videos by
            rules that saw them are worth nothing.
        probabilities: of each video a float array (frames, behaviours).

    Returns:
        List of `Rule`, one per behaviour. One that the videos do not show keeps 0.5 and
        says so in its `reason`.

    Raises:
        UserError: lengths that differ, with both numbers.

    Reference: Breiman et al., "Classification and Regression Trees", 1984 (the rule of one
        standard error).
    """
    if not truth or len(truth) != len(probabilities):
        raise UserError(
            f"{len(truth)} labelled videos, but {len(probabilities)} predictions"
        )
    for labels, scores in zip(truth, probabilities, strict=True):
        if np.shape(scores) != labels.matrix.shape:
            raise UserError(
                f"{labels.video}: the labels are of {labels.matrix.shape} frames and "
                f"behaviours, but the probabilities of {np.shape(scores)}"
            )
    rules = []
    for column in range(len(truth[0].behaviors)):
        labels = [one.matrix[:, column] for one in truth]
        scores = [np.asarray(matrix)[:, column] for matrix in probabilities]
        rules.append(_choose(labels, scores))
    return rules


def _choose(labels, scores):
    known = np.concatenate([s[y != -1] for y, s in zip(labels, scores, strict=True)])
    if not any((one == 1).any() for one in labels):
        seen = len(known)
        return Rule(reason=f"none of {seen} labelled frames shows it")
    candidates = np.quantile(known, np.linspace(0.01, 0.99, _THRESHOLDS))
    candidates = np.union1d(candidates, np.linspace(0.05, 0.95, 19))
    lengths = [stop - start for one in labels for start, stop in runs(one == 1)]
    # Dropping what is longer than half of the true bouts would forbid finding them.
    allowed = [size for size in _SHORTEST if size <= max(1, np.median(lengths) / 2)]
    found = np.array(
        [[_worth(labels, scores, value, size) for size in allowed] for value in candidates]
    )
    worths = found.mean(axis=2)
    # With one bout more that is found and one that is not: two bouts prove little, even
    # where both are found.
    count = len(lengths)
    best = (count * worths.max() + 1) / (count + 2)
    error = np.sqrt(best * (1 - best) / (count + 2))
    row = _plainest_of_best(candidates, worths.max(axis=1), error)
    column = np.flatnonzero(worths[row] >= worths[row].max() - _AS_GOOD)[-1]
    f1, bout_f1 = found[row, column]
    return Rule(float(candidates[row]), allowed[column], float(f1), float(bout_f1))


def _plainest_of_best(candidates, worths, tolerance):
    good = runs(worths >= worths.max() - tolerance)
    start, stop = next(pair for pair in good if pair[0] <= worths.argmax() < pair[1])
    return start + int(np.abs(candidates[start:stop] - 0.5).argmin())


def _worth(labels, scores, threshold, shortest):
    """(F1 of frames, F1 of bouts) by a rule."""
    right = total = matched = bouts = 0
    for one, score in zip(labels, scores, strict=True):
        guess = tidy(score >= threshold, shortest)
        known = one != -1
        true = one == 1
        right += (true & guess).sum()
        total += true.sum() + (guess & known).sum()
        pairs, true_bouts, guessed_bouts = compare_bouts(one, guess)[:3]
        matched += pairs
        bouts += true_bouts + guessed_bouts
    return 2 * right / total, 2 * matched / bouts
