"""Videos without labels, and pairs of their frames beside synthetic ones."""

import numpy as np
import pytest

from h2s_keras.data.clips.motion_pairs import MotionPairs
from h2s_keras.data.datasets.sources import VideoExample, unlabelled_source
from h2s_keras.data.datasets.validation_split import split_in_time
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import LeftOutWarning, UserError


@pytest.fixture
def settings(tmp_path):
    return {
        "kind": "unlabelled",
        "root": str(tmp_path),
        "num_frames": 2,
        "image_size": (16, 16),
        "decode_size": (16, 16),
        "flip": False,
        "validation": 0.3,
    }


def test_videos_at_any_depth(tmp_path):
    names = ["a.mp4", "b/c.avi", "b/d/e/f.mkv", "b/.hidden.mp4"]
    for name in (*names, "b/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "img_00001.jpg").touch()
    with pytest.warns(LeftOutWarning, match=r"1 file .*notes\.txt"):
        found = unlabelled_source(tmp_path)
    expected = [str(tmp_path / name) for name in (*names[:3], "frames")]
    assert [example.path for example in found] == expected
    assert {example.label for example in found} == {0}
    alone = str(tmp_path / "a.mp4")
    assert unlabelled_source(alone) == (VideoExample(alone, 0),)


@pytest.mark.parametrize(
    ("name", "text"), [("gone", "no such folder"), ("empty", "holds no videos")]
)
def test_folders_that_give_nothing(tmp_path, name, text):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=text):
        unlabelled_source(tmp_path / name)


@pytest.mark.parametrize("nested", [False, True])
def test_pairs_of_flat_and_nested_folders(
    tmp_path, settings, make_grey_video, grey_numbers, nested
):
    for number in range(3):
        folder = f"x{number}/y/" if nested else ""
        make_grey_video(f"{folder}{number}.mkv", count=20)
    data = make_data({**settings, "stride": 2})
    assert data.class_names == ("video",)
    assert len(data.train) == 2 and len(data.validation) == 1 and not data.test
    pairs = MotionPairs(data)
    clips, truth = next(iter(pairs.training(5)))
    clips, truth = clips.numpy(), truth.numpy()
    assert clips.shape == (5, 2, 16, 16, 3) and clips.dtype == np.uint8
    assert truth.shape == (5, 1, 16, 16, 2)
    # Of five pairs three are real, and of these nothing is known.
    assert np.isnan(truth[:3]).all() and np.isfinite(truth[3:]).all()
    numbers = grey_numbers(clips[:3])
    assert (numbers[:, 1] - numbers[:, 0] == 2).all()
    names = pairs.training_names(5, 0)
    assert ".mkv" in names[0] and names[3].startswith("synthetic")
    held = pairs.held_out()
    assert len(held) >= 100 and held.shape[1:] == (2, 16, 16, 3)
    numbers = grey_numbers(held)
    assert (numbers[:, 1] - numbers[:, 0] == 2).all()
    assert numbers.min() == 0 and numbers.max() > 14


def test_of_many_videos_fewer_clips_are_validated(tmp_path, settings, make_grey_video):
    for number in range(6):
        make_grey_video(f"{number}.mkv", count=20)
    data = make_data({**settings, "validation": 0.5, "clips_per_video": 5})
    assert len(data.validation) == 3

    def clips(**most):
        return sum(len(batch["label"]) for batch in data.validation_batches(4, **most))

    assert clips() == clips(most_clips=1000) == 15
    assert clips(most_clips=7) == 6 and clips(most_clips=1) == 3
    assert data.clips_per_video == 5


def test_a_stream_goes_on_where_it_was(tmp_path, settings, make_grey_video):
    for number in range(3):
        make_grey_video(f"{number}.mkv", count=20)
    pairs = MotionPairs(make_data(settings))
    batches = [batch for batch in pairs.training(4, seed=3).take(3)]
    again = next(iter(pairs.training(4, start_step=2, seed=3)))
    for one, other in zip(batches[2], again, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert not np.array_equal(batches[1][0].numpy(), again[0].numpy())


def test_of_a_single_video_the_end_is_held_out(
    tmp_path, settings, make_grey_video, grey_numbers
):
    make_grey_video("long.mkv", count=60)
    data = make_data(settings)
    held = grey_numbers(MotionPairs(data).held_out())
    # 30 % of 60 frames.
    assert held.min() >= 41 and held.max() == 59
    seen = []
    for clips, _ in MotionPairs(data).training(8).take(10):
        seen.append(grey_numbers(clips.numpy()[:4]))
    assert np.max(seen) <= 42 and np.min(seen) < 10
    whole = make_data({**settings, "validation": 0})
    assert not whole.validation and len(MotionPairs(whole).held_out()) == 0


def test_splits_in_time(tmp_path, make_grey_video):
    path = make_grey_video("long.mkv", count=50)  # two seconds
    (train,), (held,) = split_in_time(VideoExample(path, 0), 0.25)
    assert (train.start, held.end) == (0.0, pytest.approx(2.0, abs=0.05))
    assert train.end == held.start == pytest.approx(1.5, abs=0.05)
    assert split_in_time(train, 0) == ((train,), ())
    with pytest.raises(UserError, match="a share from 0 to 0.5"):
        split_in_time(train, 0.7)


def test_bad_files_are_left_out(tmp_path, settings, make_grey_video):
    for number in range(3):
        make_grey_video(f"{number}.mkv", count=10)
    (tmp_path / "broken.mkv").write_bytes(b"no video")
    data = make_data({**settings, "on_bad_file": "skip", "validation": 0.5})
    pairs = MotionPairs(data)
    for clips, _ in pairs.training(4).take(4):
        assert clips.shape == (4, 2, 16, 16, 3)
    assert len(pairs.held_out()) >= 50


def test_data_that_give_no_pairs():
    class Records:
        class_names = ("a",)

    with pytest.raises(UserError, match="leave the stage out"):
        MotionPairs(Records())


def test_a_batch_of_one(tmp_path, settings, make_grey_video):
    make_grey_video("long.mkv", count=10)
    with pytest.raises(UserError, match="batch_size of 2 or more"):
        MotionPairs(make_data(settings)).training(1)
