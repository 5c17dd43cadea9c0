"""Segments of untrimmed videos, and parts of listed ones, as `h2s evaluate` scores them."""

import json
import re

import av
import numpy as np
import pytest
from evaluation.samples import make_network, write_video

from h2s_keras.data import VideoExample, read_frames, write_png
from h2s_keras.data.clips.video_clips import frame_size
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import UserError, VideoError
from h2s_keras.evaluation.protocol import Protocol, crop_views, video_views, view_indices
from h2s_keras.evaluation.score_videos import example_name, score_videos, untrimmed_examples
from h2s_keras.evaluation.scores import VideoScores

SIZE = (32, 32)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """model.keras, thumos14/ with videos/, and frames/ with lists."""
    folder = tmp_path_factory.mktemp("work")
    make_network().save(folder / "model.keras")
    (folder / "videos").mkdir()
    for number, video in enumerate(("one", "two")):
        write_video(folder / "videos" / f"{video}.mp4", 60, (40, 56), 2, number)
    # Of video one a segment is both left and right, as dives of THUMOS14 are.
    rows = {
        "left": ["one 0.2 0.8", "one 1.2 2.0", "two 0.4 1.0"],
        "right": ["one 0.2 0.8"],
    }
    for part, short in (("validation", "val"), ("test", "test")):
        place = folder / "thumos14" / f"temporal_annotations_{part}"
        place.mkdir(parents=True)
        for name, lines in rows.items():
            (place / f"{name}_{short}.txt").write_text("\n".join(lines) + "\n")
    database = {
        video: {
            "subset": subset,
            "annotations": [
                {"label": label, "segment": segment} for segment in ([0, 1], [1, 2])
            ],
        }
        for video, subset, label in (
            ("one", "validation", "left"),
            ("two", "validation", "right"),
            ("one_", "training", "left"),
            ("two_", "training", "right"),
        )
    }
    (folder / "anet.json").write_text(json.dumps({"database": database}))
    for name in ("left", "right"):
        (folder / "frames" / name).mkdir(parents=True)
        noise = np.random.default_rng(len(name)).integers(0, 256, (8, 40, 56, 3))
        for number, picture in enumerate(noise.astype("uint8")):
            write_png(folder / "frames" / name / f"img_{number:05d}.png", picture)
    (folder / "train.txt").write_text("left 8 0\nright 8 1\n")
    (folder / "test.txt").write_text("left 5 0\nright 6 1\n")
    (folder / "names.txt").write_text("left\nright\n")
    return folder


THUMOS = "evaluate --model model.keras --data thumos14 --annotations thumos14 --root videos"
ANET = "evaluate --model model.keras --data activitynet --annotations anet.json --root "


@pytest.mark.parametrize(
    "protocol",
    [Protocol(4, 2), Protocol(3, 1, "segments"), Protocol(sampling="sliding", step=3)],
)
@pytest.mark.parametrize("frames", [range(20, 41), range(57, 59), range(0, 4)])
def test_views_of_a_part_are_frames_of_that_part(work, protocol, frames):
    path = str(work / "videos" / "one.mp4")
    source = FrameSource(frame_size(SIZE), 0)
    views = list(video_views(path, protocol, 3, 2, SIZE, frames, source))
    every = read_frames(path, size=frame_size(SIZE))[frames.start : frames.stop]
    expected = [
        view
        for clip in view_indices(protocol, len(frames), 3, 2)
        for view in crop_views(every[clip], SIZE, protocol.crops)
    ]
    np.testing.assert_array_equal(views, expected)
    whole = list(video_views(path, protocol, 3, 2, SIZE, source=source))
    assert not np.array_equal(whole[: len(views)], views)
    with pytest.raises(VideoError, match="one frame"):
        next(video_views(path, protocol, 3, 2, SIZE, range(7, 8), source))


def test_a_segment_is_scored_as_the_video_cut_to_it(network, work, tmp_path):
    """Frames 30 to 49 of a lossless copy, alone in a file, score as the segment does."""
    frames = read_frames(str(work / "videos" / "one.mp4"))
    paths = [str(tmp_path / name) for name in ("whole.mkv", "cut.mkv")]
    for path, kept in zip(paths, (frames, frames[30:50]), strict=True):
        with av.open(path, "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = 40, 56, "bgr0"
            for frame in kept:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode())
    rows = [
        VideoExample(paths[0], 1, None, 1.2, 2.0),
        VideoExample(paths[1], 1),
        VideoExample(paths[0], 1),
        VideoExample(paths[0], 0, None, 0.0, 0.8),
    ]
    scores, bad = score_videos(network, rows, Protocol(3, 2))
    assert not bad and scores.labels.tolist() == [1, 1, 1, 0]
    segment, cut, whole, other = scores.streams["fused"]
    np.testing.assert_allclose(segment, cut, atol=1e-5)
    for wrong in (whole, other):
        assert np.abs(segment - wrong).max() > 1e-3
    assert scores.names == (f"{paths[0]} 1.2-2.0 s", paths[1], paths[0], scores.names[3])


def test_a_bad_segment_leaves_the_others_of_its_video(network, work, tmp_path):
    path, bad = str(work / "videos" / "one.mp4"), str(tmp_path / "bad.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 50)
    rows = [
        VideoExample(bad, 0, None, 0.0, 0.5),
        VideoExample(path, 0, None, 0.0, 0.5),
        VideoExample(bad, 1, None, 0.5, 1.0),
        VideoExample(path, 1, None, 1.0, 1.5),
    ]
    scores, told = score_videos(network, rows, Protocol(), on_bad_file="skip")
    assert scores.names == (example_name(rows[1]), example_name(rows[3]))
    assert [error.path for error in told] == [bad] and scores.labels.tolist() == [0, 1]


def test_gathering():
    rows = [
        VideoExample("a", 2, "a", 1.0, 2.0),
        VideoExample("b", 1, "b", 0.0, 2.0),
        VideoExample("a", 0, "a", 1.0, 2.0),
        VideoExample("b", 1, "b", 3.0, 4.0),
    ]
    examples, labels = untrimmed_examples(rows, 3, "segments")
    assert [(e.path, e.start) for e in examples] == [("a", 1.0), ("b", 0.0), ("b", 3.0)]
    assert labels.tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]
    examples, labels = untrimmed_examples(rows, 3)
    assert [(e.path, e.start, e.end) for e in examples] == [
        ("a", None, None),
        ("b", None, None),
    ]
    assert labels.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert untrimmed_examples(rows[1:2], 3)[1].tolist() == [1]


def test_thumos14_whole_and_by_segment(call, tmp_path):
    code, out, _ = call(f"{THUMOS} --scores {tmp_path}/w.npz --protocol 2x1")
    assert code == 0 and out.startswith("2 videos; whole untrimmed videos; 2 evenly")
    # One of the videos has two classes, so there is no top-1.
    assert "mAP (THUMOS)" in out and "top-1" not in out
    scores = VideoScores.load(tmp_path / "w.npz")
    assert scores.labels.tolist() == [[True, True], [True, False]]
    line = f"{THUMOS} --untrimmed segments --scores {tmp_path}/s.npz --rate 12.5"
    code, out, _ = call(line)
    assert code == 0
    assert out.startswith(
        "3 videos; annotated segments, each taken for a video; 5 evenly spaced clips x "
        "centre crop, 3 frames with stride 1 at 12.5 frames per second, 32x32 pixels"
    )
    scores = VideoScores.load(tmp_path / "s.npz")
    assert scores.labels.tolist() == [[True, True], [True, False], [True, False]]
    assert [name.split("/")[-1] for name in scores.names] == [
        "one.mp4 0.2-0.8 s",
        "one.mp4 1.2-2.0 s",
        "two.mp4 0.4-1.0 s",
    ]
    with pytest.raises(UserError, match="one label per video"):
        call(f"{THUMOS} --confusion {tmp_path}/c.csv")


def test_activitynet_has_a_top_1_and_a_report_of_segments(call, tmp_path):
    code, out, _ = call(f"{ANET} videos --json")
    assert code == 0 and json.loads(out)["videos"] == 2
    line = f"{ANET} videos --untrimmed segments --report {tmp_path}/r.html"
    code, out, _ = call(line)
    assert code == 0 and out.startswith("4 videos; annotated segments") and "top-1" in out
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") == 6 and "two.mp4 1.0-2.0 s" in page
    assert page.count("Confused pairs, side by side") == 1


def test_missing_videos_of_the_test_part(call, work):
    (work / "few").mkdir(exist_ok=True)
    (work / "few" / "one.mp4").write_bytes((work / "videos/one.mp4").read_bytes())
    with pytest.raises(UserError, match=r"two: no such file.*1 of 2 videos"):
        call(f"{ANET} few")
    code, out, err = call(f"{ANET} few --on_bad_file skip")
    assert code == 0 and out.startswith("1 videos") and "left out" in err


def test_a_list_is_scored_on_the_frames_it_says(call, network, work, tmp_path):
    lists = "--data list --annotations train.txt --test_list test.txt --classes names.txt"
    line = f"evaluate --model model.keras {lists} --root frames --scores {tmp_path}/l.npz"
    code, out, _ = call(line)
    assert code == 0 and out.startswith("2 videos; 5 evenly spaced")
    scores = VideoScores.load(tmp_path / "l.npz")
    rows = [
        VideoExample(str(work / "frames" / "left"), 0, frames=5),
        VideoExample(str(work / "frames" / "right"), 1, frames=6),
    ]
    expected, _ = score_videos(network, rows, Protocol(5))
    np.testing.assert_allclose(
        scores.streams["fused"], expected.streams["fused"], atol=1e-5
    )
    # The control: all 8 frames have another middle.
    rows = [VideoExample(row.path, row.label) for row in rows]
    whole, _ = score_videos(network, rows, Protocol(5))
    assert np.abs(scores.streams["fused"] - whole.streams["fused"]).max() > 1e-3


@pytest.mark.parametrize(
    "line, text",
    [
        (f"{THUMOS} --test_group 1", "--test_group goes with a folder"),
        (f"{THUMOS} --rate 0", "--rate is above 0"),
        (
            "evaluate --model model.keras --data thumos14 --root videos",
            "needs its official lists",
        ),
        ("evaluate --model model.keras --data thumos14", "holds no videos"),
        ("evaluate --model model.keras --data hmdb51", "hmdb51 needs --root"),
        (
            "evaluate --model model.keras --data ucf101 --annotations thumos14",
            "ucf101 needs --root",
        ),
        (
            "evaluate --model m --data hmdb51 --annotations x --root y --untrimmed videos",
            "are trimmed",
        ),
        ("evaluate --model m --data videos --root x", "--root goes with a dataset"),
        ("evaluate --model m --data videos --split 2", "--split goes with a dataset"),
    ],
)
def test_mistakes_are_reported(call, line, text):
    with pytest.raises(UserError, match=re.escape(text)):
        call(line)
