"""Data sets of labelled videos, as a table and as a folder, and their division."""

import json

import numpy as np
import pytest
from ethogram.samples import boris_events, boris_project, truth

from h2s_keras.errors import UserError
from h2s_keras.ethogram import (
    FrameLabels,
    draw_split,
    find_videos,
    load_labels,
    write_labels,
)
from h2s_keras.ethogram.labelled_videos import draw_folds


@pytest.fixture
def folder(tmp_path):
    """A folder with empty files of given names; labels are written into some."""

    def make(*names, labels=()):
        for name in names:
            (tmp_path / name).write_bytes(b"")
        for name in labels:
            write_labels(truth(), tmp_path / name)
        return tmp_path

    return make


def refused(words, path):
    with pytest.raises(UserError) as caught:
        find_videos(path)
    assert words in str(caught.value) and "\n" not in str(caught.value), caught.value


def pairs(path):
    """(video, labels) of a data set by the names of their files."""
    return [
        tuple(place and place.rsplit("/", 1)[-1] for place in (one.video, one.labels))
        for one in find_videos(path)
    ]


def test_a_table_names_videos_labels_and_groups(folder):
    path = folder("a.mp4", "b.avi", "c.mp4", labels=["a.csv", "b.eaf"])
    table = path / "set.csv"
    table.write_text("video,labels,group\na.mp4,a.csv,one\nb.avi,b.eaf,two\nc.mp4,,two\n")
    assert pairs(table) == [("a.mp4", "a.csv"), ("b.avi", "b.eaf"), ("c.mp4", None)]
    assert [one.group for one in find_videos(table)] == ["one", "two", "two"]
    table.write_text("video,labels\na.mp4,a.csv\nb.avi,b.eaf\n")
    assert [one.group for one in find_videos(table)] == ["a.mp4", "b.avi"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("video,lables\na.mp4,a.csv\n", "has a column 'lables'; did you mean 'labels'?"),
        ("video,labels,Group\na.mp4,a.csv,x\n", "did you mean 'group'?"),
        ("video\na.mp4\n", "has no column 'labels', only video"),
        ("video,labels\n", "lists no videos"),
        ("video,labels\ngone.mp4,a.csv\n", "line 2: there is no"),
        ("video,labels\na.mp4,gone.csv\n", "gone.csv"),
        ("video,labels\na.mp4\n", "line 2 has not 2 cells"),
        ("video,labels\na.mp4,a.csv\n./a.mp4,a.csv\n", "a.mp4 twice"),
        ("video,labels,group\na.mp4,a.csv,\n", "line 2 has no group"),
        ("video,labels\na.mp4,\n", "has 1 videos and labels of none"),
    ],
)
def test_mistakes_in_a_table(folder, text, words):
    table = folder("a.mp4", labels=["a.csv"]) / "set.csv"
    table.write_text(text)
    refused(words, table)


def test_a_folder_pairs_names_and_the_longer_video_owns_its_labels(folder):
    path = folder(
        "m.mp4",
        "m_1.mp4",
        "m_10.mp4",
        "notes.txt",
        "m_1_bouts.csv",
        labels=["m_labels.csv", "m_1_labels.csv", "m_1.vtrace.csv", "m_10.eaf"],
    )
    assert pairs(path) == [
        ("m.mp4", "m_labels.csv"),
        ("m_1.mp4", "m_1_labels.csv"),
        ("m_10.mp4", "m_10.eaf"),
    ]


def test_mistakes_in_a_folder(folder, tmp_path):
    path = folder("a.mp4", labels=["a.eaf", "a.boris"])
    refused("has 2 files of labels of a (a.boris, a.eaf)", path)
    (path / "a.eaf").unlink()
    (path / "a.avi").write_bytes(b"")
    refused("has a.avi and a.mp4, whose labels cannot be told apart", path)
    (tmp_path / "empty").mkdir()
    refused("holds no videos", tmp_path / "empty")
    refused("no such file", tmp_path / "gone.csv")


@pytest.mark.real_data
def test_the_procedural_videos_load_and_divide(real_data):
    videos = find_videos(real_data("ethogram", "procedural"))
    assert len(videos) == 16 and videos[3].labels.endswith("arena_03_labels.csv")
    two = load_labels([videos[0], videos[1]])
    assert [labels.frames for labels in two] == [1000, 1200]
    assert [labels.times.rate for labels in two] == [25, 30]
    assert two[0].behaviors == ("walk", "groom", "turn", "rear", "lamp")


@pytest.mark.real_data
def test_one_project_may_hold_the_labels_of_several_videos(real_data, tmp_path):
    first, second = (real_data("ethogram", "procedural", f"arena_0{n}.mp4") for n in (0, 1))
    project = boris_project(boris_events([("groom", 50, 75)], 25), 25.0, 40.0, 0, [first])
    other = boris_project(boris_events([("rear", 30, 60)], 30), 30.0, 40.0, 0, [second])
    project["observations"]["obs2"] = other["observations"]["obs1"]
    (tmp_path / "p.boris").write_text(json.dumps(project))
    table = tmp_path / "set.csv"
    table.write_text(f"video,labels\n{first},p.boris\n{second},p.boris\n")
    one, two = load_labels(find_videos(table))
    assert one.bouts() == [("groom", 50, 75)] and two.bouts() == [("rear", 30, 60)]


@pytest.mark.real_data
def test_lists_of_behaviours_that_differ(real_data, tmp_path):
    first, second = (real_data("ethogram", "procedural", f"arena_0{n}.mp4") for n in (0, 3))
    for name, behavior in (("a.csv", "groom"), ("b.csv", "Groom")):
        matrix = np.zeros((1000, 2), int)
        write_labels(FrameLabels("", (behavior, "rear"), matrix), tmp_path / name)
    table = tmp_path / "set.csv"
    table.write_text(f"video,labels\n{first},a.csv\n{second},b.csv\n")
    videos = find_videos(table)
    with pytest.raises(UserError, match="lists 2 behaviours, without 'Groom' of .*makes 3"):
        load_labels(videos)
    notes = []
    names = ("groom", "Groom", "rear")
    one, two = load_labels(videos, behaviors=names, notes=notes)
    assert one.matrix[0].tolist() == [0, -1, 0] and two.matrix[0].tolist() == [-1, 0, 0]
    assert len(notes) == 2


# === Division into parts ===


def group_labels(shown, frames=100):
    """`FrameLabels` of one video per row, which shows the behaviours marked 1."""
    names = tuple(f"b{number}" for number in range(len(shown[0])))
    labels = []
    for number, row in enumerate(shown):
        matrix = np.zeros((frames, len(row)), int)
        matrix[:10] = row
        labels.append(FrameLabels(f"v{number}", names, matrix))
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_every_behaviour_is_in_each_part_and_groups_stay_whole(seed):
    # b1 is in three groups of ten only, so one has to be in each part.
    shown = [[1, int(number in (2, 5, 6))] for number in range(10) for _ in range(2)]
    labels = group_labels(shown)
    groups = [f"g{number // 2}" for number in range(20)]
    parts = draw_split(labels, groups, seed=seed)
    for part in ("train", "validation", "test"):
        held = [labels[i].matrix for i in range(20) if parts[i] == part]
        assert (np.concatenate(held) == 1).any(axis=0).all()
    for group in set(groups):
        assert len({parts[i] for i in range(20) if groups[i] == group}) == 1
    counts = [parts.count(part) for part in ("train", "validation", "test")]
    assert counts == [12, 4, 4]
    assert parts == draw_split(labels, groups, seed=seed)


def test_a_division_that_only_one_arrangement_allows_is_found():
    # Each of three behaviours is in three groups, and only {0}, {1}, {2} + any rest works.
    shown = [[1, 1, 1]] * 3 + [[0, 0, 0]] * 6
    parts = draw_split(group_labels(shown), list("abcdefghi"))
    assert sorted(parts[:3]) == ["test", "train", "validation"]


def test_what_cannot_be_divided_is_refused_in_words():
    labels = group_labels([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]])
    with pytest.raises(UserError) as caught:
        draw_split(labels, list("abcd"))
    text = str(caught.value)
    assert "has to be in 3 groups" in text and "\n" not in text
    assert "'b1' is in 2 (a, c)" in text and "'b2' is in none" in text
    parts = draw_split(labels, list("abcd"), excused=("b1", "b2"))
    assert set(parts) == {"train", "validation", "test"}
    with pytest.raises(UserError, match="need as many groups of videos, but there are 2"):
        draw_split(labels, list("aabb"))
    # Enough groups for each behaviour, but never for both at once.
    crossed = group_labels([[1, 1], [1, 0], [1, 0], [0, 1], [0, 1]][:4])
    with pytest.raises(UserError, match="'b1' is in 2"):
        draw_split(crossed, list("abcd"))


def test_groups_are_not_torn_apart_even_where_that_would_help():
    labels = group_labels([[1, 1], [1, 1], [1, 1], [1, 0]])
    with pytest.raises(UserError, match="'b1' is in 2"):
        draw_split(labels, ["a", "a", "b", "c"])


def test_folds_are_of_whole_groups_and_spread_rare_behaviours():
    # Two rare behaviours, each in two of eight groups; eight videos more of one of them.
    shown = [[1, 1, 0]] * 2 + [[1, 0, 1]] * 2 + [[1, 0, 0]] * 4
    groups = list("abcdefgh")
    for seed in range(4):
        folds = draw_folds(group_labels(shown), groups, 4, seed)
        assert sorted(folds) == [0, 0, 1, 1, 2, 2, 3, 3]
        assert folds[0] != folds[1] and folds[2] != folds[3]
        assert folds == draw_folds(group_labels(shown), groups, 4, seed)
    folds = draw_folds(group_labels(shown), list("aabbaabb"), 4)
    assert len(set(folds)) == 2 and folds[:4] == folds[4:] and folds[0] == folds[1]
    # One group: each video counts as one.
    assert sorted(draw_folds(group_labels(shown[:3]), ["a"] * 3, 4)) == [0, 1, 2]
