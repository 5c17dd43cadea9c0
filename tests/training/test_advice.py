"""What a run says about itself, on hand-made results."""

import types

import numpy as np
import pytest

from h2s_keras.training.advice import advice


def scores(right, count, classes=2):
    """Log-probabilities of `count` videos, and labels in turn; `right` are named right."""
    labels = np.arange(count) % classes
    named = np.where(np.arange(count) < right, labels, (labels + 1) % classes)
    return np.log(np.where(np.eye(classes)[named] == 1, 0.9, 0.1 / (classes - 1))), labels


def videos(counts, group=None, path="clip.mp4"):
    return [
        types.SimpleNamespace(label=label, group=group, path=path)
        for label, count in enumerate(counts)
        for _ in range(count)
    ]


def run(right=20, count=20, trained=1.0, train=(10, 10), validation=(), **changes):
    """Sentences of a run whose temporal stream names so many held-out videos right."""
    stream, labels = scores(right, count)
    data = types.SimpleNamespace(
        class_names=("jump", "run"),
        train=videos(train),
        validation=videos(validation),
        test=videos((1,), group="a"),
        timing=None,
    )
    vars(data).update(changes.pop("data", {}))
    history = [{"training_accuracy": trained}]
    results = {"stages": {"temporal": {"history": history}}, **changes}
    return advice(data, results, {"temporal": stream}, labels)


def test_nothing_is_said_of_a_run_that_lacks_nothing():
    assert run() == []


def test_flow_that_explains_nothing_is_named():
    stages = {"motion": {"warped_error": 1.24}, "temporal": {"history": []}}
    (sentence,) = run(stages=stages)
    assert "no better than no motion at all (124% of its error)" in sentence
    stages["motion"]["warped_error"] = 0.97
    assert run(stages=stages) == []


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(trained=0.7), "names 70% of its own training clips"),
        (dict(right=15), "100% of its training clips and 75% of the videos it did not see"),
        (dict(right=10), "cannot be told from chance by the 20 videos"),
        (dict(right=10, trained=0.6), "has not learned its training clips"),
        (dict(train=(10, 7)), "Few videos to train on: run (7)"),
    ],
)
def test_one_sentence_says_what_stands_out(changes, words):
    (sentence,) = run(**changes)
    assert words in sentence


def test_a_gap_is_one_of_more_than_twenty_points():
    assert run(right=16) == []


def test_videos_of_validation_count_where_the_saved_model_learns_from_them():
    (sentence,) = run(train=(7, 7), validation=(1, 1))
    assert "jump (7), run (7)" in sentence
    assert run(train=(7, 7), validation=(1, 1), refit=16) == []


def test_short_videos_and_names_that_hold_groups():
    timing = types.SimpleNamespace(short=3, probed=20, seconds=1.0)
    (sentence,) = run(data={"timing": timing})
    assert "3 of 20 videos last less than a clip of 1.00 s" in sentence
    named = [
        types.SimpleNamespace(label=n % 2, group=None, path=f"person{n % 4}_take{n}.mp4")
        for n in range(20)
    ]
    found = run(data={"train": named, "test": []})
    assert len(found) == 1 and "--set data.group_pattern='" in found[0]
