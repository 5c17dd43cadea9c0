"""Seeking by an index of a whole decoding, and reading at a frame rate."""

import pathlib
from fractions import Fraction

import numpy as np
import pytest

from h2s_keras.data import (
    VideoExample,
    count_frames,
    iterate_frames,
    probe_video,
    read_frames,
    video_clip_dataset,
)
from h2s_keras.data.video import frame_index, time_stamps
from h2s_keras.data.video.decoder import open_and_decode
from h2s_keras.data.video.frame_index import FrameIndexer
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.data.video.time_stamps import rate_indices
from h2s_keras.errors import VideoError

KINDS = {
    "h264": dict(name="a.mp4", codec="libx264"),
    "open groups": dict(
        name="a.mp4",
        codec="libx264",
        options={"x264-params": "keyint=24:min-keyint=24:open-gop=1:bframes=3"},
    ),
    "intra refresh": dict(
        name="a.mkv",
        codec="libx264",
        options={"x264-params": "keyint=24:intra-refresh=1:bframes=0"},
    ),
    "ts": dict(name="a.ts", codec="libx264"),
    "mpeg4": dict(name="a.avi", codec="mpeg4"),
    "b-frames in avi": dict(name="a.avi", codec="mpeg4", options={"bf": "2"}),
    "mkv": dict(name="a.mkv", codec="libx264"),
    "mpeg2": dict(name="a.mpg", codec="mpeg2video"),
    "intra only": dict(name="a.avi", codec="mjpeg", pixel_format="yuvj420p"),
}


def index_of(path):
    indexer = FrameIndexer()
    for frame in open_and_decode(path, 60):
        indexer.add(frame)
    return indexer.index()


@pytest.fixture
def decoded(monkeypatch):
    """Numbers of frames that each reading by an index decodes."""
    counts = []
    batches = frame_index.decoded_batches

    def counting(container, stream):
        counts.append(0)
        for frames in batches(container, stream):
            counts[-1] += len(frames)
            yield frames

    monkeypatch.setattr(frame_index, "decoded_batches", counting)
    return counts


@pytest.mark.parametrize("kind", KINDS)
def test_frames_found_by_seeking_are_those_decoded_forward(make_video, numbers_of, kind):
    path = make_video(count=130, **KINDS[kind])
    whole, index = read_frames(path), index_of(path)
    assert len(index.stamps) == 130 and 0 in index.keys
    for wanted in ([129], [0], [64, 65, 66], [127, 20, 20, 90], range(37, 48)):
        frames = read_frames(path, wanted, index=index)
        assert numbers_of(frames) == list(wanted)
        np.testing.assert_array_equal(frames, whole[list(wanted)])


@pytest.mark.parametrize("kind", ["h264", "mpeg4", "mkv", "intra only"])
def test_seeking_decodes_less(make_video, decoded, kind):
    path = make_video(count=130, **KINDS[kind])
    index = index_of(path)
    read_frames(path, [120], index=index)
    assert index.seekable and sum(decoded) < 60
    # Frames near the start are not worth a seek, and the whole is not either.
    del decoded[:]
    read_frames(path, [3, 9], index=index)
    read_frames(path, range(130), index=index)
    assert decoded == []


def damage_stamps(index):
    index.stamps[100:] += 1


def damage_checksums(index):
    index.checksums[:] ^= 1


@pytest.mark.parametrize("damage", [damage_stamps, damage_checksums])
def test_whatever_differs_from_the_index_is_decoded_forward(
    make_video, numbers_of, decoded, damage
):
    path = make_video(count=130)
    index = index_of(path)
    damage(index)
    assert numbers_of(read_frames(path, [5, 60, 105], index=index)) == [5, 60, 105]
    assert decoded and not index.seekable
    del decoded[:]
    assert numbers_of(read_frames(path, [105], index=index)) == [105]
    assert decoded == []


def test_another_file_in_its_place_is_noticed(make_video, numbers_of):
    path = make_video(count=130)
    index = index_of(path)
    make_video(count=130, options={"x264-params": "keyint=7:scenecut=0:crf=40"})
    frames = read_frames(path, [77, 111], index=index)
    np.testing.assert_array_equal(frames, read_frames(path)[[77, 111]])
    assert not index.seekable


def test_stamps_that_do_not_rise_are_never_used(make_video):
    class Frame:
        key_frame, width, height, planes = True, 2, 2, ()
        format = type("Format", (), {"name": "gray", "components": ()})
        time_base = Fraction(1, 25)

        def __init__(self, pts):
            self.pts = pts

    for stamps in ([0, 2, 1], [0, 1, 1], [0, None, 2]):
        indexer = FrameIndexer()
        for stamp in stamps:
            indexer.add(Frame(stamp))
        assert not indexer.index().seekable


def test_training_without_cache_seeks_and_gives_the_same(make_video, decoded):
    examples = [VideoExample(make_video(f"{n}.mp4", count=120), n) for n in range(2)]
    arguments = dict(num_frames=4, image_size=(16, 40), batch_size=8, seed=2)
    cached = video_clip_dataset(examples, **arguments).take(3)
    plain = video_clip_dataset(examples, cache_bytes=0, **arguments).take(3)
    for (clips, _), (expected, _) in zip(
        plain.as_numpy_iterator(), cached.as_numpy_iterator(), strict=True
    ):
        np.testing.assert_array_equal(clips, expected)
    assert decoded and np.mean(decoded) < 40


def test_a_first_reading_decodes_once(make_video, monkeypatch):
    path = make_video(count=60)
    store = FrameSource(32, cache_bytes=0)
    from h2s_keras.data.video import frame_source

    def fail(*arguments, **options):
        raise AssertionError("decoded twice")

    monkeypatch.setattr(frame_source, "read_frames", fail)
    frames = store.read(path, lambda count: np.array([count - 1, 3]))
    assert frames.shape == (2, 32, 80, 3) and store.counts == {path: 60}


def test_a_wrong_count_in_the_header_does_not_matter(make_video, numbers_of, monkeypatch):
    path = make_video(count=60)
    from h2s_keras.data.video import frame_source

    monkeypatch.setattr(frame_source.FrameSource, "_claimed_frames", lambda *rest: 33)
    frames = FrameSource((64, 160), cache_bytes=0).read(
        path, lambda count: np.array([[count - 1, 2]])
    )
    assert numbers_of(frames[0]) == [59, 2]


# === Frame rates ===


def test_moments_of_a_rate():
    stamps = [0, 40, 340, 380]
    assert rate_indices(stamps, Fraction(1, 1000), 10).tolist() == [0, 1, 1, 1]
    assert rate_indices(stamps, Fraction(1, 1000), 50).tolist() == [
        *[0, 0],
        *[1] * 15,
        *[2] * 2,
        3,
    ]
    # Milliseconds cannot show 30 frames a second; each frame is met once all the same.
    rounded = np.round(np.arange(300) * 1000 / 30).astype(int)
    assert rate_indices(rounded, Fraction(1, 1000), 30).tolist() == list(range(300))
    assert rate_indices(rounded, Fraction(1, 1000), 15).tolist() == list(range(0, 300, 2))
    assert rate_indices([5], Fraction(1, 25), 10).tolist() == [0]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("rate", [5, 12.5, 29.97, 60])
def test_variable_rates_are_read_by_time(make_video, numbers_of, name, rate):
    times = np.cumsum([0] + [20, 300, 100, 40] * 10)[:40]
    path = make_video(name, times=times)
    moments = np.arange(int(times[-1] / 1000 * rate + 1e-6) + 1) / rate * 1000
    expected = (np.searchsorted(times, moments + 0.51, side="right") - 1).tolist()
    frames = read_frames(path, rate=rate)
    assert numbers_of(frames) == expected
    assert count_frames(path, rate=rate) == len(expected)
    assert sum(1 for _ in iterate_frames(path, size=8, rate=rate)) == len(expected)
    some = [len(expected) - 1, 2, 5]
    assert numbers_of(read_frames(path, some, rate=rate)) == [expected[n] for n in some]
    for cache_bytes in (0, 1e8):
        store = FrameSource((64, 160), cache_bytes, rate=rate)
        read = store.read(path, lambda count: np.arange(count))
        np.testing.assert_array_equal(read, frames)
    # The control: without the rate the frames are others.
    assert numbers_of(read_frames(path)) != expected


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("frames_between", [1, 3])
def test_avi_with_b_frames_has_a_rate(make_video, numbers_of, codec, frames_between):
    """UCF101 is such: the file says when each packet is decoded, not when it is shown."""
    import av

    options = {"bf": str(frames_between), "g": "12"}
    path = make_video("a.avi", 40, codec, options=options)
    with av.open(path) as container:
        stream = container.streams.video[0]
        kinds = {frame.pict_type for frame in container.decode(stream)}
    assert av.video.frame.PictureType.B in kinds
    assert numbers_of(read_frames(path, rate=25)) == list(range(40))
    assert numbers_of(read_frames(path, rate=5)) == list(range(0, 40, 5))
    store = FrameSource((64, 160), 0, rate=5)
    assert numbers_of(store.read(path, np.arange)) == list(range(0, 40, 5))
    reader = FrameSource((64, 160), 0, rate=5)
    found = reader.iterate(path, range(reader.frame_count(path)))
    assert numbers_of([picture for _, picture in found]) == list(range(0, 40, 5))


def test_real_avi_files_have_a_rate(real_data):
    paths = sorted(pathlib.Path(real_data("actions")).rglob("*.avi"))
    assert paths
    for path in paths[::8]:
        expected = count_frames(path) * 10 / probe_video(path).rate
        assert abs(count_frames(path, rate=10) - expected) < 2


def test_a_video_refused_once_decoded_gives_its_memory_back(make_video, monkeypatch):
    late = make_video("late.mp4", count=5, times=[0, 40, 80, 120, 5000])
    good = make_video("good.mp4", count=5)
    monkeypatch.setattr(time_stamps, "MAX_GAP", 3)
    store = FrameSource(8, rate=5)
    with pytest.raises(VideoError, match="gap of more than 3 s"):
        store.read(late, np.arange)
    assert store.used == 0 and not store.videos
    frames = store.read(good, np.arange)
    # Five frames of 40 ms, each 8x20 pixels.
    assert len(frames) == 1 and store.used == 5 * 8 * 20 * 3


def test_rates_that_make_no_sense(make_video, monkeypatch):
    path = make_video(count=5, times=[0, 40, 80, 120, 5000])
    for rate in (0, -1):
        with pytest.raises(ValueError, match="above 0"):
            read_frames(path, rate=rate)
    monkeypatch.setattr(time_stamps, "MAX_GAP", 3)
    with pytest.raises(VideoError, match="gap of more than 3 s"):
        read_frames(path, rate=5)
    with pytest.raises(VideoError, match="gap of more than 3 s"):
        FrameSource(8, 0, rate=5).frame_count(path)
    with pytest.raises(VideoError, match="gap of more than 3 s"):
        FrameSource(8, rate=5).read(path, np.arange)
    assert FrameSource(8, 0).frame_count(path) == 5
    with pytest.raises(ValueError, match="not both"):
        read_frames(path, rate=5, index=index_of(path))


@pytest.mark.parametrize(
    ("kind", "sample"), [("yuv420p", 1), ("yuv420p10le", 2), ("bgr0", 4), ("gray", 1)]
)
@pytest.mark.parametrize("size", [(16, 24), (13, 21)])
def test_checksums_see_every_pixel(kind, sample, size):
    import av

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*size, 3), np.uint8)

    def converted(array):
        return av.VideoFrame.from_ndarray(array, "rgb24").reformat(format=kind)

    def checksum(array):
        return frame_index.frame_checksum(converted(array))

    def repadded(frame):
        """The same pixels, copied: FFmpeg's way to 10 bits is not the same every time."""
        copy = av.VideoFrame(frame.width, frame.height, kind)
        for plane, other in zip(frame.planes, copy.planes, strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            noise = rng.integers(0, 256, (other.height, other.line_size), np.uint8)
            width = sample * plane.width
            noise[:, :width] = rows[:, :width]
            other.update(noise.tobytes())
        return copy

    frame = converted(picture)
    first = frame_index.frame_checksum(frame)
    assert frame_index.frame_checksum(repadded(frame)) == first
    for place in ((0, 0), (size[0] - 1, size[1] - 1), (5, 17)):
        changed = picture.copy()
        changed[place] = 255 - changed[place]
        assert checksum(changed) != first
    assert checksum(picture[::-1].copy()) != first
