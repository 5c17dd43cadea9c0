"""`h2s data pack` as users run it: killed in the middle, and with learned flow."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from data.record_videos import folder_list

from h2s_keras.cli.main import build_parser
from h2s_keras.data import read_frames
from h2s_keras.data.records.record_format import decode_flow, parse_frames
from h2s_keras.data.records.record_index import read_index
from h2s_keras.errors import FileError, UserError
from h2s_keras.models import MotionNet


def pack(*arguments):
    """The command in this process."""
    parsed = build_parser().parse_args(["data", "pack", *map(str, arguments)])
    assert parsed.run(parsed) == 0


def whole_files(folder):
    """dict of name to bytes of what a reader may take for something."""
    return {
        path.name: path.read_bytes()
        for path in pathlib.Path(folder).iterdir()
        if not path.name.startswith(".")
    }


def test_a_killed_pack_leaves_whole_shards_only_and_goes_on(make_video, tmp_path):
    folder_list(make_video, tmp_path, per_class=2, count=250)
    common = ("folders", "--root", tmp_path / "videos", "--shards", 4, "--workers", 1)
    pack(*common, "--out", tmp_path / "reference")
    reference = whole_files(tmp_path / "reference")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "h2s_keras_command", "data", "pack", *common]
    process = subprocess.Popen(
        [*map(str, command), "--out", str(out)], stderr=subprocess.PIPE, text=True
    )
    # Until a shard is whole and another one begun.
    limit = time.monotonic() + 120
    while time.monotonic() < limit and process.poll() is None:
        names = [path.name for path in out.iterdir()] if out.is_dir() else []
        done = sum(name.endswith(".tfrecord.json") for name in names)
        if done and any(
            path.stat().st_size > 0 for path in out.glob(".h2s-*.part") if path.exists()
        ):
            process.kill()
            break
        time.sleep(0.001)
    error = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, error

    left = whole_files(out)
    shards = [name for name in left if name.endswith(".tfrecord")]
    assert 1 <= len(shards) < 4 and "index.json" not in left
    for name in shards:
        assert left[name] == reference[name]
    assert list(out.glob(".h2s-*.part")), "it was killed between two shards"
    with pytest.raises(FileError, match="unfinished.*run the same h2s data pack"):
        read_index(str(out))

    kept = {name: (out / name).stat().st_mtime_ns for name in shards}
    pack(*common, "--out", out)
    assert whole_files(out) == reference and not list(out.glob(".*"))
    assert {name: (out / name).stat().st_mtime_ns for name in shards} == kept


@pytest.fixture(scope="module")
def motion_file(tmp_path_factory):
    """A tiny MotionNet, untrained but of lively flow."""
    keras.utils.set_random_seed(3)
    net = MotionNet(num_frames=3, variant="tiny")
    noise = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 160, 3)).astype("uint8")
    spread = net.estimate_flow(noise).std()
    kernel = next(w for w in net.weights if w.path.endswith("flow_head/flow2/kernel"))
    kernel.assign(kernel * (3 / spread))
    path = tmp_path_factory.mktemp("motion") / "motion.keras"
    net.save(path)
    return net, path


def test_learned_flow_is_stored(make_video, tmp_path, motion_file):
    net, path = motion_file
    listed = folder_list(make_video, tmp_path, per_class=1, count=7)
    root = tmp_path / "videos"
    packing = ("folders", "--root", root, "--flow", path, "--flow_format", "float16")
    pack(*packing, "--out", tmp_path / "out", "--shards", 1)
    index = read_index(str(tmp_path / "out"))
    assert index.settings["flow"] == str(path)
    records = list(tf.data.TFRecordDataset(index.shard_paths()))
    assert len(records) == 2
    frames_of = {read_frames(item.path).shape[0]: item.path for item in listed.train}
    for record in records:
        _, flows = parse_frames(record[None], with_flow=True)
        stored = [decode_flow(flow, 64, 160, "float16").numpy() for flow in flows]
        frames = read_frames(frames_of[len(stored) + 1])
        clips = np.stack([frames[first : first + 3] for first in (0, 2, 4)])
        expected = net.estimate_flow(clips).reshape(6, 64, 160, 2)
        assert expected.std() > 0.5
        np.testing.assert_allclose(stored, expected, atol=0.02, rtol=2e-3)


def test_another_model_under_the_same_name_is_noticed(make_video, tmp_path, motion_file):
    net, path = motion_file
    folder_list(make_video, tmp_path, per_class=1, count=7)
    model, out = tmp_path / "motion.keras", tmp_path / "out"
    shutil.copy(path, model)
    packing = ("folders", "--root", tmp_path / "videos", "--flow", model, "--out", out)
    pack(*packing, "--shards", 1)
    pack(*packing, "--shards", 1)
    index = read_index(str(out))
    assert len(index.settings["flow_sha256"]) == 64
    MotionNet(num_frames=3, variant="tiny").save(model)
    with pytest.raises(FileError, match="other settings .flow_sha256 .*a new folder"):
        pack(*packing, "--shards", 1)
    # A folder of before this was kept is gone on with.
    del index.settings["flow_sha256"]
    index.write()
    pack(*packing, "--shards", 1)


def test_a_file_that_is_no_motion_net_is_reported(make_video, tmp_path):
    folder_list(make_video, tmp_path, per_class=1, count=7)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(tmp_path / "dense.keras")
    (tmp_path / "text.keras").write_text("no model")
    packing = ("folders", "--root", tmp_path / "videos", "--out", tmp_path / "out")
    for name, text in (
        ("dense.keras", "dense.keras: holds a .*, not a MotionNet"),
        ("text.keras", "text.keras: cannot be loaded as a Keras model"),
        ("none.keras", "no flow method"),
    ):
        with pytest.raises(UserError, match=text):
            pack(*packing, "--flow", tmp_path / name)
    # Told before anything was begun, so that the right file goes into the same folder.
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--num_frames", 1), "cannot be made: Synthetic clips have at least 2 frames"),
        (("--rate", 25), "leave stride and rate out"),
        (("--size", 32), "give --image_size"),
    ],
)
def test_synthetic_clips_that_cannot_be_packed_so(tmp_path, arguments, text):
    with pytest.raises(UserError, match=text):
        pack("synthetic", "--out", tmp_path / "out", "--count", 2, *arguments)
    assert not (tmp_path / "out").exists()


def test_verify_gives_up_after_the_timeout(make_video, tmp_path, capsys):
    folder_list(make_video, tmp_path, per_class=1, count=40)
    command = ["data", "verify", "folders", "--root", str(tmp_path / "videos")]
    for timeout, code in (("30", 0), ("1e-9", 2)):
        parsed = build_parser().parse_args([*command, "--timeout", timeout])
        assert parsed.run(parsed) == code
    assert "0 of 2 videos decoded" in capsys.readouterr().out


def test_verify_names_a_video_of_one_frame(make_video, tmp_path, capsys):
    """It decodes, and no training on motion can use it."""
    folder_list(make_video, tmp_path, per_class=1, count=5)
    make_video("videos/jump/still.mp4", count=1)
    command = ["data", "verify", "folders", "--root", str(tmp_path / "videos")]
    parsed = build_parser().parse_args(command)
    assert parsed.run(parsed) == 2
    printed = capsys.readouterr()
    assert "still.mp4: has one frame and so no motion" in printed.err
    assert "2 of 3 videos decoded (10 frames), 0 missing, 1 broken" in printed.out


def test_a_bad_video_can_be_skipped_in_a_second_go(make_video, tmp_path, capsys):
    folder_list(make_video, tmp_path, per_class=2, count=12)
    (tmp_path / "videos/jump/bad.avi").write_bytes(b"no video" * 50)
    packing = ("folders", "--root", tmp_path / "videos", "--out", tmp_path / "out")
    packing += ("--shards", 5, "--workers", 1)
    with pytest.raises(UserError, match="bad.avi"):
        pack(*packing)
    pack(*packing, "--on_bad_file", "skip")
    assert "bad.avi" in capsys.readouterr().err
    index = read_index(str(tmp_path / "out"))
    assert index.counts()["train"] == 4 and len(index.bad_files) == 1
    assert index.settings["on_bad_file"] == "skip"
    # Mended meanwhile: how to pack it after all is told, and works.
    shutil.copy(tmp_path / "videos/run/0.avi", tmp_path / "videos/jump/bad.avi")
    pack(*packing, "--on_bad_file", "skip")
    (told,) = re.findall(r"delete (\S+) in (\S+) and run", capsys.readouterr().err)
    os.unlink(os.path.join(told[1], told[0]))
    pack(*packing, "--on_bad_file", "skip")
    assert "left out)" not in capsys.readouterr().err
    index = read_index(str(tmp_path / "out"))
    assert index.counts()["train"] == 5 and not index.bad_files


def data(*arguments):
    """`h2s data` in this process; its exit code."""
    parsed = build_parser().parse_args(["data", *map(str, arguments)])
    return parsed.run(parsed)


def test_what_was_packed_is_listed_and_a_damaged_shard_is_named(
    make_video, tmp_path, capsys
):
    folder_list(make_video, tmp_path, per_class=1, count=7)
    out = tmp_path / "out"
    pack("folders", "--root", tmp_path / "videos", "--out", out, "--shards", 1)
    capsys.readouterr()
    assert data("list", "records", "--root", out) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^  frames +14$", shown, re.M), shown
    assert re.search(r"^  flow +none$", shown, re.M)
    assert data("list", "records", "--root", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 14
    assert data("verify", "records", "--root", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["bad"] == []
    (shard,) = out.glob("*.tfrecord")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-40] + bytes(40))
    assert data("verify", "records", "--root", out, "--json") == 2
    printed = capsys.readouterr()
    (problem,) = json.loads(printed.out)["bad"]
    assert shard.name in problem and problem in printed.err
