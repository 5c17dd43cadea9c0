import numpy as np

from h2s_keras.training.fusion_choice import beats_chance, choose_fusion


def answers(labels, right, classes=4, confidence=0.9):
    """Log-probabilities that name the true class in the first `right` rows only."""
    labels = np.asarray(labels)
    named = np.where(np.arange(len(labels)) < right, labels, (labels + 1) % classes)
    scores = np.full((len(labels), classes), np.log((1 - confidence) / (classes - 1)))
    scores[np.arange(len(labels)), named] = np.log(confidence)
    return scores


LABELS = np.arange(24) % 4


def test_a_stream_at_chance_gets_nothing():
    good, poor = answers(LABELS, 20), answers(LABELS, 7)
    assert beats_chance(good, LABELS) and not beats_chance(poor, LABELS)
    assert choose_fusion({"spatial": poor, "temporal": good}, LABELS) == (0.0, 1.0)
    assert choose_fusion({"spatial": good, "temporal": poor}, LABELS) == (1.0, 0.0)
    assert choose_fusion({"spatial": poor, "temporal": poor}, LABELS) == (0.0, 1.0)


def test_the_lower_bound_is_wilsons():
    """Of 10 of 24, 95 % on one side, 0.269; of 9, 0.233; chance is 0.25."""
    assert beats_chance(answers(LABELS, 10), LABELS)
    assert not beats_chance(answers(LABELS, 9), LABELS)


def test_the_largest_class_is_chance():
    labels = np.array([0] * 18 + [1] * 6)
    scores = answers(labels, 18, classes=2)
    assert not beats_chance(scores, labels)


def test_equal_streams_share_and_a_better_one_gets_more():
    same = answers(LABELS, 18)
    spatial, temporal = choose_fusion({"spatial": same, "temporal": same}, LABELS)
    assert (spatial, temporal) == (0.5, 0.5)
    better = answers(LABELS, 23)
    spatial, temporal = choose_fusion({"spatial": same, "temporal": better}, LABELS)
    assert temporal > spatial
