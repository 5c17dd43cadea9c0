import numpy as np

from h2s_keras.evaluation.fusion import beats_chance, choose_fusion


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


def test_a_stream_that_names_no_more_videos_right_gets_nothing():
    same = answers(LABELS, 18)
    assert choose_fusion({"spatial": same, "temporal": same}, LABELS) == (0.0, 1.0)
    better = answers(LABELS, 23)
    assert choose_fusion({"spatial": same, "temporal": better}, LABELS) == (0.0, 1.0)
    assert choose_fusion({"spatial": better, "temporal": same}, LABELS) == (1.0, 0.0)


def test_streams_that_err_on_different_videos_share():
    """Each is sure of its own half of the videos, and wrong by little on the rest."""
    sure, unsure = np.log([0.97, 0.01, 0.01, 0.01]), np.log([0.3, 0.4, 0.15, 0.15])
    streams = {}
    for name, half in (("spatial", 0), ("temporal", 1)):
        rows = [sure if n % 2 == half else unsure for n in range(len(LABELS))]
        streams[name] = np.stack(
            [np.roll(row, label) for row, label in zip(rows, LABELS, strict=True)]
        )
    spatial, temporal = choose_fusion(streams, LABELS)
    assert 0 < spatial < 1 and spatial + temporal == 1
