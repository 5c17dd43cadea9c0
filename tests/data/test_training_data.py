"""Segments, processes, names and random skipping of training data."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

from h2s_keras.data import ClipReport, VideoExample, video_clip_dataset, write_png
from h2s_keras.data.clips.sampling import example_numbers, process_batch_size
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import MissingVideosWarning, UserError, VideoError


@pytest.fixture
def folder(make_video, tmp_path):
    for label in ("a", "b"):
        for n in range(3):
            make_video(f"set/{label}/{n}.avi", count=20 + n, codec="mpeg4")
    return tmp_path / "set"


@pytest.fixture
def video_data(folder):
    def make(**settings):
        values = {"num_frames": 3, "image_size": (32, 80), "root": str(folder)}
        return make_data({"kind": "videos", **values, **settings})

    return make


def synthetic_data(**settings):
    values = {"num_frames": 2, "image_size": (16, 16), "seed": 4, "test_count": 3}
    return make_data({"kind": "synthetic", **values, **settings})


def take(dataset, count):
    return [
        tuple(v.numpy() for v in batch) for batch in itertools.islice(iter(dataset), count)
    ]


def test_segments_of_a_csv_file_are_what_is_trained_and_tested_on(
    make_grey_video, grey_numbers, tmp_path
):
    for name in ("a.mkv", "b.mkv"):
        make_grey_video(name, count=50)
    table = tmp_path / "table.csv"
    rows = "a.mkv,x,0.4,0.8,1\nb.mkv,y,1.2,1.6,1\na.mkv,x,0.4,0.8,2\nb.mkv,y,1.2,1.6,2\n"
    table.write_text("path,class,start,end,group\n" + rows)
    settings = {"kind": "videos", "csv": str(table), "test_group": "2"}
    size = {"num_frames": 4, "image_size": (16, 16)}
    data = make_data({**settings, **size, "clips_per_video": 2})
    # 25 frames a second: from 0.4 to 0.8 s are frames 10 to 19, from 1.2 to 1.6 s 30 to 39.
    seen = {0: set(), 1: set()}
    for clips, labels in take(data.training(4), 12):
        for clip, label in zip(clips, labels, strict=True):
            seen[int(label)] |= set(grey_numbers(clip).tolist())
    for batch in data.evaluation(4):
        for clip, label in zip(batch["clip"], batch["label"], strict=True):
            seen[int(label)] |= set(grey_numbers(clip).tolist())
    assert (min(seen[0]), max(seen[0])) == (10, 19)
    assert (min(seen[1]), max(seen[1])) == (30, 39)


# === Hosts ===


def test_hosts_share_the_rows_of_every_batch():
    numbers = [
        list(example_numbers(6, 2, process, 3).take(4).as_numpy_iterator())
        for process in range(3)
    ]
    assert numbers == [[12, 13, 18, 19], [14, 15, 20, 21], [16, 17, 22, 23]]
    assert list(example_numbers(6, 2).take(3).as_numpy_iterator()) == [12, 13, 14]


@pytest.mark.parametrize(
    "arguments", [(5, 0, 2), (4, 2, 2), (4, -1, 2), (4, 0, 0), (0, 0, 1)]
)
def test_hosts_that_make_no_sense(arguments):
    with pytest.raises(UserError, match="process"):
        process_batch_size(*arguments)


@pytest.mark.parametrize("kind", ["videos", "synthetic"])
@pytest.mark.parametrize("segments", [None, 2])
def test_all_hosts_together_read_what_one_would(video_data, kind, segments):
    make = video_data if kind == "videos" else synthetic_data
    data = make(segments=segments)
    whole = take(data.training(4, 1, seed=5), 3)
    parts = [take(data.training(4, 1, seed=5, process=h, processes=2), 3) for h in range(2)]
    for step, (clips, labels) in enumerate(whole):
        rows = zip(parts[0][step], parts[1][step], strict=True)
        joined = [np.concatenate(pair) for pair in rows]
        np.testing.assert_array_equal(joined[0], clips)
        np.testing.assert_array_equal(joined[1], labels)
        assert parts[0][step][0].shape[0] == 2
    # The control: the processes read different examples.
    assert not np.array_equal(parts[0][0][0], parts[1][0][0])


def test_a_batch_that_hosts_cannot_share_is_reported(video_data):
    for data in (video_data(), synthetic_data()):
        with pytest.raises(UserError, match="batch of 3 cannot be shared evenly by 2"):
            data.training(3, process=0, processes=2)


# === Missing videos ===


@pytest.fixture(params=["csv", "list", "activitynet"])
def with_missing(request, folder):
    """Settings of data one of whose videos is missing, and its path."""
    paths = [f"v_{label}{number}.avi" for label in "ab" for number in range(3)]
    for path in paths:
        (folder / path[2] / f"{path[3]}.avi").rename(folder / path)
    table = folder / "table"
    if request.param == "csv":
        rows = [f"{path},{path[2]}\n" for path in paths]
        table.write_text("path,class\n" + "".join(rows))
        settings = {"kind": "videos", "csv": str(table)}
    elif request.param == "list":
        table.write_text("".join(f"{path} {int(path[2] == 'b')}\n" for path in paths))
        settings = {"kind": "list", "train_list": str(table)}
    else:
        database = {}
        for path in paths:
            segment = {"label": path[2], "segment": [0.0, 0.6]}
            database[path[2:4]] = {"subset": "training", "annotations": [segment]}
        table.write_text(json.dumps({"database": database}))
        settings = {"kind": "activitynet", "annotations": str(table)}
    missing = folder / "v_a1.avi"
    missing.unlink()
    values = {"num_frames": 3, "image_size": (32, 80), "root": str(folder)}
    return {**values, **settings}, missing


def test_missing_videos_stop_a_training_or_are_left_out(with_missing, folder):
    settings, missing = with_missing
    with pytest.raises(UserError, match=r"no such file.* \(1 of 6 .*are missing\)"):
        make_data(settings)
    for policy in ("skip", "substitute"):
        with pytest.warns(MissingVideosWarning, match="1 of 6 videos are missing and left"):
            data = make_data({**settings, "on_bad_file": policy})
        assert take(data.training(6, seed=1), 1)[0][1].tolist().count(1) >= 3
        assert [str(missing).startswith(path) for path in data.report.bad_files] == [True]
    for path in folder.rglob("*.avi"):
        path.unlink()
    with pytest.raises(UserError, match="6 of 6 videos are missing"):
        make_data({**settings, "on_bad_file": "skip"})


def test_segments_of_folders_of_frames_by_the_rate_they_were_extracted_at(tmp_path):
    for name, first in (("v_one", 10), ("two", 100)):
        (tmp_path / name).mkdir()
        for number in range(40):
            picture = np.full((16, 16, 3), first + number, np.uint8)
            write_png(tmp_path / name / f"img_{number + 1:05d}.png", picture)
    segment = {"segment": [1.0, 2.0]}
    database = {
        name: {"subset": "training", "annotations": [{**segment, "label": name}]}
        for name in ("one", "two")
    }
    (tmp_path / "list.json").write_text(json.dumps({"database": database}))
    settings = {
        "kind": "activitynet",
        "annotations": str(tmp_path / "list.json"),
        "root": str(tmp_path),
        "num_frames": 10,
        "image_size": (16, 16),
        "rate": 10,
    }
    clips, labels = take(make_data(settings).training(2), 1)[0]
    for clip, label in zip(clips, labels, strict=True):
        seen = clip.mean(axis=(1, 2, 3)).round().astype(int)
        # The only clip of ten frames in the second from 1 to 2.
        assert seen.tolist() == [(10, 100)[label] + 10 + n for n in range(10)]


# === Segments ===


def test_segments_are_clips_of_rising_parts_with_one_draw(video_data):
    data = video_data(segments=4, flip=False, decode_size=(64, 160))
    clips, labels = take(data.training(6, seed=1), 1)[0]
    assert clips.shape == (6, 4, 3, 32, 80, 3) and labels.shape == (6,)
    assert tuple(data.training(6).element_spec[0].shape) == (6, 4, 3, 32, 80, 3)
    # The lower half stands still: every frame of a video sample shows the same crop.
    lower = clips[:, :, :, 20:].astype(int)
    assert np.abs(lower - lower[:, :1, :1]).max() < 16
    assert len({clip[0, 0, 20:].tobytes() for clip in clips}) > 1


def test_each_segment_comes_from_its_part(make_grey_video, grey_numbers):
    example = VideoExample(make_grey_video(count=40), 0)
    dataset = video_clip_dataset([example], 2, image_size=(8, 8), batch_size=60, segments=3)
    seen = grey_numbers(take(dataset, 1)[0][0])
    for part in range(3):
        starts = seen[:, part, 0]
        assert set(starts) == set(range(part * 13, part * 13 + 13))
        np.testing.assert_array_equal(seen[:, part, 1] - starts, 1)


def test_one_segment_is_a_clip(video_data):
    plain = take(video_data().training(2, seed=3), 1)[0]
    one = take(video_data(segments=1).training(2, seed=3), 1)[0]
    np.testing.assert_array_equal(plain[0], one[0])
    assert synthetic_data(segments=1).training(2).element_spec[0].shape[1:] == (
        2,
        16,
        16,
        3,
    )


def test_synthetic_segments_are_parts_of_one_clip():
    long = take(synthetic_data(num_frames=6).training(2, 3, seed=1), 1)[0]
    parts = take(synthetic_data(segments=3).training(2, 3, seed=1), 1)[0]
    assert parts[0].shape == (2, 3, 2, 16, 16, 3)
    np.testing.assert_array_equal(parts[0].reshape(long[0].shape), long[0])
    tested = next(synthetic_data(segments=3).evaluation(3))
    assert tested["clip"].shape == (3, 2, 16, 16, 3)
    with pytest.raises(UserError, match="data.segments takes a whole number from 1"):
        synthetic_data(segments=0)


@pytest.mark.parametrize("kept_bytes", [2**28, 10_000, 0])
def test_test_clips_are_the_same_every_time_kept_or_not(monkeypatch, kept_bytes):
    monkeypatch.setattr("h2s_keras.data.training_data._KEPT_BYTES", kept_bytes)
    data = synthetic_data(test_count=5)
    first, again = list(data.evaluation(2)), list(data.evaluation(2))
    other = next(data.evaluation(5))
    assert [len(batch["label"]) for batch in first] == [2, 2, 1]
    for name in ("clip", "flow", "label"):
        whole = np.concatenate([batch[name] for batch in first])
        np.testing.assert_array_equal(
            np.concatenate([batch[name] for batch in again]), whole
        )
        np.testing.assert_array_equal(other[name], whole)
    # Kept as a whole or not at all.
    assert (first[0]["clip"] is again[0]["clip"]) == (kept_bytes == 2**28)


# === Names ===


def test_names_of_a_batch(video_data, folder):
    data = video_data(segments=2)
    unread = data.training_names(4, 1, seed=5)
    assert all(name.endswith(".avi") for name in unread)
    batches = take(data.training(4, 0, seed=5), 3)
    names = data.training_names(4, 1, seed=5)
    for name, path, label in zip(names, unread, batches[1][1], strict=True):
        assert name.startswith(path + " from frame ")
        assert ("/a/" in name) == (label == 0)
    assert synthetic_data().training_names(3, 2, seed=9) == [
        f"synthetic clip {number}" for number in (6, 7, 8)
    ]


def test_names_tell_the_first_frame_shown(make_grey_video, grey_numbers, tmp_path):
    for label in "ab":
        make_grey_video(f"grey/{label}/0.mkv")
    data = make_data(
        {
            "kind": "videos",
            "root": str(tmp_path / "grey"),
            "num_frames": 2,
            "image_size": (8, 8),
            "max_skip": 5,
        }
    )
    clips, _ = take(data.training(20, seed=2), 1)[0]
    names = data.training_names(20, 0, seed=2)
    told = [int(name.rsplit(" ", 1)[1]) for name in names]
    assert told == grey_numbers(clips)[:, 0].tolist() and len(set(told)) > 5


def test_names_pass_over_bad_files(video_data, folder):
    (folder / "a" / "0.avi").write_bytes(b"")
    data = video_data(on_bad_file="substitute")
    take(data.training(6, seed=1), 1)
    names = data.training_names(6, 0, seed=1)
    assert not any("a/0.avi" in name for name in names)
    assert sum("/a/" in name for name in names) == 3


def test_a_run_that_substitutes_leaves_bad_files_out_of_its_test(video_data, folder):
    (folder / "a" / "0.avi").write_bytes(b"")
    data = video_data(
        on_bad_file="substitute",
        group_pattern=r"(\d)\.avi",
        test_group=0,
        clips_per_video=2,
    )
    (batch,) = data.evaluation(8)
    assert batch["label"].tolist() == [1, 1]


def test_a_bad_file_is_reported_and_hides_no_other_error(video_data, folder):
    (folder / "a" / "0.avi").write_bytes(b"")
    data = video_data(group_pattern=r"(\d)\.avi", test_group=0)
    with pytest.raises(VideoError, match=r"a/0\.avi: is empty") as tested:
        list(data.evaluation(8))
    data = video_data()
    with pytest.raises(tf.errors.OpError) as trained:
        take(data.training(6), 1)
    assert str(data.explain(trained.value)) == str(tested.value)
    # Read ahead, a bad video may have been met when something else goes wrong.
    assert data.report.error is not None
    told = UserError("the loss is not finite")
    assert data.explain(told) is told
    full = tf.errors.ResourceExhaustedError(None, None, "OOM")
    for other in (OSError(28, "disk full"), full):
        assert data.explain(other) is None
        with pytest.raises(type(other)), data.report.user_errors():
            raise other


# === Random temporal skipping ===


def test_random_skipping_draws_one_stride_a_clip(make_grey_video, grey_numbers):
    example = VideoExample(make_grey_video(count=60), 0)
    for stride, expected in ((1, {1, 2, 3}), (2, {2, 4, 6})):
        dataset = video_clip_dataset(
            [example], 4, stride, (8, 8), batch_size=60, max_skip=3
        )
        steps = np.diff(grey_numbers(take(dataset, 1)[0][0]), axis=1)
        assert (steps == steps[:, :1]).all() and set(steps[:, 0]) == expected


def test_skipping_that_may_not_pass_the_end_takes_what_fits(make_grey_video, grey_numbers):
    example = VideoExample(make_grey_video(count=7), 0)
    arguments = dict(image_size=(8, 8), short="refuse", max_skip=9, batch_size=20)
    dataset = video_clip_dataset([example], 4, **arguments)
    steps = np.diff(grey_numbers(take(dataset, 1)[0][0]), axis=1)
    assert set(steps.ravel()) == {1, 2}
    report = ClipReport()
    short = video_clip_dataset([example], 8, report=report, **arguments)
    with pytest.raises(UserError, match="7 frames"), report.user_errors():
        take(short, 1)


def test_as_many_videos_are_decoded_at_a_time_as_asked_for(video_data, monkeypatch):
    asked, plain = [], tf.data.Dataset.map

    def noting(dataset, function, **options):
        if options:
            asked.append(options["num_parallel_calls"])
        return plain(dataset, function, **options)

    monkeypatch.setattr(tf.data.Dataset, "map", noting)
    monkeypatch.setattr("h2s_keras.data.clips.video_clips.usable_cores", lambda: 7)
    for settings in ({}, {"num_parallel_calls": 5}):
        data = video_data(group_pattern=r"(\d)\.avi", test_group=0, **settings)
        data.training(2)
        next(data.evaluation(2))
    assert asked == [7, 7, 5, 5]


@pytest.mark.parametrize("name", ["segments", "max_skip", "rate", "num_parallel_calls"])
def test_bad_numbers(make_video, name):
    with pytest.raises(UserError, match=name):
        video_clip_dataset([VideoExample("a", 0)], 2, **{name: 0})
