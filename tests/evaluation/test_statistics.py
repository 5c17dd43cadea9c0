import numpy as np
import pytest

from h2s_keras.evaluation.recognition_results import (
    compared,
    figure_rows,
    recognition_results,
)
from h2s_keras.evaluation.scores import VideoScores
from h2s_keras.evaluation.statistics import (
    bootstrap_interval,
    class_table,
    confusion_matrix,
    effective_count,
    expected_calibration_error,
    mcnemar_test,
    mean_class_accuracy,
    most_confused_pairs,
    table_lines,
    top_k_correct,
    wilson_interval,
)

RNG = np.random.default_rng(11)
LABELS = RNG.integers(0, 7, 200)
SCORES = RNG.normal(size=(200, 7)) + 1.5 * np.eye(7)[LABELS]
BEST = SCORES.argmax(axis=1)
NAMES = list("abcdefg")


def probabilities(scores):
    powers = np.exp(scores)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_against_scikit_learn(k):
    metrics = pytest.importorskip("sklearn.metrics")
    expected = metrics.top_k_accuracy_score(LABELS, SCORES, k=k)
    assert top_k_correct(SCORES, LABELS, k).mean() == pytest.approx(expected)


def test_confusion_and_classes_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    matrix = confusion_matrix(LABELS, BEST, 7)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(LABELS, BEST))
    precision, recall, f1, count = metrics.precision_recall_fscore_support(LABELS, BEST)
    rows = class_table(matrix, NAMES)
    np.testing.assert_allclose(
        [row[1:] for row in rows], np.stack([count, recall, precision, f1], axis=1)
    )
    assert mean_class_accuracy(LABELS, BEST) == pytest.approx(
        metrics.balanced_accuracy_score(LABELS, BEST)
    )


def test_empty_classes_have_no_figures():
    rows = class_table([[2, 0], [0, 0]], ["a", "b"])
    assert rows == [("a", 2, 1.0, 1.0, 1.0), ("b", 0, None, None, None)]


def test_most_confused_pairs():
    matrix = np.array([[5, 1, 4], [0, 9, 0], [2, 0, 2]])
    rows = most_confused_pairs(matrix, ["a", "b", "c"])
    assert rows == [("a", "c", 4, 0.4), ("c", "a", 2, 0.5), ("a", "b", 1, 0.1)]
    assert most_confused_pairs(np.eye(3), list("abc")) == []


def test_calibration_against_a_loop():
    values = probabilities(SCORES)
    confidence, right = values.max(axis=1), values.argmax(axis=1) == LABELS
    edges, expected = np.linspace(0, 1, 16), 0.0
    for low, high in zip(edges, edges[1:], strict=False):
        part = (confidence > low) & (confidence <= high)
        if part.any():
            gap = abs(right[part].mean() - confidence[part].mean())
            expected += gap * part.sum() / len(part)
    found = expected_calibration_error(values, LABELS)
    assert found == pytest.approx(expected) and found > 0.01
    assert expected_calibration_error(np.array([[1.0, 0.0]]), [0]) == 0
    assert expected_calibration_error(np.array([[1.0, 0.0]]), [1]) == 1


def test_bootstrap_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    right = (BEST == LABELS).astype("float64")
    expected = stats.bootstrap(
        (right,), np.mean, method="percentile", n_resamples=4000, rng=1
    ).confidence_interval
    found = bootstrap_interval(np.mean, right, samples=4000)
    np.testing.assert_allclose(found, tuple(expected), atol=0.01)
    assert bootstrap_interval(np.mean, right) == bootstrap_interval(np.mean, right)
    wide = bootstrap_interval(np.mean, right, level=0.99)
    assert wide[1] - wide[0] > found[1] - found[0]
    with pytest.raises(ValueError, match="common rows"):
        bootstrap_interval(np.mean, right, right[1:])


@pytest.mark.parametrize("one, two", [(0, 0), (1, 0), (3, 9), (30, 12), (400, 700)])
def test_paired_test_against_scipy(one, two):
    stats = pytest.importorskip("scipy.stats")
    first = np.array([True] * one + [False] * two + [True] * 5)
    second = np.array([False] * one + [True] * two + [True] * 5)
    found = mcnemar_test(first, second)
    assert (found["first_only"], found["second_only"]) == (one, two)
    expected = stats.binomtest(one, one + two).pvalue if one + two else 1.0
    assert found["p_value"] == pytest.approx(expected)
    with pytest.raises(ValueError, match="same videos"):
        mcnemar_test(first, second[1:])


def scores(matrix, labels=LABELS):
    names = tuple(f"v{number}" for number in range(len(labels)))
    return VideoScores({"fused": matrix.astype("float32")}, names, labels, tuple(NAMES))


def test_results_of_scores():
    results = recognition_results(scores(SCORES), samples=200)
    figures = results["streams"]["fused"]
    assert figures["top1"] == pytest.approx(np.mean(BEST == LABELS))
    low, high = figures["top1_interval"]
    assert low < figures["top1"] < high
    assert figures["top5"] > figures["top1"]
    assert figures["map_activitynet"] >= figures["map_thumos"] > 0.5
    assert np.sum(results["confusion"]) == 200 and len(results["classes"]) == 7
    lines = table_lines(*figure_rows(results))
    assert len(lines) == 2 and "top-1" in lines[0] and lines[1].startswith("fused")


def test_ranking_is_by_probability():
    """Adding a number to all logits of a video must change nothing."""
    shifted = SCORES + 50 * RNG.normal(size=(200, 1))
    one, two = (
        recognition_results(scores(matrix), samples=0)["streams"]["fused"]
        for matrix in (SCORES, shifted)
    )
    assert one["map_thumos"] == pytest.approx(two["map_thumos"], abs=1e-4)
    already = recognition_results(scores(probabilities(SCORES)), samples=0)
    same = already["streams"]["fused"]
    assert same["map_thumos"] == pytest.approx(one["map_thumos"], abs=1e-4)
    assert same["ece"] == pytest.approx(one["ece"], abs=1e-4)


def test_several_labels_give_map_alone():
    several = RNG.uniform(size=(200, 7)) < 0.3
    results = recognition_results(scores(SCORES, several))
    assert set(results["streams"]["fused"]) == {"map_thumos", "map_activitynet"}
    assert "confusion" not in results


def test_comparison():
    order = RNG.permutation(200)
    worse = scores((SCORES + 2 * RNG.normal(size=SCORES.shape))[order], LABELS[order])
    every = np.arange(SCORES.shape[1])
    found = compared(scores(SCORES), worse, np.argsort(order), every)
    assert found["first_top1"] > found["second_top1"] and found["p_value"] < 0.05
    same = compared(scores(SCORES), scores(SCORES[order]), np.argsort(order), every)
    assert same["p_value"] == 1 and same["first_only"] == 0
    turned = scores(SCORES[order][:, ::-1])
    same = compared(scores(SCORES), turned, np.argsort(order), every[::-1])
    assert same["p_value"] == 1 and same["first_only"] == 0


@pytest.mark.parametrize(
    "right, count, expected",
    [
        # R: binom::binom.confint(right, count, methods = "wilson"), and by hand at the
        # ends, where Wilson's bounds are n / (n + z^2) and z^2 / (n + z^2).
        (7, 10, (0.3967781, 0.8922087)),
        (9, 9, (9 / (9 + 1.959964**2), 1)),
        (0, 10, (0, 1.959964**2 / (10 + 1.959964**2))),
        (1, 1, (1 / (1 + 1.959964**2), 1)),
    ],
)
def test_wilson_interval(right, count, expected):
    assert wilson_interval(right / count, count) == pytest.approx(expected, abs=1e-6)


def test_wilson_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    for right, count in ((0, 3), (6, 9), (299, 300), (11, 40)):
        expected = stats.binomtest(right, count).proportion_ci(0.9, method="wilson")
        found = wilson_interval(right / count, count, 0.9)
        assert found == pytest.approx(tuple(expected), abs=1e-9)
    for share, count in ((1.2, 3), (0.5, 0)):
        with pytest.raises(ValueError, match="count above 0"):
            wilson_interval(share, count)


def test_the_count_behind_a_class_mean():
    """As many videos as give a proportion the variance of the mean over classes."""
    assert effective_count([0, 0, 1, 1, 2, 2]) == pytest.approx(6)
    # Variances p (1 - p) / n of classes of 1 and 9 videos, halved twice.
    assert effective_count([0] + [1] * 9) == pytest.approx(1 / ((1 + 1 / 9) / 4))
