"""Folders of frames as videos, and the text lists that name them."""

import os
import subprocess
import sys

import numpy as np
import pytest

from h2s_keras.data import (
    ClipReport,
    class_folder_source,
    count_frames,
    find_frames,
    iterate_frames,
    list_source,
    probe_video,
    read_frames,
    ucf101_list,
    video_clip_dataset,
    write_png,
)
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import BrokenVideoError, BrokenVideoWarning, UserError, VideoError


@pytest.fixture
def make_folder(tmp_path):
    """Writes a folder of frames; frame `n` is even grey of value `4 n`."""

    def make(name="frames", numbers=range(1, 21), pattern="img_%05d.png", size=(16, 24)):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for place, number in enumerate(numbers):
            picture = np.full((*size, 3), 4 * place, np.uint8)
            write_png(folder / (pattern % number), picture)
        return str(folder)

    return make


@pytest.mark.parametrize(
    "pattern", ["img_%05d.png", "%d.png", "cam2_frame%03d.png", "x%06d_left.png"]
)
@pytest.mark.parametrize("first", [0, 1])
def test_names_and_numbers_are_found_out(make_folder, grey_numbers, pattern, first):
    path = make_folder(numbers=range(first, first + 12), pattern=pattern)
    folder = find_frames(path)
    assert (folder.pattern, folder.first, folder.count) == (pattern, first, 12)
    frames = read_frames(path)
    assert frames.shape == (12, 16, 24, 3)
    assert grey_numbers(frames).tolist() == list(range(12))
    assert count_frames(path) == 12
    assert grey_numbers(read_frames(path, [7, 2, 7])).tolist() == [7, 2, 7]
    assert [f.tobytes() for f in iterate_frames(path)] == [f.tobytes() for f in frames]
    info = probe_video(path)
    assert (info.width, info.height, info.frame_count_claimed) == (24, 16, 12)
    assert info.rate is None and info.codec == "png"


def test_only_the_wanted_files_are_read(make_folder, grey_numbers):
    path = make_folder()
    for name in os.listdir(path):
        if name not in ("img_00004.png", "img_00010.png"):
            open(os.path.join(path, name), "wb").close()
    assert grey_numbers(read_frames(path, [9, 3])).tolist() == [9, 3]


def test_stored_flow_beside_the_frames_is_passed_over(make_folder, grey_numbers):
    for axis in "xy":
        make_folder(numbers=range(1, 20), pattern=f"flow_{axis}_%05d.png")
    path = make_folder()
    assert grey_numbers(read_frames(path)).tolist() == list(range(20))


@pytest.mark.parametrize(
    ("numbers", "pattern", "text"),
    [
        ([1, 2, 4, 6], "img_%05d.png", r"img_00003.png is missing \(2 missing up to num"),
        ([3, 4, 5], "img_%05d.png", r"frame img_00001.png is missing \(2 missing"),
        (range(256, 260), "img_%05d.png", "they count from 256: .* rename them to count f"),
        (range(0, 30, 5), "%d.png", "in steps of 5: .* that of the video divided by 5"),
        (range(1, 30, 5), "%d.png", "in steps of 5: .* that of the video divided by 5"),
        (
            [0, 1, 4, 5],
            "%d.png",
            r"frame 2.png is missing .* 5\); extract the frames",
        ),
        ([1, 2, 3, 10], "%d.png", r"frame 4.png is missing \(6 missing"),
        ([], "%d.png", r"folder without numbered images .*\.jpeg, \.jpg, \.pgm, \.png"),
    ],
)
def test_gaps_are_named(make_folder, numbers, pattern, text):
    path = make_folder(numbers=numbers, pattern=pattern)
    for function in (read_frames, count_frames, probe_video, find_frames):
        with pytest.raises(VideoError, match=text) as caught:
            function(path)
        assert "\n" not in str(caught.value)


def test_mixed_names_are_reported(make_folder):
    path = make_folder(pattern="a_%03d.png")
    make_folder(pattern="b_%03d.png")
    with pytest.raises(VideoError, match="several patterns"):
        find_frames(path)
    twice = make_folder("twice", [1, 2, 3], "%03d.png")
    make_folder("twice", [2], "%04d.png")
    with pytest.raises(VideoError, match="number 2 twice"):
        find_frames(twice)
    odd = make_folder("odd", [1, 2, 3], "%03d.png")
    os.rename(os.path.join(odd, "003.png"), os.path.join(odd, "3.png"))
    with pytest.raises(VideoError, match="not filled up with zeros"):
        find_frames(odd)
    with pytest.raises(VideoError, match="cannot be read"):
        find_frames(odd + "/none")


def test_a_broken_frame_is_a_break(make_folder, grey_numbers):
    path = make_folder()
    bad = os.path.join(path, "img_00008.png")
    content = open(bad, "rb").read()
    with open(bad, "wb") as file:
        file.write(content[:20])
    with pytest.raises(BrokenVideoError, match="after 7 good frames.*img_00008.png"):
        count_frames(path)
    with pytest.warns(BrokenVideoWarning):
        kept = read_frames(path, on_broken="keep")
    assert grey_numbers(kept).tolist() == list(range(7))
    with pytest.raises(VideoError, match="has 20 frames, but frame 20"):
        read_frames(path, [2, 20])
    write_png(bad, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(BrokenVideoError, match="has 8 x 8 pixels, those before it 24 x 16"):
        count_frames(path)


@pytest.mark.parametrize("cache_bytes", [0, 1e9, 16 * 24 * 3 * 30])
def test_training_reads_frame_folders(make_folder, grey_numbers, tmp_path, cache_bytes):
    for label in "ab":
        for video in range(2):
            make_folder(f"set/{label}/{video}")
    examples, names = class_folder_source(tmp_path / "set")
    assert names == ("a", "b") and len(examples) == 4
    arguments = dict(image_size=(8, 8), batch_size=8, seed=2)
    dataset = video_clip_dataset(examples, 3, cache_bytes=cache_bytes, **arguments)
    clips, _ = next(dataset.as_numpy_iterator())
    assert (np.diff(grey_numbers(clips), axis=1) == 1).all()
    other = video_clip_dataset(examples, 3, cache_bytes=5e8, **arguments)
    np.testing.assert_array_equal(clips, next(other.as_numpy_iterator())[0])


def test_a_broken_frame_spoils_its_clips_only_whatever_is_cached(make_folder, tmp_path):
    for label in "ab":
        make_folder(f"set/{label}/0")
    (tmp_path / "set" / "a" / "0" / "img_00010.png").write_bytes(b"")
    examples, _ = class_folder_source(tmp_path / "set")
    streams = []
    for cache_bytes in (0, 1e9):
        report = ClipReport()
        dataset = video_clip_dataset(
            examples,
            3,
            image_size=(8, 8),
            batch_size=40,
            on_bad_file="skip",
            report=report,
            cache_bytes=cache_bytes,
        )
        streams.append(next(dataset.as_numpy_iterator()))
        assert 0 < report.replaced < 20
    np.testing.assert_array_equal(streams[0][0], streams[1][0])


def test_official_lists_find_frame_folders(make_folder, tmp_path):
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Diving\n")
    (tmp_path / "trainlist01.txt").write_text(
        "Archery/v_Archery_g08_c01.avi 1\nDiving/v_Diving_g08_c01.avi 2\n"
    )
    (tmp_path / "testlist01.txt").write_text("Archery/v_Archery_g01_c01.avi\n")
    inside = make_folder("root/Archery/v_Archery_g08_c01")
    flat = make_folder("root/v_Diving_g08_c01")
    listed = ucf101_list(tmp_path, tmp_path / "root")
    assert [example.path for example in listed.train] == [inside, flat]
    assert len(listed.missing()) == 1


# === Lists ===


@pytest.fixture
def lists(make_folder, tmp_path):
    for name in ("walk/a", "walk/b", "run/c", "run/d e"):
        make_folder(f"frames/{name}", numbers=range(0, 9), pattern="image_%04d.png")

    def write(*lines, name="list.txt"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.mark.parametrize("base", [0, 1])
def test_lists_of_frame_folders(lists, tmp_path, base):
    train = lists(f"walk/a 9 {base}", f"run/d e 7 {base + 1}")
    test = lists(f"/home/other/frames/run/c 9 {base + 1}", name="test.txt")
    listed = list_source(train, test, tmp_path / "frames")
    assert listed.class_names == ("walk", "run")
    assert [(e.label, e.frames) for e in listed.train] == [(0, 9), (1, 7)]
    assert listed.test[0].label == 1 and listed.missing() == []
    classes = lists("1 Walk", "2 Run", name="classes.txt")
    assert list_source(train, test, tmp_path / "frames", classes).class_names == (
        "Walk",
        "Run",
    )


def test_lists_of_videos(make_video, lists, tmp_path):
    make_video("videos/one.avi", count=4, codec="mpeg4")
    make_video("videos/my two.avi", count=4, codec="mpeg4")
    train = lists("one.avi 1", "my two.avi 2")
    listed = list_source(train, root=tmp_path / "videos")
    assert listed.class_names == ("class 1", "class 2")
    assert [e.label for e in listed.train] == [0, 1] and listed.require_videos()
    assert [e.frames for e in listed.train] == [None, None]


def test_a_list_that_trains_uses_the_frames_it_says(lists, tmp_path, grey_numbers):
    train = lists("walk/a 4 0", "run/c 5 1")
    data = make_data(
        {
            "kind": "list",
            "train_list": str(train),
            "test_list": str(lists("walk/b 9 0", name="t.txt")),
            "root": str(tmp_path / "frames"),
            "num_frames": 2,
            "image_size": (8, 8),
        }
    )
    clips, labels = next(data.training(40).as_numpy_iterator())
    shown = grey_numbers(clips)
    assert set(shown[labels == 0].ravel()) == {0, 1, 2, 3}
    assert set(shown[labels == 1].ravel()) == {0, 1, 2, 3, 4}
    assert next(data.evaluation(4))["label"].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["walk/a 9 0", "run/c 10 1"], "line 2: says 10 frames, but .*holds 9"),
        (["walk/a 0", "run/c"], "line 2: expected 'path label'"),
        (["walk/a 0", "run/c 2"], "from 0 to 2 and leave out 1"),
        (["walk/a 4", "run/c 5"], "leave out 0 and 1"),
        (["walk/a 1", "run/c 1"], "one class only"),
        ([""], "lists no videos"),
    ],
)
def test_bad_lists(lists, tmp_path, lines, text):
    with pytest.raises(UserError, match=text):
        list_source(lists(*lines), root=tmp_path / "frames")


def test_more_labels_than_classes(lists, tmp_path):
    classes = lists("Walk", "Run", name="classes.txt")
    with pytest.raises(UserError, match="label 3, but .* names 2 classes"):
        list_source(lists("walk/a 1", "run/c 3"), None, tmp_path / "frames", classes)
    with pytest.raises(UserError, match="needs train_list"):
        make_data({"kind": "list", "num_frames": 2, "image_size": (8, 8)})


@pytest.fixture
def touch(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / "vids" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path / "vids"

    return make


def test_paths_of_another_machine_are_told_apart_by_their_folders(lists, touch):
    root = touch("A/001.mp4", "A/002.mp4", "B/001.mp4", "B/002.mp4", "old/B/002.mp4")
    train = lists("/nfs/other/A/001.mp4 0", "/A/002 0", "/x/B/001 1", "/x/B/002.mp4 1")
    listed = list_source(train, root=root)
    found = [(os.path.relpath(e.path, root), e.label) for e in listed.train]
    assert found == [
        ("A/001.mp4", 0),
        ("A/002.mp4", 0),
        ("B/001.mp4", 1),
        ("B/002.mp4", 1),
    ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/nfs/002.mp4 0", "nfs/002.mp4: may be .*/002.mp4 or .*/002.mp4; list more"),
        ("/nfs/C/001.mp4 0", "/nfs/C/001.mp4 and .*A/001.mp4 are both found as"),
    ],
)
def test_a_path_that_may_be_another_video_is_refused(lists, touch, line, text):
    root = touch("A/001.mp4", "A/002.mp4", "B/002.mp4")
    with pytest.raises(UserError, match=text):
        list_source(lists("A/001.mp4 1", line), root=root)


def test_numbers_of_the_classes_tell_what_labels_count_from(lists, touch):
    root = touch("a.mp4", "b.mp4")
    train, names = lists("a.mp4 1", "b.mp4 2"), ("jump", "5 km", "run")
    for numbers, labels in (("123", [0, 1]), ("012", [1, 2])):
        lines = [f"{n} {name}" for n, name in zip(numbers, names, strict=True)]
        listed = list_source(train, None, root, lists(*lines, name="c.txt"))
        assert listed.class_names == names
        assert [example.label for example in listed.train] == labels
    # Of three classes, 1 and 2 may be the first two or the last two.
    for lines, text in (
        (names, "may count from 0 or from 1; put its number before"),
        (["2 jump", "1 run", "3 sit"], "c.txt: its numbers are not 0, 1, 2"),
    ):
        with pytest.raises(UserError, match=text):
            list_source(train, None, root, lists(*lines, name="c.txt"))
    listed = list_source(train, None, root, lists("jump", "5 km", name="c.txt"))
    assert listed.class_names == ("jump", "5 km")


def test_the_command_lists_and_verifies_lists(lists, tmp_path):
    train = lists("walk/a 9 0", "run/c 9 1")
    (tmp_path / "frames" / "run" / "c" / "image_0005.png").unlink()
    common = [sys.executable, "-m", "h2s_keras_command", "data"]
    arguments = ["list", "--annotations", str(train), "--root", str(tmp_path / "frames")]
    done = subprocess.run([*common, "verify", *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "image_0005.png is missing" in done.stderr
    (tmp_path / "frames" / "run" / "c" / "image_0008.png").rename(
        tmp_path / "frames" / "run" / "c" / "image_0005.png"
    )
    train = lists("walk/a 9 0", "run/c 8 1")
    done = subprocess.run(
        [*common, "verify", *arguments, "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0 and '"frames": 17' in done.stdout, done.stderr
