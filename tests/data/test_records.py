"""Packing, verifying and reading records."""

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import tempfile
import types

import numpy as np
import pytest
import tensorflow as tf
from data.record_videos import folder_list, plan_of, record_clips

from h2s_keras.cli.data import write_csv
from h2s_keras.data import (
    VideoExample,
    class_folder_source,
    csv_source,
    read_frames,
    write_png,
)
from h2s_keras.data.clips import crops, sampling
from h2s_keras.data.clips.sampling import StatelessDraws
from h2s_keras.data.datasets.dataset_list import DatasetList
from h2s_keras.data.records import record_format, record_writer
from h2s_keras.data.records.file_systems import file_errors
from h2s_keras.data.records.pack import begin, pack_records
from h2s_keras.data.records.packing import PackSettings, list_plan, synthetic_plan
from h2s_keras.data.records.record_clips import epoch_place
from h2s_keras.data.records.record_data import RecordData
from h2s_keras.data.records.record_format import (
    crop_jpegs,
    decode_flow,
    encode_flow,
    flow_as_uint8,
)
from h2s_keras.data.records.record_index import read_index, verify_shard
from h2s_keras.data.records.record_writer import PackingStopped, merged, thinned
from h2s_keras.data.synthetic.action_clips import CLASS_NAMES, SyntheticClips
from h2s_keras.data.training_data import make_data
from h2s_keras.data.video import decoder
from h2s_keras.errors import FileError, UserError, VideoError
from h2s_keras.files import alone_in
from h2s_keras.ops import flow_to_uint8

SIZE = {"num_frames": 5, "image_size": (48, 48)}


@pytest.fixture
def listed(make_video, tmp_path):
    return folder_list(make_video, tmp_path)


@pytest.fixture
def packed(listed, tmp_path):
    return pack_records(plan_of(listed, tmp_path), str(tmp_path / "out"))


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Synthetic clips packed with their true flow."""
    out = tmp_path_factory.mktemp("moving")
    clips = {"num_frames": 5, "image_size": (64, 64), "seed": 3}
    settings = PackSettings(flow="true", quality=100, frames_per_record=2)
    return pack_records(
        synthetic_plan(clips, 6, 2, CLASS_NAMES, settings, 2), str(out / "r")
    )


def batches(dataset, count=None):
    taken = itertools.islice(dataset, count)
    return [tf.nest.map_structure(lambda value: value.numpy(), batch) for batch in taken]


def uncropped(clip):
    """The clip of 56x140 with a border, where the frames' numbers are looked for."""
    return np.pad(clip, ((0, 0), (4, 4), (10, 10), (0, 0)), "edge")


def same(left, right):
    left, right = tf.nest.flatten(left), tf.nest.flatten(right)
    return len(left) == len(right) and all(map(np.array_equal, left, right))


# === Packing ===


def test_what_was_packed_is_what_the_videos_hold(packed, listed, numbers_of):
    assert packed.counts()["train"] == 6 and packed.counts()["shards"] == 2
    assert packed.class_names == ["jump", "run"]
    for example, item in zip(packed.examples(), listed.train, strict=True):
        assert example["label"] == item.label and example["rate"] == 25
        path = packed.shard_paths()[example["shard"]]
        frames = []
        for record in tf.data.TFRecordDataset(path):
            context, lists = tf.io.parse_single_sequence_example(
                record,
                {"h2s/example": tf.io.FixedLenFeature((), tf.int64)},
                {"image/encoded": tf.io.FixedLenSequenceFeature((), tf.string)},
            )
            if int(context["h2s/example"]) == example["number"]:
                frames += [tf.io.decode_jpeg(x).numpy() for x in lists["image/encoded"]]
        assert numbers_of(frames) == list(range(len(frames)))
        expected = read_frames(item.path)
        assert np.abs(np.stack(frames).astype(int) - expected).mean() < 2
        assert len(example["offsets"]) == -(-len(frames) // 16)


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(packed, listed, tmp_path):
    out = str(tmp_path / "second")
    seen = []

    def stop_after_four(examples):
        seen.append(examples)
        if len(seen) == 4:
            raise PackingStopped

    plan = plan_of(listed, tmp_path)
    with pytest.raises(PackingStopped):
        pack_records(plan, out, workers=1, done=stop_after_four)
    names = sorted(os.listdir(out))
    shards = [name for name in names if name.endswith(".tfrecord")]
    assert shards == ["shard-00000-of-00002.tfrecord"]
    with pytest.raises(FileError, match=r"unfinished \(1 of 2.*run the same h2s data pack"):
        read_index(out)
    # What a killed process leaves behind.
    (tmp_path / "second" / ".h2s-dead.part").write_bytes(b"half")
    before = os.stat(os.path.join(out, shards[0])).st_mtime_ns
    with pytest.raises(FileError, match=r"other settings \(quality 95, now 50\)"):
        pack_records(plan_of(listed, tmp_path, quality=50), out)
    again = pack_records(plan, out, workers=1)
    assert os.stat(os.path.join(out, shards[0])).st_mtime_ns == before
    assert again.shards == packed.shards
    assert sorted(os.listdir(out)) == ["index.json", *(s["name"] for s in again.shards)]


def test_a_damaged_shard_is_named_and_alone_made_again(packed, listed, tmp_path):
    assert all(verify_shard(packed, shard).problem is None for shard in packed.shards)
    path = packed.shard_paths()[1]
    content = bytearray(open(path, "rb").read())
    content[packed.shards[1]["bytes"] // 2] ^= 1
    open(path, "wb").write(content)
    for quick in (True, False):
        problem = verify_shard(packed, packed.shards[1], quick).problem
        assert path in problem and "h2s data pack" in problem and "\n" not in problem
        assert verify_shard(packed, packed.shards[0], quick).problem is None
    assert "record " in problem and ".avi" in problem
    data = RecordData({"root": packed.root, **SIZE, "num_parallel_calls": 1})
    data.test = data.train
    with pytest.raises(UserError, match="h2s data verify records"):
        list(data.evaluation(4))
    os.unlink(path)
    assert "is missing" in verify_shard(packed, packed.shards[1]).problem
    kept = os.stat(packed.shard_paths()[0]).st_mtime_ns
    assert pack_records(plan_of(listed, tmp_path), packed.root).shards == packed.shards
    assert os.stat(packed.shard_paths()[0]).st_mtime_ns == kept


def test_names_that_are_no_utf8_survive_lists_and_records(make_video, tmp_path):
    for name in ("a/1.avi", "b/1.avi"):
        path = make_video("videos/" + name, 4, "mpeg4")
    odd = os.fsdecode(os.fsencode(os.path.dirname(path)) + b"/caf\xe9.avi")
    try:
        os.rename(path, odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    examples, names = class_folder_source(tmp_path / "videos")
    table = tmp_path / "videos.csv"
    write_csv(table, DatasetList("odd", names, (), examples), "test")
    examples, _ = csv_source(table)
    assert examples[1].path == odd
    plan = plan_of(DatasetList("odd", names, examples, ()), tmp_path)
    index = read_index(pack_records(plan, str(tmp_path / "out")).root)
    assert index.examples()[1]["name"] == os.path.relpath(odd, tmp_path / "videos")
    assert all(verify_shard(index, shard).problem is None for shard in index.shards)
    content = b"".join(open(path, "rb").read() for path in index.shard_paths())
    assert b"b/caf\xe9.avi" in content


def test_bad_videos_stop_the_packing_or_are_listed(listed, tmp_path):
    bad = tmp_path / "videos" / "bad.avi"
    content = open(listed.train[0].path, "rb").read()
    bad.write_bytes(content[: len(content) * 2 // 3])
    both = DatasetList(
        "x", listed.class_names, (*listed.train, VideoExample(str(bad), 0)), ()
    )
    with pytest.raises(VideoError, match=r"bad\.avi"):
        pack_records(plan_of(both, tmp_path), str(tmp_path / "a"))
    index = pack_records(plan_of(both, tmp_path, on_bad_file="skip"), str(tmp_path / "b"))
    assert [item["path"] for item in index.bad_files] == [str(bad)]
    assert index.counts()["train"] == 6
    again = pack_records(plan_of(both, tmp_path, on_bad_file="skip"), str(tmp_path / "b"))
    assert again.shards == index.shards
    # Nothing of the frames before the break is left in a shard.
    assert all(verify_shard(index, shard).problem is None for shard in index.shards)


def test_other_examples_do_not_go_into_a_finished_folder(packed, listed, tmp_path):
    one, *others = listed.train
    cases = (
        ([dataclasses.replace(one, label=1), *others], r"jump/0.avi: label 0, now 1"),
        ([dataclasses.replace(one, group="g"), *others], "0.avi: group None, now 'g'"),
        ([dataclasses.replace(one, start=0.0, end=1.0), *others], "start None, now 0.0"),
        ([dataclasses.replace(one, frames=9), *others], "only_frames None, now 9"),
        ([*others, one], "jump/0.avi: name 'jump/0.avi', now 'jump/1.avi'"),
        ([one, *others, dataclasses.replace(one, start=0.0, end=1.0)], "6, now 7"),
        (others, "6, now 5"),
    )
    for train, text in cases:
        other = DatasetList(listed.name, listed.class_names, tuple(train), ())
        with pytest.raises(FileError, match=f"other examples .*{text}.*or a new folder"):
            pack_records(plan_of(other, tmp_path), packed.root)
    tested = DatasetList(listed.name, listed.class_names, (), listed.train)
    with pytest.raises(FileError, match=r"parts \['train'\], now \['test'\]"):
        pack_records(plan_of(tested, tmp_path), packed.root)
    assert pack_records(plan_of(listed, tmp_path), packed.root).shards == packed.shards


def test_what_may_change_meanwhile_is_written_for_every_worker(listed, tmp_path):
    out = str(tmp_path / "out")
    begin(plan_of(listed, tmp_path), out)
    begin(plan_of(listed, tmp_path, on_bad_file="skip", timeout=9), out)
    settings = json.loads((tmp_path / "out" / "packing.json").read_text())["settings"]
    assert (settings["on_bad_file"], settings["timeout"]) == ("skip", 9)


def test_two_packers_do_not_share_a_folder(packed, listed, tmp_path):
    with alone_in(packed.root):
        with pytest.raises(FileError, match="another process packs into it"):
            pack_records(plan_of(listed, tmp_path), packed.root)
    assert pack_records(plan_of(listed, tmp_path), packed.root).shards == packed.shards


def test_segments_of_one_video_and_several_splits(make_video, tmp_path, numbers_of):
    path = make_video("long.avi", 100, "mpeg4")
    one = VideoExample(path, 0, start=1.0, end=2.0)
    two = VideoExample(path, 1, start=1.6, end=3.2)
    first = DatasetList("s", ("a", "b"), (one,), (two,))
    second = DatasetList("s", ("a", "b"), (two,), (one,))
    plan = list_plan({"1": first, "2": second}, None, PackSettings(), 4)
    index = pack_records(plan, str(tmp_path / "out"))
    assert [e["frames"] for e in index.examples()] == [25, 40]
    assert index.examples("2", "train")[0]["label"] == 1
    with pytest.raises(UserError, match="split 1, 2, not 3"):
        index.examples(3)
    clips = record_clips(index, index.examples(), 20, image_size=(56, 140))
    shown, _, _ = batches(clips.testing(2))[0]
    assert [numbers_of(uncropped(clip)) for clip in shown] == [
        list(range(25, 45)),
        list(range(40, 60)),
    ]
    assert merged([range(5, 9), range(0, 3), range(8, 12)]) == [range(0, 3), range(5, 12)]


def test_folders_that_hold_something_else_are_refused(tmp_path, listed):
    with pytest.raises(FileError, match="holds no records"):
        read_index(str(tmp_path / "nothing"))
    with pytest.raises(FileError, match="is not empty and holds no records"):
        pack_records(plan_of(listed, tmp_path), str(tmp_path / "videos"))
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps({"format": "else"}))
    with pytest.raises(FileError, match="not the index of packed records"):
        read_index(str(folder))
    if "s3" not in tf.io.gfile.get_registered_schemes():
        with pytest.raises(UserError, match=r"pip install 'h2s_keras\[io\]'"):
            read_index("s3://bucket/records")


# === Sampling in the graph ===


def test_crops_are_the_published_ones():
    size = tuple(tf.constant(side, tf.int64) for side in (256, 340))
    draws = (StatelessDraws(tf, 1, n) for n in range(400))
    found = [crops.random_crop_box(size, (224, 224), draw) for draw in draws]
    found = {tuple(map(int, box)) for box in found}
    generator = np.random.default_rng(0)
    expected = {
        crops.random_crop_box((256, 340), (224, 224), generator) for _ in range(4000)
    }
    assert found == expected
    for size in ((256, 340), (37, 5), (240, 320)):
        for image_size in ((112, 200), size):
            tensors = [tf.constant(side, tf.int64) for side in size]
            box = tuple(map(int, crops.centre_crop_box(tensors, image_size)))
            assert box == crops.centre_crop_box(size, image_size)


@pytest.mark.parametrize(
    "count, short", [(30, "loop"), (6, "loop"), (6, "hold"), (9, "hold")]
)
def test_clips_begin_where_those_of_videos_do(count, short):
    frames = tf.constant(count, tf.int64)
    found, expected = collections.Counter(), collections.Counter()
    generator = np.random.default_rng(0)
    for number in range(300):
        draw = StatelessDraws(tf, 2, number)
        found[tuple(sampling.random_clip_indices(frames, 4, 2, draw, short).numpy())] += 1
        clip = sampling.random_clip_indices(count, 4, 2, generator, short)
        expected[tuple(clip)] += 1
    assert set(found) == set(expected)
    found, expected = set(), set()
    for number in range(200):
        draw = StatelessDraws(tf, 3, number)
        clips = sampling.segment_clip_indices(frames, 2, 1, 3, draw, short).numpy()
        found |= {(part, *clip) for part, clip in enumerate(clips.tolist())}
        clips = sampling.segment_clip_indices(count, 2, 1, 3, generator, short)
        expected |= {(part, *clip) for part, clip in enumerate(clips.tolist())}
    assert found == expected


def test_every_epoch_is_a_permutation_of_its_own():
    orders = [
        tuple(
            int(epoch_place(tf.constant(n, tf.int64), 13, 5))
            for n in range(first, first + 13)
        )
        for first in (0, 13, 26)
    ]
    assert all(sorted(order) == list(range(13)) for order in orders)
    assert len(set(orders)) == 3


# === Reading ===


def test_the_stream_is_a_function_of_the_seed_alone(packed):
    data = RecordData({"root": packed.root, **SIZE})
    whole = batches(data.training(3, seed=4), 6)
    assert whole[0][0].shape == (3, 5, 48, 48, 3) and whole[0][0].dtype == np.uint8
    assert whole[0][1].dtype == np.int32
    assert same(whole[4:], batches(data.training(3, start_step=4, seed=4), 2))
    other = RecordData({"root": packed.root, **SIZE, "num_parallel_calls": 5})
    assert same(whole, batches(other.training(3, seed=4), 6))
    assert not same(whole, batches(data.training(3, seed=5), 6))
    # Three epochs of 6 examples, each once.
    assert collections.Counter(data.training_names(18, 0, 4)).most_common(1)[0][1] == 3
    halves = [batches(data.training(6, seed=4, process=h, processes=2), 2) for h in (0, 1)]
    for step in range(2):
        joined = np.concatenate([halves[0][step][0], halves[1][step][0]])
        assert np.array_equal(
            joined, np.concatenate([whole[2 * step][0], whole[2 * step + 1][0]])
        )


def test_frames_of_a_clip_are_neighbours_and_cropped_alike(packed, numbers_of):
    data = RecordData({"root": packed.root, "num_frames": 8, "image_size": (64, 160)})
    clips = record_clips(packed, packed.examples(), 8, image_size=(56, 140))
    shown, labels, places = batches(clips.testing(6, 2))[0]
    assert places.tolist() == [0, 0, 1, 1, 2, 2] and labels.tolist() == [0] * 6
    starts = [numbers_of(uncropped(clip)) for clip in shown]
    # 40 frames leave room for 32 more starts; half of it is 16, in another record.
    assert starts[:2] == [list(range(8)), list(range(16, 24))]
    clips, _ = batches(data.training(12), 1)[0]
    lower = clips[:, :, 40:].astype(int)
    assert np.abs(lower - lower[:, :1]).mean() < 2
    assert len({clip[0, 40:].tobytes() for clip in clips}) >= 5


def test_cropping_and_shrinking_agree_with_the_video_path():
    noise = np.random.default_rng(0).uniform(0, 255, (9, 12, 3))
    frame = (
        tf.image.resize(noise, (256, 340), "bicubic").numpy().clip(0, 255).astype("uint8")
    )
    jpeg = tf.io.encode_jpeg(frame, quality=100)
    decoded = tf.io.decode_jpeg(jpeg).numpy()[None]
    for box, size, ratio in (
        ((16, 58, 224, 224), (224, 224), 1),
        ((0, 84, 256, 256), (224, 224), 1),
        ((10, 20, 192, 224), (224, 224), 1),
        ((0, 20, 256, 200), (64, 50), 1),
        ((16, 58, 224, 224), (112, 112), 2),
    ):
        expected = crops.crop_frames(decoded, box, size, False)
        shrunk = tf.constant(box, tf.int64) // ratio
        found = crop_jpegs(tf.stack([jpeg]), shrunk, size, ratio).numpy()
        assert np.abs(found.astype(int) - expected).mean() < 1.0
        assert np.abs(found[:, :, ::-1].astype(int) - expected).mean() > 5


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["demo.mp4", "test.avi", "flipping_a_pancake.mkv"])
def test_plain_sampling_is_near_averaging_where_it_is_taken(real_data, name):
    frames = read_frames(real_data("videos", name), [10, 30], size=256).astype("float32")
    differences = []
    for ratio in (8 / 7, record_format._AVERAGE_ABOVE, 2.0):
        side = min(frames.shape[1:3])
        image_size = (round(side / ratio),) * 2
        square = frames[:, :side, :side]
        averaged = tf.image.resize(square, image_size, antialias=True)
        plain = tf.image.resize(square, image_size)
        differences.append(float(tf.reduce_mean(tf.abs(plain - averaged))))
        taken = record_format.resize(square, tf.constant([side, side]), image_size)
        nearer = plain if ratio <= record_format._AVERAGE_ABOVE + 0.01 else averaged
        np.testing.assert_array_equal(taken, nearer)
    assert differences[0] < 0.5 and differences[1] < 0.7 < differences[2]


def test_segments_and_groups(packed):
    settings = {"root": packed.root, **SIZE, "segments": 3, "max_skip": 2}
    grouped = {"group_pattern": r"(\d)\.avi", "test_group": "1", "clips_per_video": 2}
    data = make_data({"kind": "records", **settings, **grouped})
    assert len(data.train) == 4 and len(data.test) == 2
    whole = make_data({"kind": "records", **settings, **grouped, "test_group": None})
    assert "1" in whole.groups and whole.groups == data.groups and len(data.groups) == 3
    clips, _ = batches(data.training(2), 1)[0]
    assert clips.shape == (2, 3, 5, 48, 48, 3)
    tested = list(data.evaluation(3))
    assert sum(len(batch["label"]) for batch in tested) == 4
    assert tested[0]["clip"].shape == (3, 5, 48, 48, 3)


def test_records_are_augmented_as_videos_are(packed):
    settings = {"root": packed.root, **SIZE, "segments": 2}
    augmented = {
        "flip_map": {"jump": "run"},
        "color_jitter": {"brightness": 0.4, "hue": 0.2},
        "rand_augment": {"operations": 1},
    }
    data, plain = RecordData({**settings, **augmented}), RecordData(settings)
    whole = batches(data.training(6, seed=4), 4)
    assert whole[0][0].shape == (6, 2, 5, 48, 48, 3) and whole[0][0].dtype == np.uint8
    assert same(whole[2:], batches(data.training(6, start_step=2, seed=4), 2))
    unchanged = batches(plain.training(6, seed=4), 4)
    labels, shown = (np.concatenate([b[1] for b in part]) for part in (whole, unchanged))
    # The same draws of frames, crop and mirror; about half of the labels change.
    assert 0.2 < np.mean(labels != shown) < 0.8
    assert not np.array_equal(whole[0][0], unchanged[0][0])
    # The lower half stands still, and every frame of a clip is coloured alike.
    jittered = RecordData({**settings, "color_jitter": augmented["color_jitter"]})
    lower = batches(jittered.training(6, seed=4), 1)[0][0][:, :, :, 30:].astype(int)
    assert np.abs(lower - lower[:, :1, :1]).mean() < 4
    kept = RecordData({**settings, "no_flip_classes": ["jump", "run"]})
    off = RecordData({**settings, "flip": False})
    pairs = zip(
        batches(kept.training(6), 1)[0], batches(off.training(6), 1)[0], strict=True
    )
    assert all(np.array_equal(one, other) for one, other in pairs)
    with pytest.raises(UserError, match="no class 'fly'"):
        RecordData({**settings, "flip_map": {"fly": "run"}}).training(2)


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"num_frames": 0}, "`num_frames` must be 1 or more"),
        ({"num_frames": 60, "short": "refuse"}, r"avi: the video has 40 frames"),
        ({"short": "x"}, "`short` must be one of"),
        ({"contents": "flow"}, "no flow was stored"),
        ({"contents": "x"}, "`contents` must be one of"),
        ({"image_size": (3,)}, "height, width"),
    ],
)
def test_settings_that_do_not_fit_are_reported(packed, settings, text):
    data = RecordData({"root": packed.root, **SIZE, **settings})
    with pytest.raises(UserError, match=text):
        data.training(2)


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"split": 2}, "packed with the split 1, not 2; ask for what is there"),
        ({"test_root": "x", "test_group": "1"}, "test_root and data.test_group both say"),
    ],
)
def test_settings_of_another_kind_of_test_are_reported(packed, settings, text):
    with pytest.raises(UserError, match=text):
        RecordData({"root": packed.root, **SIZE, **settings})


def test_made_up_clips_have_no_split(moving):
    assert len(RecordData({"root": moving.root, **SIZE, "split": 1}).train) == 6


# === Stored flow ===


@pytest.mark.parametrize("flow_format, error", [("uint8", 0.0785), ("float16", 0.008)])
def test_flow_survives_storing(flow_format, error):
    flow = np.random.default_rng(0).uniform(-19, 19, (12, 17, 2)).astype("float32")
    revived = decode_flow(encode_flow(flow, flow_format), 12, 17, flow_format).numpy()
    assert np.abs(revived - flow).max() <= error
    wide = np.linspace(-30, 30, 400, dtype="float32").reshape(10, 20, 2)
    np.testing.assert_allclose(flow_as_uint8(wide), np.asarray(flow_to_uint8(wide)), atol=1)
    assert flow_as_uint8(wide).min() == 0 and flow_as_uint8(wide).max() == 255


def test_stored_flow_is_that_of_the_clip_and_negated_with_a_flip(moving):
    made = SyntheticClips(num_frames=5, image_size=(64, 64), seed=3)
    clips = record_clips(
        moving, moving.examples(part="train"), 5, contents="both", image_size=(64, 64)
    )
    loaded, labels = batches(clips.training(60), 1)[0]
    truth = [made.example(number) for number in range(6)]
    names = clips.names(60, 0)
    checked = set()
    for clip, flow, label, name in zip(
        loaded["clip"], loaded["flow"], labels, names, strict=True
    ):
        true = truth[int(name[-6:])]
        assert label == int(true["label"])
        for mirrored in (False, True):
            expected, field = true["clip"].numpy(), true["flow"].numpy()
            if mirrored:
                expected, field = expected[:, :, ::-1], field[:, :, ::-1] * (-1, 1)
            if np.abs(clip.astype(int) - expected).mean() < 8:
                assert np.abs(flow - field).max() < 0.09
                checked.add(mirrored)
    assert checked == {False, True}


def test_flow_is_scaled_with_the_crop(moving):
    clips = record_clips(
        moving, moving.examples(), 3, contents="flow", image_size=(28, 112)
    )
    flow, labels, _ = batches(clips.testing(1))[0]
    assert flow.shape == (1, 2, 28, 112, 2)
    true = SyntheticClips(num_frames=5, image_size=(64, 64), seed=3).example(0)["flow"]
    top, left, rows, columns = crops.centre_crop_box((64, 64), (28, 112))
    inner = true.numpy()[:2, top : top + rows, left : left + columns]
    ratio = np.array([112 / columns, 28 / rows])
    expected = tf.image.resize(inner, (28, 112)).numpy() * ratio
    assert np.abs(flow[0] - expected).mean() < 0.1
    assert np.abs(flow[0] / ratio - expected).mean() > 0.2


def test_flow_across_a_cut_is_zero(moving):
    clips = record_clips(moving, moving.examples(), 7, contents="flow", image_size=(32, 32))
    flow, _, _ = batches(clips.testing(1))[0]
    still = [float(np.abs(field).max()) == 0 for field in flow[0]]
    assert still == [False] * 4 + [True, False]
    with pytest.raises(UserError, match="stride 1"):
        record_clips(moving, moving.examples(), 3, stride=2, contents="flow")


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_opencv_flow_is_stored(listed, tmp_path, method):
    pytest.importorskip("cv2", reason="needs opencv (extra flow)")
    index = pack_records(plan_of(listed, tmp_path, flow=method), str(tmp_path / "f"))
    found = [verify_shard(index, shard) for shard in index.shards]
    assert sum(shard.flows for shard in found) == index.counts()["frames"] - 6
    assert all(shard.problem is None for shard in found)


def test_every_nth_frame_is_packed_with_the_flow_between_those(
    make_video, tmp_path, numbers_of
):
    path = str(make_video("videos/run/a.avi", 40, "mpeg4"))
    examples = [
        VideoExample(path, 0),
        VideoExample(path, 0, start=0.2, end=1.0),  # frames 5 to 24
    ]
    plan = plan_of(
        DatasetList("numbers", ["run"], examples, ()),
        tmp_path,
        flow="farneback",
        flow_format="float16",
        stride=4,
    )
    # Flow that tells which frames it was made of: their numbers, as x and y.
    index = pack_records(
        plan,
        str(tmp_path / "out"),
        flow_estimator=lambda method: numbers_as_flow(numbers_of),
    )
    whole, segment = index.examples()
    assert (whole["frames"], segment["frames"]) == (10, 5) and whole["rate"] == 25 / 4
    assert all(verify_shard(index, shard).problem is None for shard in index.shards)
    for example, numbers in ((whole, range(0, 40, 4)), (segment, range(8, 25, 4))):
        clips = record_clips(index, [example], len(numbers), contents="both")
        loaded = batches(clips.testing(1))[0][0]
        assert numbers_of(read_frames(path)[numbers]) == list(numbers)
        pairs = list(itertools.pairwise(numbers))
        centre = loaded["flow"][0, :, 112, 112]
        scale = centre[1] / pairs[1]
        np.testing.assert_allclose(centre, pairs * scale, rtol=1e-2, atol=1e-2)
        assert abs(scale).min() > 0.5


def test_a_segment_shorter_than_the_stride_gets_the_two_frames_around_it(
    make_video, tmp_path, numbers_of
):
    path = str(make_video("videos/run/a.avi", 40, "mpeg4"))
    starts = (0.0, 0.36, 1.52)  # frames 0, 9 and 38, two each
    examples = [VideoExample(path, 0, start=at, end=at + 0.08) for at in starts]
    plan = plan_of(DatasetList("numbers", ["run"], examples, ()), tmp_path, stride=4)
    index = pack_records(plan, str(tmp_path / "out"))
    clips = record_clips(index, index.examples(), 2, image_size=(56, 140))
    shown = batches(clips.testing(3))[0][0]
    numbers = [numbers_of(uncropped(clip)) for clip in shown]
    assert numbers == [[0, 4], [8, 12], [32, 36]]
    assert thinned(range(3), 4, 3) == range(1)
    assert thinned(range(5, 25), 4, 40) == range(2, 7)


def numbers_as_flow(numbers_of):
    def estimate(frames):
        for one, two in itertools.pairwise(frames):
            flow = np.zeros((*one.shape[:2], 2), "float32")
            yield flow + numbers_of([one, two])

    return estimate


def test_records_of_before_a_setting_was_known_go_on(packed, listed, tmp_path):
    """A finished folder whose index lacks the stride is that of stride 1."""
    path = os.path.join(packed.root, "index.json")
    content = json.loads(open(path).read())
    del content["settings"]["stride"]
    with open(path, "w") as file:
        json.dump(content, file)
    again = pack_records(plan_of(listed, tmp_path), packed.root)
    assert again.shards == packed.shards
    with pytest.raises(FileError, match="stride 1, now 2"):
        pack_records(plan_of(listed, tmp_path, stride=2), packed.root)


def test_the_timeout_of_segments_is_one_from_frame_to_frame(
    make_video, tmp_path, monkeypatch
):
    clock = itertools.count()
    ticking = types.SimpleNamespace(monotonic=lambda: float(next(clock)))
    example = VideoExample(make_video("long.avi", 100, "mpeg4"), 0, start=1.0, end=2.0)
    listed = DatasetList("s", ("a", "b"), (example,), ())
    plan = list_plan({"1": listed}, None, PackSettings(timeout=20), 1)
    monkeypatch.setattr(decoder, "time", ticking)
    index = pack_records(plan, str(tmp_path / "out"))
    assert index.counts()["frames"] == 25 and next(clock) > 100


def test_folders_of_frames_are_packed_at_the_rate_they_were_extracted_at(tmp_path):
    for number in range(30):
        picture = np.full((16, 16, 3), 8 * number, np.uint8)
        write_png(make_folder(tmp_path / "video") / f"{number:03d}.png", picture)
    path = str(tmp_path / "video")
    examples = (VideoExample(path, 0, start=1.0, end=2.0), VideoExample(path, 1))
    listed = DatasetList("s", ("a", "b"), examples, ())
    plan = list_plan({"1": listed}, None, PackSettings(rate=10), 1)
    index = pack_records(plan, str(tmp_path / "out"))
    segment, whole = index.examples()
    assert (segment["frames"], whole["frames"]) == (10, 30)
    assert segment["rate"] == whole["rate"] == 10
    clips = record_clips(index, index.examples(), 10, image_size=(16, 16))
    shown = batches(clips.testing(2))[0][0][0].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(shown, 8 * np.arange(10, 20), atol=2)


def make_folder(path):
    path.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize("base", [None, "lists"])
def test_videos_of_one_name_keep_their_folders(make_video, tmp_path, base):
    paths = [make_video(f"{label}/person1.avi", 12, "mpeg4") for label in ("run", "jump")]
    examples = tuple(VideoExample(path, label) for label, path in enumerate(paths))
    listed = DatasetList("s", ("run", "jump"), examples, ())
    root = None if base is None else str(tmp_path / base)
    index = pack_records(
        list_plan({"1": listed}, root, PackSettings(), 1), str(tmp_path / "out")
    )
    names = [example["name"] for example in index.examples()]
    assert names == ["run/person1.avi", "jump/person1.avi"]
    assert index.counts()["videos"] == 2


@contextlib.contextmanager
def longest_file(size):
    """No file may grow beyond so many bytes, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_is_reported_in_a_line_and_packing_goes_on(
    listed, tmp_path, monkeypatch
):
    plan, out = plan_of(listed, tmp_path, shards=1), tmp_path / "out"
    with longest_file(1 << 16), pytest.raises(FileError) as caught:
        pack_records(plan, str(out))
    assert str(caught.value).startswith(f"{out}{os.sep}shard-00000-of-00001.tfrecord: ")
    assert "cannot be read or written (" in str(caught.value)
    monkeypatch.setattr(record_writer, "_MEMORY", 1000)
    with longest_file(1 << 12), pytest.raises(FileError, match="set TMPDIR") as caught:
        pack_records(plan, str(out))
    assert caught.value.path == tempfile.gettempdir()
    monkeypatch.undo()
    assert pack_records(plan, str(out)).counts()["train"] == 6


def test_no_space_left_says_what_to_do(tmp_path):
    path = str(tmp_path / "shard")
    for error in (
        OSError(28, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
    ):
        with pytest.raises(FileError, match="shard: .*No space left.*free some space"):
            with file_errors(path):
                raise error
