"""Figures against scikit-learn, against cases by hand, and what must not touch them."""

import json
import re

import numpy as np
import pytest
from sklearn import metrics

from h2s_keras.errors import UserError
from h2s_keras.ethogram import FrameLabels, find_shift, measure
from h2s_keras.ethogram.figures import FIGURES
from h2s_keras.ethogram.labels import compare_bouts, match_bouts


def drawn(seed, videos=4, frames=150, behaviors=("a", "b", "c"), unlabelled=0.0):
    """Labels in bouts, and probabilities that know something of them, with many ties."""
    random = np.random.default_rng(seed)
    truth, scores = [], []
    for video in range(videos):
        steps = random.random((frames, len(behaviors))) < 0.1
        matrix = np.cumsum(steps, axis=0) % 2
        noisy = matrix + random.normal(0, 0.7, matrix.shape)
        scores.append(np.round(1 / (1 + np.exp(-3 * (noisy - 0.5))), 1))
        matrix[random.random(matrix.shape) < unlabelled] = -1
        truth.append(FrameLabels(f"v{video}", behaviors, matrix))
    return truth, [(score > 0.5).astype(int) for score in scores], scores


@pytest.mark.parametrize("unlabelled", [0.0, 0.5])
def test_frame_figures_are_those_of_scikit_learn(unlabelled):
    truth, predicted, scores = drawn(1, unlabelled=unlabelled)
    found = measure(truth, predicted, scores, samples=0)
    labels = np.concatenate([one.matrix for one in truth])
    marks, chances = np.concatenate(predicted), np.concatenate(scores)
    f1 = []
    for column, name in enumerate("abc"):
        known = labels[:, column] != -1
        y, p, s = (array[known, column] for array in (labels, marks, chances))
        wanted = {
            "prevalence": y.mean(),
            "f1": metrics.f1_score(y, p),
            "precision": metrics.precision_score(y, p),
            "recall": metrics.recall_score(y, p),
            "average_precision": metrics.average_precision_score(y, s),
            "auroc": metrics.roc_auc_score(y, s),
        }
        for figure, value in wanted.items():
            assert found.behaviors[name][figure].value == pytest.approx(value, abs=1e-12)
        f1.append(wanted["f1"])
    assert found.macro["f1"].value == pytest.approx(np.mean(f1))
    assert not found.notes


def test_the_bootstrap_draws_whole_videos():
    truth, predicted, scores = drawn(2, videos=5)
    found = measure(truth, predicted, scores, samples=60, seed=3)
    # The same draws, with every figure from scikit-learn.
    random, values = np.random.default_rng(3), {"f1": [], "ap": [], "auroc": []}
    for _ in range(60):
        rows = random.integers(5, size=5)
        y = np.concatenate([truth[row].matrix[:, 0] for row in rows])
        p = np.concatenate([predicted[row][:, 0] for row in rows])
        s = np.concatenate([scores[row][:, 0] for row in rows])
        values["f1"].append(metrics.f1_score(y, p))
        values["ap"].append(metrics.average_precision_score(y, s))
        values["auroc"].append(metrics.roc_auc_score(y, s))
    for name, figure in (("f1", "f1"), ("ap", "average_precision"), ("auroc", "auroc")):
        got = found.behaviors["a"][figure]
        assert (got.low, got.high) == pytest.approx(
            np.percentile(values[name], [2.5, 97.5])
        )
        assert got.low < got.value < got.high


def test_frames_that_are_not_labelled_are_touched_by_nothing():
    truth, predicted, scores = drawn(3, unlabelled=0.5)
    first = measure(truth, predicted, scores, samples=50)
    for labels, marks, chances in zip(truth, predicted, scores, strict=True):
        hidden = labels.matrix == -1
        marks[hidden] = 1 - marks[hidden]
        chances[hidden] = np.random.default_rng(0).random(hidden.sum())
    again = measure(truth, predicted, scores, samples=50)
    assert again.behaviors == first.behaviors and again.macro == first.macro
    # The control: one labelled frame does touch them.
    row, column = np.argwhere(truth[0].matrix == 1)[0]
    predicted[0][row, column] = 1 - predicted[0][row, column]
    assert measure(truth, predicted, scores, samples=0).macro != first.macro


def test_what_is_absent_is_not_measurable():
    matrix = np.zeros((20, 3), int)
    matrix[5:9, 0], matrix[:, 2] = 1, -1
    marks = np.zeros((20, 3), int)
    marks[6:9, 0] = marks[2:4, 1] = marks[:, 2] = 1
    truth = [FrameLabels("v", ("seen", "absent", "unlabelled"), matrix)] * 2
    found = measure(truth, [marks] * 2, [marks * 0.5] * 2, samples=20)
    absent = found.behaviors["absent"]
    for figure in ("f1", "precision", "recall", "average_precision", "auroc", "bout_f1"):
        assert absent[figure].value is None and absent[figure].low is None
    assert absent["prevalence"].value == 0 and absent["time_budget_error"].value == 0.1
    assert all(figure.value is None for figure in found.behaviors["unlabelled"].values())
    assert found.macro["f1"].value == found.behaviors["seen"]["f1"].value == 6 / 7
    assert found.notes == (
        "absent: not measurable, none of 40 labelled frames shows it (4 were predicted to)",
        "unlabelled: not measurable, no frame is labelled for it",
        "macro F1 is of 1 of 3 behaviours",
    )
    table = found.lines()
    assert table[0].split() == "frames prevalence F1 precision recall AP AUROC".split()
    assert table[2].split()[1:4] == ["0.000", "-", "-"]
    assert table[1].split()[2] == table[4].split()[2] == "0.857"
    assert table[5].split()[:4] == ["bouts", "F1", "onset", "error"]
    assert table[6].split()[1:3] == ["1.000", "1.000"] and table[7].split()[1] == "-"
    assert table[10:] == ["-: not measurable", *found.notes]
    assert max(map(len, table[:10])) <= 80, "as wide as a terminal"
    headings = [re.split("  +", line)[1:] for line in (table[0], table[5])]
    assert sum(map(len, headings)) == len(FIGURES), "every figure is printed"
    assert json.loads(json.dumps(found.as_dict()))["macro"]["f1"]["value"] == 6 / 7


def test_a_behaviour_that_is_never_predicted_has_no_precision():
    truth = [FrameLabels("v", ("x",), np.array([[0], [1], [1]]))]
    found = measure(truth, [np.zeros((3, 1))]).behaviors["x"]
    assert (found["f1"].value, found["recall"].value, found["precision"].value) == (
        0,
        0,
        None,
    )
    assert found["onset_error"].value is None and found["bout_f1"].value == 0
    assert found["f1"].low is None  # one video: nothing to draw from


# === Bouts ===


def by_definition(true, predicted, overlap):
    """Largest number of pairs, by trying all; bouts as sets of frames."""
    pairs = [
        (i, j)
        for i, a in enumerate(true)
        for j, b in enumerate(predicted)
        if len(set(range(*a)) & set(range(*b)))
        >= overlap * len(set(range(*a)) | set(range(*b)))
    ]

    def most(left, used_true, used_predicted):
        if not left:
            return 0
        (i, j), rest = left[0], left[1:]
        skip = most(rest, used_true, used_predicted)
        if i in used_true or j in used_predicted:
            return skip
        return max(skip, 1 + most(rest, used_true | {i}, used_predicted | {j}))

    return most(pairs, frozenset(), frozenset())


@pytest.mark.parametrize("seed", range(20))
def test_bouts_are_matched_as_often_as_can_be(seed):
    random = np.random.default_rng(seed)

    def bouts():
        edges = np.sort(random.choice(60, 12, replace=False))
        return edges.reshape(-1, 2)

    true, predicted = bouts(), bouts()
    pairs = match_bouts(true, predicted)
    assert len(pairs) == by_definition(true, predicted, 0.5)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)


def test_half_is_enough_and_less_is_not():
    assert len(match_bouts([[0, 10]], [[5, 10]])) == 1
    assert len(match_bouts([[0, 10]], [[6, 10]])) == 0
    assert len(match_bouts([[0, 10]], [[0, 5], [5, 10]])) == 1
    assert len(match_bouts([], [[0, 5]])) == 0


def test_edges_count_where_they_were_seen():
    labels = np.zeros(40, int)
    labels[:6] = labels[10:20] = labels[30:] = 1
    predicted = np.zeros(40, bool)
    predicted[1:5] = predicted[12:21] = predicted[29:38] = True
    matched, true, guessed, onsets, offsets = compare_bouts(labels, predicted)
    assert (matched, true, guessed) == (3, 3, 3)
    # The first bout may have begun before the video, the last may go on behind it.
    assert onsets.tolist() == [2, -1] and offsets.tolist() == [-1, 1]
    labels[8:12] = -1
    assert compare_bouts(labels, predicted)[3].tolist() == [-1]


def test_bout_figures_by_hand():
    labels, marks = np.zeros((60, 1), int), np.zeros((60, 1), int)
    labels[5:15] = labels[30:40] = labels[50:52] = 1
    marks[8:15] = marks[30:45] = marks[20:22] = 1
    found = measure([FrameLabels("v", ("x",), labels)], [marks], samples=0).behaviors["x"]
    # Two of three bouts found, one of three predictions wrong; onsets 3 and 0 late.
    assert found["bout_f1"].value == pytest.approx(2 / 3)
    assert found["onset_error"].value == 1.5 and found["offset_error"].value == 2.5
    assert found["time_budget_error"].value == pytest.approx(2 / 60)


# === Shift ===


def shifted(array, frames):
    """The array some frames later, its ends repeated."""
    rows = np.clip(np.arange(len(array)) - frames, 0, len(array) - 1)
    return array[rows]


@pytest.mark.parametrize("frames", [5, 10, -5, -10])
@pytest.mark.parametrize("videos", [1, 6])
def test_a_constant_shift_is_found(frames, videos):
    truth, predicted, scores = drawn(5, videos=videos, frames=600)
    late = [shifted(score, frames) for score in scores]
    shift = find_shift(truth, late)
    assert shift.frames == frames and shift.low <= frames <= shift.high
    assert shift.correlation > shift.correlation_as_is
    marks = [(score > 0.5).astype(int) for score in late]
    order = "later" if frames > 0 else "earlier"
    found = measure(truth, marks, late, samples=0)
    assert f"{abs(frames)} frames {order} than the labels" in str(found.shift)


def test_half_of_the_frames_unlabelled_hide_no_shift():
    truth, _, scores = drawn(6, frames=600, unlabelled=0.5)
    assert find_shift(truth, [shifted(score, 5) for score in scores]).frames == 5


def test_no_shift_is_reported_where_there_is_none():
    for seed in range(3):
        truth, predicted, scores = drawn(seed, frames=400)
        assert find_shift(truth, scores) is None
        assert find_shift(truth, [shifted(score, 1) for score in scores]) is None
        other = drawn(seed + 100, frames=400)[2]
        assert find_shift(truth, other) is None, "chance is no shift"
        # Bouts that begin late and stop early are short, not shifted.
        narrow = [np.minimum(shifted(p, 6), shifted(p, -6)) for p in predicted]
        assert find_shift(truth, narrow) is None
    assert find_shift(truth, [np.zeros((400, 3))] * 4) is None


# === Mistakes ===


def test_predictions_that_do_not_fit_are_one_line_with_both_numbers():
    truth, predicted, scores = drawn(7)
    for arguments, words in (
        ((truth, predicted[:3]), "4 labelled videos, but 3 predictions"),
        ((truth, [*predicted[:3], predicted[3][:-1]]), r"150 frames .* shape \(149, 3\)"),
        ((truth, scores), "predictions are 0 or 1"),
        ((truth, predicted, [score * np.nan for score in scores]), "not finite"),
        (([], []), "no videos"),
    ):
        with pytest.raises(UserError, match=words):
            measure(*arguments)
    other = FrameLabels("w", ("a", "b"), truth[3].matrix[:, :2])
    with pytest.raises(UserError, match=r"w has 2 behaviours \(a, b\), but v0 has 3"):
        measure([*truth[:3], other], predicted)
