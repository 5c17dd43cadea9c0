"""The four official lists, from small files made here and from the real ones."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from h2s_keras.cli.data import verify
from h2s_keras.data import (
    VideoExample,
    activitynet_list,
    hmdb51_list,
    thumos14_list,
    ucf101_list,
    video_clip_dataset,
)
from h2s_keras.data.datasets.dataset_list import DatasetList
from h2s_keras.data.segments import segment_frames
from h2s_keras.errors import UserError


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def ucf101(tmp_path):
    folder = tmp_path / "lists"
    write(folder / "classInd.txt", "1 Archery\n2 HandstandPushups\n")
    write(
        folder / "trainlist01.txt",
        "Archery/v_Archery_g08_c01.avi 1\n"
        "HandstandPushups/v_HandStandPushups_g08_c01.avi 2\n",
    )
    write(folder / "testlist01.txt", "Archery/v_Archery_g01_c01.avi\n")
    return folder


def test_ucf101_labels_count_from_zero(ucf101):
    listed = ucf101_list(ucf101)
    assert listed.class_names == ("Archery", "HandstandPushups")
    assert [example.label for example in listed.train] == [0, 1]
    assert [example.group for example in listed.train] == ["g08", "g08"]
    assert listed.test[0].label == 0


@pytest.mark.parametrize(
    "place",
    [
        "HandstandPushups/v_HandStandPushups_g08_c01.avi",
        "HandStandPushups/v_HandStandPushups_g08_c01.avi",
        "HandstandPushups/v_HandstandPushups_g08_c01.avi",
        "v_HandStandPushups_g08_c01.avi",
    ],
)
def test_ucf101_spellings_and_flat_folders(ucf101, tmp_path, place):
    video = write(tmp_path / "videos" / place, "")
    listed = ucf101_list(ucf101, tmp_path / "videos")
    assert listed.train[1].path == str(video)
    assert len(listed.missing()) == 2
    with pytest.raises(UserError, match=r"g08_c01.avi: no such file.*\(2 of 3 videos"):
        listed.require_videos()


def test_linked_folders_are_followed_once(ucf101, tmp_path):
    disk = write(tmp_path / "disk" / "v_Archery_g08_c01.avi", "").parent
    root = tmp_path / "videos"
    video = write(root / "HandstandPushups" / "v_HandStandPushups_g08_c01.avi", "")
    (root / "other disk").symlink_to(disk)
    (root / "HandstandPushups" / "again").symlink_to(root)
    (root / "AllHandstands").symlink_to(root / "HandstandPushups")
    listed = ucf101_list(ucf101, root)
    assert [example.path for example in listed.train] == [
        str(root / "other disk" / "v_Archery_g08_c01.avi"),
        str(video),
    ]


def test_ucf101_wrong_label_is_named(ucf101):
    write(ucf101 / "trainlist01.txt", "Archery/v_Archery_g08_c01.avi 2\n")
    with pytest.raises(UserError, match="line 1: label 2 .* classInd.txt says 1"):
        ucf101_list(ucf101)
    write(ucf101 / "trainlist01.txt", "Golf/v_Golf_g08_c01.avi 1\n")
    with pytest.raises(UserError, match="line 1: unknown class"):
        ucf101_list(ucf101)
    with pytest.raises(UserError, match="splits are 1, 2 and 3; received 4"):
        ucf101_list(ucf101, split=4)


def test_hmdb51_parts(tmp_path):
    write(tmp_path / "wave_test_split2.txt", "a b.avi 1 \nc.avi 2 \nd.avi 0 \n")
    write(tmp_path / "clap_test_split2.txt", "e.avi 1 \n")
    write(tmp_path / "wave_test_split1.txt", "nothing of this split\n")
    listed = hmdb51_list(tmp_path, split=2)
    assert listed.class_names == ("clap", "wave")
    assert [(example.path, example.label) for example in listed.train] == [
        ("clap/e.avi", 0),
        ("wave/a b.avi", 1),
    ]
    assert [example.path for example in listed.test] == ["wave/c.avi"]
    write(tmp_path / "wave_test_split2.txt", "c.avi 3\n")
    with pytest.raises(UserError, match="line 1: expected"):
        hmdb51_list(tmp_path, split=2)


def test_thumos14_segments_without_the_ambiguous(tmp_path):
    for part, suffix in (("validation", "val"), ("test", "test")):
        folder = tmp_path / f"temporal_annotations_{part}"
        write(folder / f"Diving_{suffix}.txt", f"video_{part}_1  1.0 2.5\n")
        write(folder / f"Billiards_{suffix}.txt", f"video_{part}_1  3.0 4.0\n")
        write(folder / f"Ambiguous_{suffix}.txt", f"video_{part}_1  5.0 6.0\n")
    listed = thumos14_list(tmp_path)
    assert listed.class_names == ("Billiards", "Diving")
    assert listed.counts()["test"] == 2 and listed.counts()["test_videos"] == 1
    diving = listed.train[1]
    assert (diving.label, diving.start, diving.end) == (1, 1.0, 2.5)


def test_activitynet_subsets_and_names(tmp_path):
    def entry(subset, *labels):
        annotations = [{"label": label, "segment": [1, 2.5]} for label in labels]
        return {"subset": subset, "annotations": annotations}

    database = {
        "abc": entry("training", "Rowing", "Archery"),
        "def": entry("validation", "Rowing"),
        "ghi": entry("testing"),
    }
    path = write(tmp_path / "list.json", json.dumps({"database": database}))
    video = write(tmp_path / "videos" / "v_abc.mp4", "")
    other = write(tmp_path / "videos" / "def.mkv", "")
    listed = activitynet_list(path, tmp_path / "videos")
    assert listed.class_names == ("Archery", "Rowing")
    assert [(e.label, e.start, e.end) for e in listed.train] == [(1, 1, 2.5), (0, 1, 2.5)]
    assert listed.train[0].path == str(video) and listed.test[0].path == str(other)
    frames = write(tmp_path / "frames" / "abc" / "img_00001.jpg", "").parent
    other = write(tmp_path / "frames" / "v_def" / "img_00001.jpg", "").parent
    listed = activitynet_list(path, tmp_path / "frames")
    assert (listed.train[0].path, listed.test[0].path) == (str(frames), str(other))
    with pytest.raises(UserError, match="is not ActivityNet"):
        activitynet_list(write(tmp_path / "bad.json", "[]"))


def test_clips_come_from_inside_the_segment(make_video, numbers_of):
    path = make_video(count=100)  # 25 frames a second
    example = VideoExample(str(path), 0, start=1.0, end=2.0)
    assert segment_frames(example, 100) == (25, 25)
    assert segment_frames(VideoExample(str(path), 0, start=90.0, end=95.0), 100) == (98, 2)
    # Shorter than a frame, and at the very beginning of a slow video.
    for start, end in ((0.0, 0.3), (0.9, 0.95)):
        short = VideoExample(str(path), 0, start=start, end=end)
        assert segment_frames(short, 100, rate=1) == (0, 2)
        assert segment_frames(short, 1, rate=1) == (0, 1)
    whole = VideoExample(str(path), 1)
    options = {"image_size": (64, 160), "decode_size": (64, 160), "flip": False}
    dataset = video_clip_dataset(
        [example, whole], 5, batch_size=1, training=False, clips_per_video=4, **options
    )
    seen = {0: set(), 1: set()}
    for clips, labels, _ in dataset.as_numpy_iterator():
        # The test crop cuts the corners that hold the numbers; the mean level does not.
        assert clips.shape == (1, 5, 64, 160, 3)
        seen[int(labels[0])].add(clips.tobytes())
    assert len(seen[0]) == 4 and not seen[0] & seen[1]


REAL = [
    ("ucf101", 1, (101, 9537, 3783)),
    ("ucf101", 2, (101, 9586, 3734)),
    ("ucf101", 3, (101, 9624, 3696)),
    ("hmdb51", 1, (51, 3570, 1530)),
    ("hmdb51", 2, (51, 3570, 1530)),
    ("hmdb51", 3, (51, 3570, 1530)),
]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "split", "expected"), REAL)
def test_real_counts(real_data, name, split, expected):
    read = {"ucf101": ucf101_list, "hmdb51": hmdb51_list}[name]
    counts = read(real_data("splits", name), split=split).counts()
    assert (counts["classes"], counts["train"], counts["test"]) == expected


@pytest.mark.real_data
def test_real_counts_of_untrimmed_sets(real_data):
    counts = thumos14_list(real_data("splits", "thumos14")).counts()
    assert (counts["train_videos"], counts["test_videos"]) == (200, 212)
    assert (counts["train"], counts["test"]) == (3007, 3358)
    folder = real_data("splits", "activitynet_v1.2")
    (path,) = pathlib.Path(folder).iterdir()
    counts = activitynet_list(path).counts()
    assert (counts["train_videos"], counts["test_videos"]) == (4819, 2383)
    assert counts["classes"] == 100


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "h2s_keras_command", "data", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_command_lists_and_verifies(ucf101, make_video, tmp_path):
    done = command("list", "ucf101", "--annotations", ucf101, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["train"] == 2
    make_video("videos/v_Archery_g08_c01.avi", codec="mpeg4", count=10)
    (tmp_path / "videos" / "v_Archery_g01_c01.avi").write_bytes(
        np.random.default_rng(0).bytes(500)
    )
    folders = ("--annotations", ucf101, "--root", tmp_path / "videos")
    done = command("verify", "ucf101", *folders, "--json")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    counts = json.loads(done.stdout)
    assert (counts["videos"], counts["missing"], counts["broken"]) == (3, 1, 1)
    assert counts["frames"] == 10
    assert "HandStandPushups_g08_c01.avi: no such file" in done.stderr
    assert "v_Archery_g01_c01.avi: is not a video" in done.stderr


def test_verify_of_many_missing_videos_looks_each_up_once(tmp_path, capsys):
    hashed = []

    class Path(str):
        def __hash__(self):
            hashed.append(self)
            return super().__hash__()

    examples = tuple(VideoExample(Path(tmp_path / f"{n}.avi"), 0) for n in range(200))
    assert verify(DatasetList("s", ("a",), examples, ()), quick=True) == 2
    assert "0 of 200 videos found, 200 missing" in capsys.readouterr().out
    assert len(hashed) < 200 * 20


def test_verify_reports_what_a_csv_lists_and_is_missing(make_video, tmp_path):
    make_video("one.avi", codec="mpeg4")
    table = write(tmp_path / "table.csv", "path,class\none.avi,a\ntwo.avi,b\n")
    result = command("verify", "csv", "--annotations", str(table))
    assert result.returncode == 2 and "1 of 2 videos decoded" in result.stdout
    assert "two.avi: no such file" in result.stderr
    result = command(
        "pack", "csv", "--annotations", str(table), "--out", str(tmp_path / "out")
    )
    assert result.returncode == 2 and "two.avi: no such file" in result.stderr
