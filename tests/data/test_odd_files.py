"""Files of every odd kind: read right or told in one line, under every policy."""

import os
import subprocess
import sys

import numpy as np
import pytest

from h2s_keras.data import (
    ClipReport,
    VideoExample,
    count_frames,
    probe_video,
    read_frames,
    video_clip_dataset,
)
from h2s_keras.errors import UserError, VideoError


def write_sound(path, picture=None):
    """A file with sound and, if `picture` is given, a cover picture."""
    import av

    with av.open("file:" + str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        cover = None
        if picture is not None:
            from av.stream import Disposition

            cover = container.add_stream("png", rate=1)
            cover.height, cover.width = picture.shape[:2]
            cover.pix_fmt = "rgb24"
            cover.disposition = Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            container.mux([*cover.encode(frame), *cover.encode()])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())


def write_two_streams(path, first, second):
    """A file with two video streams that show `first` and `second`."""
    import av

    with av.open(str(path), "w") as container:
        streams = []
        for picture in (first, second):
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width = picture.shape[:2]
            stream.pix_fmt = "bgr0"
            streams.append((stream, picture))
        for _ in range(6):
            for stream, picture in streams:
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                container.mux(stream.encode(frame))
        for stream, _ in streams:
            container.mux(stream.encode())


def without_content(path):
    """Fills the frames of an mp4 file with zeros; its header still claims them all."""
    content = bytearray(open(path, "rb").read())
    start = content.index(b"mdat") + 4
    content[start:] = bytes(len(content) - start)
    with open(path, "wb") as file:
        file.write(content)


FASTSTART = {"muxer_options": {"movflags": "faststart"}}
GOOD = {
    "ten_bit.mp4": dict(codec="libx264", pixel_format="yuv420p10le"),
    "four_four_four.mp4": dict(codec="libx264", pixel_format="yuv444p"),
    "full_range.avi": dict(codec="mjpeg", pixel_format="yuvj420p"),
    "palette.gif": dict(codec="gif", pixel_format="rgb8"),
    "-dash.mp4": dict(codec="libx264"),
    "one_pixel.mkv": dict(codec="ffv1", pixel_format="bgr0", size=(1, 1)),
    "rgb.mov": dict(codec="qtrle", pixel_format="rgb24"),
}
BAD = {
    "sound.mp4": "only audio",
    "cover.mp4": "cover art does not count|only audio",
    "zero.avi": r"is empty \(0 bytes\)",
    "cut.mp4": r"breaks after \d+ good frames",
    "nothing.mp4": "no decodable frame, although its header claims 20",
    "noise.mkv": "not a video",
}


@pytest.fixture
def odd_files(make_video, tmp_path):
    """Class folders `good` and `bad` of odd files; returns the folder of both."""
    root = tmp_path / "odd"
    for name, options in GOOD.items():
        make_video(f"odd/good/{name}", count=20, **options)
    first = np.full((32, 48, 3), (200, 40, 90), np.uint8)
    write_two_streams(root / "good" / "two.mkv", first, first[..., ::-1] // 2)
    (root / "bad").mkdir()
    write_sound(root / "bad" / "sound.mp4")
    write_sound(root / "bad" / "cover.mp4", first)
    (root / "bad" / "zero.avi").write_bytes(b"")
    make_video("odd/bad/cut.mp4", count=120, **FASTSTART)
    content = (root / "bad" / "cut.mp4").read_bytes()
    (root / "bad" / "cut.mp4").write_bytes(content[: len(content) * 6 // 10])
    make_video("odd/bad/nothing.mp4", count=20, **FASTSTART)
    without_content(root / "bad" / "nothing.mp4")
    (root / "bad" / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(3000))
    return root


def test_good_ones_show_their_frames_and_bad_ones_one_line(odd_files, numbers_of):
    for name in GOOD:
        path = str(odd_files / "good" / name)
        frames = read_frames(path)
        assert len(frames) == count_frames(path) == 20, name
        if frames.shape[1] > 1:
            assert numbers_of(frames) == list(range(20)), name
            # A wrong range would shift both; the palette of the GIF is a coarse one.
            assert abs(frames[0, 8, 8].mean() - 20) < (20 if "gif" in name else 6), name
            assert abs(frames[1, 8, 8].mean() - 235) < (20 if "gif" in name else 6), name
    two = read_frames(odd_files / "good" / "two.mkv")
    np.testing.assert_array_equal(two[:, 0, 0], [[200, 40, 90]] * 6)
    for name, text in BAD.items():
        for function in (count_frames, read_frames):
            with pytest.raises(VideoError, match=text) as caught:
                function(str(odd_files / "bad" / name), timeout=20)
            assert name in str(caught.value) and "\n" not in str(caught.value)
        if name != "cut.mp4":
            with pytest.raises(VideoError, match=text):
                probe_video(str(odd_files / "bad" / name), timeout=20)


def examples_of(root):
    return [
        VideoExample(str(path), label)
        for label, folder in enumerate(("good", "bad"))
        for path in sorted((root / folder).iterdir())
    ]


@pytest.mark.parametrize("policy", ["raise", "skip", "substitute"])
@pytest.mark.parametrize("cache_bytes", [0, 1e9])
def test_training_under_every_policy(odd_files, policy, cache_bytes):
    report = ClipReport()
    examples = examples_of(odd_files)
    dataset = video_clip_dataset(
        examples,
        3,
        image_size=(16, 16),
        batch_size=14,
        on_bad_file=policy,
        report=report,
        cache_bytes=cache_bytes,
        timeout=30,
    )
    iterator = dataset.take(3).as_numpy_iterator()
    if policy == "skip":
        batches = list(iterator)
        assert len(batches) == 3 and {path.split("/")[-1] for path in report.bad_files} == (
            set(BAD)
        )
        assert all((labels == 0).all() for _, labels in batches)
        # No clip is black: every file shows something in every frame.
        assert all(clips.max(axis=(2, 3, 4)).min() > 0 for clips, _ in batches)
        # A batch or two more may be on their way already.
        assert 3 * len(BAD) <= report.replaced <= 5 * len(BAD)
        assert "6 bad files" in report.summary()
        return
    with pytest.raises(UserError) as caught, report.user_errors():
        list(iterator)
    # Nothing of the class "bad" can be read, so that nothing can be substituted either.
    wanted = "none of 6 videos can be used" if policy == "substitute" else "/bad/"
    assert wanted in str(caught.value) and "\n" not in str(caught.value)


def test_verify_reports_each_bad_file_in_a_line(odd_files):
    done = subprocess.run(
        [sys.executable, "-m", "h2s_keras_command", "data", "verify", "folders"]
        + ["--root", str(odd_files)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("h2s: ")]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert len(lines) == len(BAD) and "8 of 14 videos decoded (146 frames)" in done.stdout
    for name in BAD:
        assert sum(name in line for line in lines) == 1


@pytest.mark.real_data
@pytest.mark.parametrize("policy", ["raise", "skip"])
def test_real_odd_files_in_training(real_data, policy):
    folder = real_data("videos", "odd")
    names = sorted(os.listdir(folder))
    examples = [VideoExample(os.path.join(folder, name), 0) for name in names]
    report = ClipReport()
    dataset = video_clip_dataset(
        examples, 2, image_size=(16, 16), batch_size=7, on_bad_file=policy, report=report
    )
    if policy == "raise":
        with pytest.raises(UserError), report.user_errors():
            list(dataset.take(2).as_numpy_iterator())
        return
    assert len(list(dataset.take(2).as_numpy_iterator())) == 2
    bad = {os.path.basename(path) for path in report.bad_files}
    assert bad == {
        "audio_only.wav",
        "bipbop_nonfragment_header.mp4",
        "corrupted.mp4",
        "result.webm",
        "tiny_av1.mp4",
    }
