import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.evaluation.fusion import fuse_scores, normalize_scores, search_weights

RNG = np.random.default_rng(3)


def test_l1_is_the_published_rule():
    scores = np.array([[3.0, 1.0, -2.0], [-1.0, -2.0, -3.0], [0.0, 5.0, 0.0]])
    found = normalize_scores(scores, "l1")
    np.testing.assert_allclose(found, [[0.75, 0.25, 0], [0, 0, 0], [0, 1, 0]])
    with pytest.raises(UserError, match="softmax"):
        normalize_scores(-np.abs(scores) - 1, "l1")


def test_l1_against_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    scores = RNG.normal(size=(20, 7))
    expected = preprocessing.normalize(np.maximum(scores, 0), norm="l1")
    np.testing.assert_allclose(normalize_scores(scores), expected)


def test_softmax_against_scipy():
    special = pytest.importorskip("scipy.special")
    scores = 100 * RNG.normal(size=(20, 7))
    expected = special.softmax(scores, axis=1)
    np.testing.assert_allclose(normalize_scores(scores, "softmax"), expected, atol=1e-12)
    np.testing.assert_array_equal(normalize_scores(scores, "none"), scores)
    with pytest.raises(UserError, match="normalize"):
        normalize_scores(scores, "l2")


def test_weighted_sum():
    one, two = np.abs(RNG.normal(size=(2, 4, 3)))
    expected = one / one.sum(1, keepdims=True) + 1.5 * two / two.sum(1, keepdims=True)
    np.testing.assert_allclose(fuse_scores([one, two], (1, 1.5)), expected)


@pytest.mark.parametrize("weights", [(1,), (1, -1), (0, 0), (1, 1, 1)])
def test_bad_weights(weights):
    with pytest.raises(UserError, match="weights"):
        fuse_scores([np.ones((2, 2))] * 2, weights)


def test_shapes_must_agree():
    with pytest.raises(UserError, match="shapes"):
        fuse_scores([np.ones((2, 2)), np.ones((3, 2))], (1, 1))


def streams(videos=300, classes=5):
    """A good and a poor network with independent mistakes."""
    labels = RNG.integers(0, classes, videos)
    truth = np.eye(classes)[labels]
    good = 2.0 * truth + RNG.normal(size=truth.shape)
    poor = 1.0 * truth + RNG.normal(size=truth.shape)
    return [poor, good], labels


def test_search_finds_weights_that_help():
    matrices, labels = streams()
    found = search_weights(matrices, labels, "softmax")
    alone = [np.mean(matrix.argmax(1) == labels) for matrix in matrices]
    assert found["accuracy"] > max(alone)
    assert found["fitted_accuracy"] >= found["accuracy"]
    assert sum(found["weights"]) == pytest.approx(1)
    assert found["weights"][1] > 0.4 and len(found["fold_weights"]) == 5
    fitted = fuse_scores(matrices, found["weights"], "softmax").argmax(1)
    assert np.mean(fitted == labels) == pytest.approx(found["fitted_accuracy"])


def test_the_search_does_not_fit_noise():
    """Networks that know nothing: weights fitted to the test set look too good."""
    gaps, honest = [], []
    for _ in range(20):
        labels = RNG.integers(0, 2, 40)
        noise = [RNG.normal(size=(40, 2)) for _ in range(3)]
        found = search_weights(noise, labels, "none")
        gaps.append(found["fitted_accuracy"] - 0.5)
        honest.append(found["accuracy"] - 0.5)
    assert np.mean(gaps) > 0.05
    assert abs(np.mean(honest)) < np.mean(gaps) / 2


def test_search_is_reproducible_and_checks():
    matrices, labels = streams(40)
    assert search_weights(matrices, labels) == search_weights(matrices, labels)
    three = search_weights([*matrices, matrices[0]], labels, step=0.25)
    assert len(three["weights"]) == 3
    with pytest.raises(UserError, match="two or more"):
        search_weights(matrices[:1], labels)
    with pytest.raises(UserError, match="2 folds"):
        search_weights([m[:1] for m in matrices], labels[:1])
