import numpy as np
import pytest

from h2s_keras.data import (
    clip_indices,
    clip_span,
    even_clip_starts,
    random_clip_indices,
    segment_clip_indices,
)
from h2s_keras.errors import UserError


def test_span():
    assert clip_span(11) == 11 and clip_span(3, 4) == 9 and clip_span(1, 7) == 1


def test_policies_by_hand():
    assert clip_indices([0, 4], 6, 3).tolist() == [[0, 1, 2], [4, 5, 0]]
    assert clip_indices(1, 3, 4, short="hold").tolist() == [1, 2, 2, 2]
    assert clip_indices(0, 3, 3, short="refuse").tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="need 4"):
        clip_indices(1, 3, 3, short="refuse")
    assert clip_indices(0, 9, 3, stride=4).tolist() == [0, 4, 8]


@pytest.mark.parametrize("short", ["loop", "hold"])
@pytest.mark.parametrize("frame_count", [2, 5, 11, 12, 300])
@pytest.mark.parametrize("stride", [1, 3])
def test_random_clips_stay_inside(frame_count, stride, short):
    generator = np.random.default_rng(0)
    for _ in range(50):
        indices = random_clip_indices(frame_count, 11, stride, generator, short)
        assert indices.shape == (11,) and indices.dtype == np.int64
        assert indices.min() >= 0 and indices.max() < frame_count
        if frame_count >= clip_span(11, stride):
            assert (np.diff(indices) == stride).all()


def test_random_clips_reach_every_start_and_repeat_with_the_seed():
    generator = np.random.default_rng(0)
    starts = {int(random_clip_indices(15, 11, 1, generator)[0]) for _ in range(200)}
    assert starts == {0, 1, 2, 3, 4}
    first = random_clip_indices(500, 11, 1, np.random.default_rng(7))
    again = random_clip_indices(500, 11, 1, np.random.default_rng(7))
    other = random_clip_indices(500, 11, 1, np.random.default_rng(8))
    assert first.tolist() == again.tolist() != other.tolist()


def test_even_starts_are_the_paper_s():
    starts = even_clip_starts(111, 11, 1, 25)
    assert starts.tolist() == [4 * i for i in range(25)]
    # floor((n - 10) / 25) for clips of 11 frames; n - 11 would give 0 and 3 here.
    assert even_clip_starts(35, 11, 1, 25).tolist() == list(range(25))
    assert even_clip_starts(110, 11, 1, 25)[1] == 4
    assert even_clip_starts(11, 11, 1, 25).tolist() == [0] * 25
    assert even_clip_starts(5, 11, 1, 3).tolist() == [0, 0, 0]
    spread = even_clip_starts(20, 11, 1, 25)
    assert spread.min() == 0 and spread.max() == 9 and (np.diff(spread) >= 0).all()


@pytest.mark.parametrize("frame_count", [12, 36, 100, 1001])
@pytest.mark.parametrize("count", [1, 3, 25])
def test_even_clips_fit(frame_count, count):
    starts = even_clip_starts(frame_count, 11, 1, count)
    clip_indices(starts, frame_count, 11, short="refuse")


def test_segments_by_hand_and_inside_their_parts():
    assert segment_clip_indices(30, 1, 1, 3).tolist() == [[5], [15], [25]]
    generator = np.random.default_rng(0)
    seen = [set(), set(), set()]
    for _ in range(300):
        for part, start in enumerate(segment_clip_indices(30, 1, 1, 3, generator)[:, 0]):
            seen[part].add(int(start))
    assert seen == [set(range(10)), set(range(10, 20)), set(range(20, 30))]


@pytest.mark.parametrize("frame_count", [2, 11, 12, 13, 50])
@pytest.mark.parametrize("generator", [None, np.random.default_rng(0)])
def test_segments_of_any_length(frame_count, generator):
    indices = segment_clip_indices(frame_count, 11, 1, 7, generator)
    assert indices.shape == (7, 11)
    assert indices.min() >= 0 and indices.max() < frame_count
    if frame_count >= 11:
        assert (np.diff(indices) == 1).all() and (np.diff(indices[:, 0]) >= 0).all()


@pytest.mark.parametrize("short", ["loop", "hold", "refuse"])
def test_a_video_of_one_frame_has_no_motion(short):
    generator = np.random.default_rng(0)
    with pytest.raises(UserError, match="no motion"):
        random_clip_indices(1, 2, 1, generator, short)
    with pytest.raises(UserError, match="no motion"):
        segment_clip_indices(1, 2, 1, 3, None, short)
    with pytest.raises(UserError, match="no motion"):
        even_clip_starts(1, 2, 1, 3)
    assert clip_indices(0, 1, 1, short=short).tolist() == [0]


@pytest.mark.parametrize("numbers", [(0, 3, 1), (9, 0, 1), (9, 3, 0), (9, 3, -1)])
def test_numbers_below_one_are_refused(numbers):
    with pytest.raises(UserError, match="1 or more"):
        clip_indices(0, *numbers)


def test_unknown_policy():
    with pytest.raises(UserError, match="'mirror'"):
        clip_indices(0, 9, 3, short="mirror")
