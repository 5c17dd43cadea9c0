import os

import numpy as np
import pytest

from h2s_keras.data import VideoExample, read_frames
from h2s_keras.data.video import frame_source as module
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import VideoError


@pytest.fixture
def decoded_whole(monkeypatch):
    """Counts the whole decodings of a source."""
    seen = []
    plain = module.open_container

    def counting(path, timeout):
        seen.append(path)
        return plain(path, timeout)

    monkeypatch.setattr(module, "open_container", counting)
    return seen


def test_segments_of_one_video_cost_one_whole_decoding(
    make_video, numbers_of, decoded_whole
):
    path = make_video(count=100)
    source = FrameSource(64, 0)
    for start, end, expected in (
        (0.4, 0.8, range(10, 20)),
        (3.0, 3.2, range(75, 80)),
        # Rounded outward: a frame that the segment touches belongs to it.
        (1.01, 1.99, range(25, 50)),
        (90.0, 95.0, range(98, 100)),
    ):
        example = VideoExample(path, 0, None, start, end)
        assert source.frames_of(example) == expected
        numbers, frames = zip(*source.iterate(path, expected), strict=True)
        assert numbers == tuple(expected) and numbers_of(frames) == list(expected)
    assert decoded_whole == [path]
    assert source.frame_count(path) == 100
    whole = source.frames_of(VideoExample(path, 0))
    assert whole == range(100)
    np.testing.assert_array_equal(
        [frame for _, frame in source.iterate(path, [9, 9, 3])], read_frames(path, [3, 9])
    )


def test_late_frames_are_found_by_seeking(make_video, monkeypatch):
    path = make_video(count=100)
    source = FrameSource(64, 0)
    source.frame_count(path)
    converted = []

    def counting(*arguments, **options):
        for number, frame in plain(*arguments, **options):
            converted.append(number)
            yield number, frame

    plain = module.numbered_frames
    monkeypatch.setattr(module, "numbered_frames", counting)
    assert [number for number, _ in source.iterate(path, [95, 97])] == [95, 97]
    assert min(converted) > 80


@pytest.mark.parametrize("rate", [10, 50])
def test_a_rate_is_that_of_read_frames(make_video, rate):
    path = make_video(count=30)
    source = FrameSource(64, 0, rate=rate)
    count = source.frame_count(path)
    expected = read_frames(path, rate=rate, size=64)
    assert count == len(expected)
    np.testing.assert_array_equal(
        np.stack([frame for _, frame in source.iterate(path, range(count))]), expected
    )
    # Seconds become frames of the rate.
    frames = source.frames_of(VideoExample(path, 0, None, 0.2, 0.6))
    assert frames == range(rate // 5, 3 * rate // 5)


def test_folders_and_their_number_of_frames(tmp_path):
    from h2s_keras.data import write_png

    for number in range(6):
        picture = np.full((16, 16, 3), 10 * number, np.uint8)
        write_png(tmp_path / f"img_{number:03d}.png", picture)
    source = FrameSource(16, 0)
    frames = source.frames_of(VideoExample(str(tmp_path), 0, frames=4))
    assert frames == range(4)
    seen = [int(frame.mean()) for _, frame in source.iterate(str(tmp_path), frames)]
    assert seen == [0, 10, 20, 30]
    with pytest.raises(VideoError, match="has 6 frames, but its list says 7"):
        source.frames_of(VideoExample(str(tmp_path), 0, frames=7))
    # A rate is the one that the folder was extracted at.
    segment = VideoExample(str(tmp_path), 0, start=0.5, end=1.0)
    source = FrameSource(16, 0, rate=4)
    assert source.frame_count(str(tmp_path)) == 6
    assert source.frames_of(segment) == range(2, 4)
    seen = [int(frame.mean()) for _, frame in source.iterate(str(tmp_path), [2, 3])]
    assert seen == [20, 30]
    with pytest.raises(VideoError, match="no frame rate.* give the rate that its frames"):
        FrameSource(16, 0).frames_of(segment)


def test_a_bad_video_is_decoded_once_and_reported_each_time(tmp_path, decoded_whole):
    path = str(tmp_path / "bad.mp4")
    with open(path, "wb") as file:
        file.write(b"no video" * 50)
    source = FrameSource(16, 0)
    for _ in range(2):
        with pytest.raises(VideoError, match="bad.mp4"):
            source.frames_of(VideoExample(path, 0, None, 0.0, 1.0))
    assert decoded_whole == [path]


def test_a_file_that_shrank_meanwhile_is_reported(make_video):
    path = make_video(count=60)
    source = FrameSource(64, 0)
    source.frame_count(path)
    os.replace(make_video("short.mp4", count=20), path)
    with pytest.raises(VideoError, match="frame 50.*changed meanwhile"):
        list(source.iterate(path, [50]))
