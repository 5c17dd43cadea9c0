import collections

import pytest

from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.data.datasets.validation_split import (
    split_validation,
    suggested_group_pattern,
)
from h2s_keras.errors import UserError


def videos(counts, groups=None):
    return [
        VideoExample(f"{label}/{n}.mp4", label, None if groups is None else n % groups)
        for label, count in enumerate(counts)
        for n in range(count)
    ]


def test_every_class_gives_its_share_and_nothing_is_lost():
    examples = videos((10, 20, 5))
    training, validation = split_validation(examples, 0.2)
    counts = collections.Counter(example.label for example in validation)
    assert counts == {0: 2, 1: 4, 2: 1}
    assert sorted(training + validation, key=lambda e: e.path) == sorted(
        examples, key=lambda e: e.path
    )
    assert split_validation(examples, 0.2) == (training, validation)
    assert split_validation(examples, 0.2, seed=1)[1] != validation


def test_a_class_of_one_video_stays_in_training():
    training, validation = split_validation(videos((1, 8)), 0.25)
    assert [example.label for example in validation] == [1, 1]
    assert 0 in {example.label for example in training}


def test_groups_stay_together():
    examples = videos((10, 10), groups=5)
    training, validation = split_validation(examples, 0.2)
    assert len({example.group for example in validation}) == 1 and len(validation) == 4
    assert not {e.group for e in training} & {e.group for e in validation}


def test_groups_of_half_the_videos_are_not_set_aside():
    examples = videos((10, 10), groups=2)
    training, validation = split_validation(examples, 0.2)
    assert collections.Counter(e.label for e in validation) == {0: 2, 1: 2}
    assert {e.group for e in training} == {0, 1}


@pytest.mark.parametrize(("share", "count"), [(0.05, 1), (0.14, 1), (0.16, 2), (0.3, 3)])
def test_as_many_groups_as_come_closest(share, count):
    validation = split_validation(videos((10, 10), groups=10), share)[1]
    # A share below half of a group takes single videos, of each class one.
    expected = 2 * count
    assert len(validation) == expected


def test_no_group_takes_the_last_videos_of_a_class():
    # Class 1 is there in group 0 only.
    examples = [VideoExample(f"{n}.mp4", 0, n % 3) for n in range(9)]
    examples += [VideoExample(f"x{n}.mp4", 1, 0) for n in range(3)]
    for seed in range(6):
        training, validation = split_validation(examples, 0.3, seed)
        assert {example.group for example in validation} <= {1, 2}
        assert {example.label for example in training} == {0, 1}


def test_none_and_out_of_range():
    examples = videos((3, 3))
    assert split_validation(examples, 0) == (tuple(examples), ())
    with pytest.raises(UserError, match=r"share from 0 to 0\.5; received 0\.9"):
        split_validation(examples, 0.9)


@pytest.mark.parametrize(
    ("names", "group"),
    [
        (["person01_walk.avi", "person02_walk.avi", "person01_run.avi"] * 2, "01"),
        (["walk-s1-t1.mp4", "walk-s2-t1.mp4", "run-s1-t2.mp4", "run-s2-t2.mp4"], "1"),
        (["video1.mp4", "video2.mp4", "video3.mp4"], None),
        (["person1.mp4", "person2.mp4", "person3.mp4"], None),
        (["person1_a.mp4", "person1_b.mp4", "walk.mp4"], None),
    ],
)
def test_groups_are_suggested_by_file_names(names, group):
    import re

    pattern = suggested_group_pattern([f"folder/{name}" for name in names])
    assert (pattern is None) == (group is None)
    if pattern:
        assert re.search(pattern, names[0])[1] == group
