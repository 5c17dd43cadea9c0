"""Labels as a matrix and as bouts, and the times of frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2s_keras.errors import UserError
from h2s_keras.ethogram import Bout, FrameLabels, FrameTimes
from h2s_keras.ethogram.annotation import same_video


def runs_by_hand(column):
    """(start, stop) of the runs of 1, walked through frame by frame."""
    found, start = [], None
    for frame, value in enumerate([*column, 0]):
        if value == 1 and start is None:
            start = frame
        elif value != 1 and start is not None:
            found.append((start, frame))
            start = None
    return found


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([-1, 0, 1])] * 2), min_size=1, max_size=30))
def test_bouts_are_the_runs_of_the_matrix(rows):
    labels = FrameLabels("a", ("x", "y"), np.array(rows))
    for column, name in enumerate("xy"):
        hand = [(name, *run) for run in runs_by_hand([row[column] for row in rows])]
        assert [tuple(bout) for bout in labels.bouts(name)] == hand
    again = FrameLabels.from_bouts("a", ("x", "y"), labels.bouts(), len(rows))
    assert np.array_equal(again.matrix == 1, labels.matrix == 1)


def test_touching_and_overlapping_bouts_of_one_behaviour_become_one():
    bouts = [("x", 2, 4), ("x", 4, 6), ("x", 5, 8), ("y", 6, 7), ("x", 9, 10)]
    labels = FrameLabels.from_bouts("a", ("x", "y"), bouts, 10)
    assert labels.bouts() == [Bout("x", 2, 8), Bout("y", 6, 7), Bout("x", 9, 10)]
    assert labels.overlaps().tolist() == [6]


def test_of_overlapping_behaviours_the_one_begun_last_wins_and_then_gives_way():
    bouts = [("x", 0, 10), ("y", 3, 5)]
    labels = FrameLabels.from_bouts("a", ("x", "y"), bouts, 10).later_wins()
    assert labels.bouts() == [Bout("x", 0, 3), Bout("y", 3, 5), Bout("x", 5, 10)]


def test_frames_that_are_not_labelled_stay_so_when_the_later_bout_wins():
    matrix = np.array([[-1, 1], [1, 1], [1, 0]])
    kept = FrameLabels("a", ("x", "y"), matrix).later_wins()
    assert kept.matrix.tolist() == [[-1, 1], [1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("names", "matrix", "words"),
    [
        (("x",), [[0, 1]], "2 columns, but 1 behaviours"),
        (("x", "x"), [[0, 1]], "'x' is named twice"),
        (("background",), [[0]], "mean the absence of all"),
        (("x",), [[0], [2]], "frame 1 of 'x' is 2"),
        (("x",), np.zeros((0, 1)), "got shape (0, 1)"),
    ],
)
def test_labels_that_are_not_valid(names, matrix, words):
    with pytest.raises(UserError, match=words.replace("(", r"\(").replace(")", r"\)")):
        FrameLabels("a", names, np.array(matrix))


def test_another_length_than_the_video_names_both():
    with pytest.raises(UserError, match="3 frames are labelled, but the video has 4"):
        FrameLabels("a", ("x",), np.zeros((3, 1)), FrameTimes(4, rate=25))


@pytest.mark.parametrize("bout", [("x", 2, 2), ("x", -1, 2), ("x", 8, 11)])
def test_bouts_outside_the_video(bout):
    with pytest.raises(UserError, match="the video has 10 frames"):
        FrameLabels.from_bouts("a", ("x",), [bout], 10)


def test_a_misspelled_behaviour_gets_a_guess():
    with pytest.raises(UserError, match="did you mean 'groom'"):
        FrameLabels.from_bouts("a", ("groom", "rear"), [("gorom", 1, 2)], 10)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("/a/mouse.mp4", "C:\\v\\mouse.avi", True),
        ("mouse", "mouse.mkv", True),
        ("mouse.001", "mouse.001.mp4", True),
        ("mouse.001", "mouse.002", False),
        ("mouse_1.mp4", "mouse_10.mp4", False),
        ("Mouse.mp4", "mouse.mp4", False),
    ],
)
def test_names_of_one_video(first, second, same):
    assert same_video(first, second) == same_video(second, first) == same


# === Times ===


@pytest.mark.parametrize("rate", [23.976, 25, 29.97, 30, 50, 59.94, 120, 240])
def test_times_rounded_to_milliseconds_find_their_frame(rate):
    times = FrameTimes(2000, rate=rate)
    for frame in range(2001):
        seconds = round(frame / rate, 3)
        assert times.frame_at(seconds) == frame
        # Some programs end a bout 1 ms before the next begins.
        assert times.frame_at(seconds - 0.001) == (frame if frame else 0)


def test_time_stamps_decide_where_the_rate_varies():
    times = FrameTimes.of_stamps(np.array([5.0, 5.04, 5.5, 5.54, 5.6]))
    assert times.variable and times.starts[:5].tolist() == pytest.approx(
        [0, 0.04, 0.5, 0.54, 0.6]
    )
    assert [times.frame_at(t) for t in (0.05, 0.3, 0.5, 0.56, 9)] == [1, 2, 2, 3, 5]


def test_stamps_in_whole_milliseconds_are_a_constant_rate():
    stamps = np.round(np.arange(300) / 30, 3)
    times = FrameTimes.of_stamps(stamps, 30.0)
    assert (times.variable, times.rate, times.duration) == (False, 30.0, 10.0)
    # The container's rate may be rounded; over an hour that adds up.
    stamps = np.round(np.arange(100_000) / (30000 / 1001), 3)
    times = FrameTimes.of_stamps(stamps, 29.97)
    assert not times.variable and times.frame_at(stamps[90_000]) == 90_000
    dropped = np.delete(stamps, 150)
    assert FrameTimes.of_stamps(dropped, 29.97).variable


@pytest.mark.parametrize(
    "values", [{"rate": 0}, {}, {"stamps": [0, 0.1, 0.1]}, {"stamps": [0, 1]}]
)
def test_times_that_are_not_valid(values):
    with pytest.raises(UserError):
        FrameTimes(3, **values)
