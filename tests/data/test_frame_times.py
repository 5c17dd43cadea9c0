"""Seconds become frames, and frames seconds, by time stamps and not by header rates."""

import warnings
from fractions import Fraction

import av
import numpy as np
import pytest

from h2s_keras.data import (
    VideoExample,
    count_frames,
    iterate_frames,
    probe_video,
    video_clip_dataset,
)
from h2s_keras.data.segments import segment_frames
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.data.video.frame_times import NotedTimes
from h2s_keras.errors import VideoError, VideoWarning
from h2s_keras.evaluation.annotated_video import AnnotatedVideo
from h2s_keras.evaluation.streaming import Window

# Three seconds at 10 and three seconds at 30 frames per second, in milliseconds.
CHANGING = [100 * n for n in range(30)] + [3000 + round(n * 100 / 3) for n in range(90)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_segments_of_a_changing_rate(make_video, name):
    codec = "libvpx" if name == "a.webm" else "libx264"
    options = {"deadline": "realtime"} if codec == "libvpx" else {}
    path = make_video(name, 120, codec, times=CHANGING, options=options)
    for start, end, expected in (
        (0.0, 3.0, (0, 30)),
        (3.0, 6.0, (30, 90)),
        (1.0, 2.0, (10, 10)),
        (2.9, 3.1, (29, 4)),
        (4.0, 4.1, (60, 3)),
        # The frame that is shown at 1.25 s began at 1.2 s.
        (1.25, 1.45, (12, 3)),
        (90.0, 99.0, (118, 2)),
    ):
        example = VideoExample(path, 0, start=start, end=end)
        assert segment_frames(example, 120) == expected, (start, end)
        frames = FrameSource(32, 0).frames_of(example)
        assert frames == range(expected[0], sum(expected)), (start, end)


def test_training_clips_come_from_the_seconds_of_their_segment(tmp_path):
    path = str(tmp_path / "a.mkv")
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 24, "gray"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(CHANGING):
            picture = np.full((16, 24), 2 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "gray")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    example = VideoExample(path, 0, start=1.0, end=2.0)
    for cache_bytes in (0, 1e9):
        for training in (True, False):
            dataset = video_clip_dataset(
                [example],
                5,
                image_size=(16, 16),
                batch_size=1,
                training=training,
                cache_bytes=cache_bytes,
            ).take(3)
            for clips, *_ in dataset.as_numpy_iterator():
                numbers = clips.mean(axis=(2, 3, 4)) / 2
                assert (abs(numbers - 14.5) < 5.1).all()


def test_segments_where_the_header_names_a_wrong_rate(tmp_path):
    """30 frames a second on a clock of 1/600 s, as phones have it."""
    path = str(tmp_path / "a.mkv")
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=600, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(90):
            picture = np.full((64, 96, 3), 2 * number + 30, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = 20 * number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert probe_video(path).rate > 100
    example = VideoExample(path, 0, start=0.2, end=0.8)
    assert segment_frames(example, count_frames(path)) == (6, 18)


def test_seconds_count_from_the_first_frame(make_video):
    path = make_video("a.mkv", 50, times=[4000 + 40 * n for n in range(50)])
    with pytest.warns(VideoWarning, match="first frame is stamped 4.00 s"):
        assert segment_frames(VideoExample(path, 0, start=1.0, end=1.6), 50) == (25, 15)
    times = NotedTimes(path)
    assert count_frames(path, times=times) == 50
    assert times.at(25) == pytest.approx(1.0) and times.at(50) == pytest.approx(2.0)


def test_times_of_frames(make_video):
    path = make_video("a.mp4", 120, times=CHANGING)
    times = NotedTimes(path)
    assert len(list(iterate_frames(path, size=8, times=times))) == 120
    assert [times.at(n) for n in range(120)] == pytest.approx(
        [stamp / 1000 for stamp in CHANGING], abs=1e-3
    )
    assert times.at(120) == pytest.approx(6.0, abs=0.01)
    # Read at a rate, it decides.
    times = NotedTimes(path, 5)
    assert len(list(iterate_frames(path, size=8, rate=5, times=times))) == 30
    assert times.at(10) == 2.0 and times.at(30) == 6.0


def test_frames_without_stamps_are_counted_at_a_named_rate(make_video, tmp_path):
    path = make_video("a.h264", 40, "libx264")
    times = NotedTimes(path, fallback=25)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert count_frames(path, times=times) == 40
    if caught:
        assert "counted at 25 frames per second" in str(caught[0].message)
    assert times.at(25) == pytest.approx(1.0, abs=0.05)
    folder = tmp_path / "frames"
    folder.mkdir()
    from h2s_keras.data import write_png

    for number in range(3):
        write_png(folder / f"{number}.png", np.zeros((8, 8, 3), np.uint8))
    times = NotedTimes(str(folder))
    with pytest.warns(VideoWarning, match=r"folder of frames \(give its rate\)"):
        count_frames(str(folder), times=times)
    assert times.at(2) == pytest.approx(0.08)
    # A function that finds the rate is called only where it is needed.
    times = NotedTimes(str(folder), fallback=lambda: 10)
    with pytest.warns(VideoWarning, match="counted at 10 frames"):
        count_frames(str(folder), times=times)
    assert times.at(2) == pytest.approx(0.2)
    times = NotedTimes(path := make_video("a.mp4", 5), fallback=pytest.fail)
    assert count_frames(path, times=times) == 5 and times.at(5) > times.at(4) > 0
    with pytest.raises(VideoError, match="give the rate"):
        segment_frames(VideoExample(str(folder), 0, start=0.0, end=1.0), 3)


def test_an_annotated_video_keeps_the_times(tmp_path):
    seconds = [stamp / 1000 for stamp in CHANGING[20:50]]
    frames = [np.full((160, 160, 3), 4 * n, np.uint8) for n in range(30)]
    window = Window(20, 50, frames, np.array([0.2, 0.8], np.float32), None)
    path = str(tmp_path / "out.mp4")
    with AnnotatedVideo(path, ["a", "b"]) as video:
        video.add(window, seconds)
    with av.open(path) as container:
        shown = [frame.time for frame in container.decode(video=0)]
    assert [time - shown[0] for time in shown] == pytest.approx(
        [second - seconds[0] for second in seconds], abs=1e-3
    )
