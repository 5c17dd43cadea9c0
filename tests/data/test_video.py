import os
import re
import struct
import threading
import types
import wave

import numpy as np
import pytest

from h2s_keras.data import (
    count_frames,
    iterate_frames,
    probe_video,
    read_frames,
)
from h2s_keras.data.video import decoder
from h2s_keras.data.video import reading as video
from h2s_keras.errors import BrokenVideoError, BrokenVideoWarning, UserError, VideoError

FORMATS = {
    "h264": dict(name="a.mp4", codec="libx264"),
    "mpeg4": dict(name="a.mp4", codec="mpeg4"),
    "avi": dict(name="a.avi", codec="mpeg4"),
    "mkv": dict(name="a.mkv", codec="libx264"),
    "ts": dict(name="a.ts", codec="libx264"),
    "10 bit": dict(name="a.mkv", codec="ffv1", pixel_format="yuv420p10le"),
    "4:4:4": dict(name="a.mkv", codec="ffv1", pixel_format="yuv444p"),
    "grey": dict(name="a.mkv", codec="ffv1", pixel_format="gray"),
    "bgr": dict(name="a.mkv", codec="ffv1", pixel_format="bgr0"),
    "full range": dict(name="a.avi", codec="mjpeg", pixel_format="yuvj420p"),
    "odd size": dict(name="a.mkv", codec="ffv1", pixel_format="yuv444p", size=(51, 163)),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_frame_of_every_format(make_video, numbers_of, kind):
    path = make_video(**FORMATS[kind])
    frames = read_frames(path)
    height, width = FORMATS[kind].get("size", (64, 160))
    assert frames.shape == (40, height, width, 3) and frames.dtype == np.uint8
    assert numbers_of(frames) == list(range(40))
    assert count_frames(path) == 40
    assert [f.tobytes() for f in iterate_frames(path)] == [f.tobytes() for f in frames]
    if kind != "grey":
        colour = frames[:, height * 3 // 4, 20].mean(axis=0)
        np.testing.assert_allclose(colour, (60, 120, 180), atol=6)
    # The blocks are 20, 235 and the rest is 90: a wrong range would shift all of them.
    np.testing.assert_allclose(frames[0, 8, 8], 20, atol=6)
    np.testing.assert_allclose(frames[1, 8, 8], 235, atol=6)


@pytest.mark.parametrize("kind", ["h264", "avi", "ts"])
def test_any_indices_are_frame_exact(make_video, numbers_of, kind):
    path = make_video(**FORMATS[kind])
    for indices in ([39], [0], range(10, 21), [30, 2, 17, 2, 39, 0], np.array([13, 12])):
        frames = read_frames(path, indices=indices)
        assert numbers_of(frames) == list(indices)
        np.testing.assert_array_equal(frames, read_frames(path)[list(indices)])
    # The control: the numbers tell neighbours apart.
    assert numbers_of(read_frames(path, indices=[12])) != [13]


def test_variable_frame_rate(make_video, numbers_of):
    times = np.cumsum([0] + [20, 300, 1000, 40] * 10)[:40]
    for name in ("a.mp4", "a.mkv"):
        path = make_video(name, times=times)
        assert numbers_of(read_frames(path)) == list(range(40))
        assert numbers_of(read_frames(path, indices=[25, 5])) == [25, 5]


def test_size(make_video, numbers_of):
    path = make_video()
    small = read_frames(path, size=(32, 80))
    assert small.shape == (40, 32, 80, 3) and numbers_of(small) == list(range(40))
    assert read_frames(path, [0], size=32).shape == (1, 32, 80, 3)
    assert read_frames(path, [0], size=500).shape == (1, 64, 160, 3)
    assert next(iterate_frames(path, size=(7, 9))).shape == (7, 9, 3)


def test_reading_stops_after_the_last_wanted_frame(make_video, monkeypatch):
    path = make_video()
    decoded = []
    convert = decoder.decoded_frames

    def counting(*args, **kwargs):
        for frame in convert(*args, **kwargs):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(decoder, "decoded_frames", counting)
    read_frames(path, indices=[3, 9])
    assert len(decoded) == 10


def rotated(path, quarter_turns_clockwise):
    """Writes the display matrix of a rotated recording into an mp4 file."""
    one = 1 << 16
    a, b = [(one, 0), (0, one), (-one, 0), (0, -one)][quarter_turns_clockwise]
    content = bytearray(open(path, "rb").read())
    place = content.index(b"tkhd") + 4 + 40
    content[place : place + 36] = struct.pack(">9i", a, b, 0, -b, a, 0, 0, 0, 1 << 30)
    target = path.replace(".mp4", f"_{quarter_turns_clockwise}.mp4")
    with open(target, "wb") as file:
        file.write(content)
    return target


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotation_metadata_is_applied(make_video, turns):
    path = make_video(count=3)
    stored = read_frames(path)
    turned = rotated(path, turns)
    frames = read_frames(turned)
    np.testing.assert_array_equal(frames, np.rot90(stored, -turns, axes=(1, 2)))
    info = probe_video(turned)
    assert (info.height, info.width) == frames.shape[1:3]
    assert info.rotation == (-90 * turns) % 360
    if turns % 2:
        assert read_frames(turned, [0], size=(80, 30)).shape == (1, 80, 30, 3)
        assert read_frames(turned, [0], size=32).shape == (1, 80, 32, 3)


def test_probe(make_video):
    info = probe_video(make_video())
    assert (info.frame_count_claimed, info.width, info.height) == (40, 160, 64)
    assert info.rate == 25 and abs(info.duration - 1.6) < 0.05
    assert (info.codec, info.pixel_format, info.rotation) == ("h264", "yuv420p", 0)


@pytest.mark.parametrize(
    "name", ["-x.mp4", "ü 你好.mp4", "a:b.mp4", "%03d.mp4", "http:x.mp4"]
)
def test_odd_names(make_video, numbers_of, monkeypatch, name):
    path = make_video(name, count=4)
    monkeypatch.chdir(os.path.dirname(path))
    assert numbers_of(read_frames(name)) == [0, 1, 2, 3]


def cut(path, part):
    content = open(path, "rb").read()
    with open(path, "wb") as file:
        file.write(content[: int(len(content) * part)])
    return path


BREAKING = {
    "mp4": dict(name="a.mp4", codec="libx264", muxer_options={"movflags": "faststart"}),
    "mpeg4": dict(name="a.mp4", codec="mpeg4", muxer_options={"movflags": "faststart"}),
    "avi": dict(name="a.avi", codec="mpeg4"),
    "mkv": dict(name="a.mkv", codec="libx264"),
}


@pytest.mark.parametrize("kind", BREAKING)
def test_a_cut_file_is_broken_but_its_good_frames_are_exact(make_video, numbers_of, kind):
    whole = make_video(count=120, **BREAKING[kind])
    complete = read_frames(whole)
    path = cut(whole, 0.6)
    with pytest.raises(BrokenVideoError, match=r"breaks after \d+ good frames") as caught:
        read_frames(path)
    good = caught.value.good_frames
    assert 20 < good < 110 and "fetch it again or convert it" in str(caught.value)
    with pytest.raises(BrokenVideoError):
        count_frames(path)
    with pytest.warns(BrokenVideoWarning, match=f"first {good} frames"):
        kept = read_frames(path, on_broken="keep")
    np.testing.assert_array_equal(kept, complete[:good])
    with pytest.warns(BrokenVideoWarning):
        assert count_frames(path, on_broken="keep") == good
    with pytest.warns(BrokenVideoWarning):
        assert len(list(iterate_frames(path, on_broken="keep"))) == good
    seen = []
    with pytest.raises(BrokenVideoError):
        for frame in iterate_frames(path):
            seen.append(frame)
    assert len(seen) == good
    assert numbers_of(read_frames(path, indices=[5, 3])) == [5, 3]
    with pytest.warns(BrokenVideoWarning), pytest.raises(VideoError, match="good frames"):
        read_frames(path, indices=[0, 119], on_broken="keep")


def test_damage_that_the_decoder_notices_is_never_shown(make_video):
    path = make_video(count=100, **BREAKING["mpeg4"])
    complete = read_frames(path)
    content = bytearray(open(path, "rb").read())
    middle = len(content) * 2 // 3
    content[middle : middle + 300] = np.random.default_rng(0).bytes(300)
    with open(path, "wb") as file:
        file.write(content)
    with pytest.warns(BrokenVideoWarning):
        kept = read_frames(path, on_broken="keep")
    np.testing.assert_array_equal(kept, complete[: len(kept)])


def write_wave(path):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(4000))


def bad_file(kind, folder):
    path = folder / "bad.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "noise":
        path.write_bytes(bytes(range(256)) * 50)
    elif kind == "text":
        path = folder / "bad.txt"
        path.write_text("hello\n" * 500)
    elif kind == "sound":
        path = folder / "bad.wav"
        write_wave(path)
    elif kind == "image":
        path.write_bytes(video_png())
    elif kind == "pipe":
        os.mkfifo(path)
    return path


def video_png():
    from h2s_keras.data import encode_png

    return encode_png(np.zeros((16, 16, 3), np.uint8))


@pytest.mark.parametrize(
    "kind, text",
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", r"is empty \(0 bytes\)"),
        ("noise", "cannot|not a video|no decodable"),
        ("text", "is a text file"),
        ("sound", "no video stream, only audio"),
        ("image", "still image"),
        ("pipe", "not a regular file"),
    ],
)
@pytest.mark.parametrize(
    "function",
    [read_frames, count_frames, probe_video, lambda path: next(iterate_frames(path))],
)
def test_every_bad_file_is_one_line(tmp_path, kind, text, function):
    path = bad_file(kind, tmp_path)
    caught = []

    def work():
        try:
            function(str(path))
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert len(caught) == 1, "hangs"
    error = caught[0]
    assert isinstance(error, VideoError) and isinstance(error, UserError)
    assert "bad." in str(error) and "\n" not in str(error)
    assert re.search(text, str(error)), str(error)


def test_too_few_frames(make_video):
    with pytest.raises(VideoError, match=r"has 40 frames, but frame 40 \(counted from 0\)"):
        read_frames(make_video(), indices=[3, 40])


def test_bad_arguments(make_video):
    path = make_video(count=2)
    for indices in ([], [-1], [0.5], [[0]]):
        with pytest.raises(ValueError, match="Received"):
            read_frames(path, indices=indices)
    for arguments in (
        {"size": (0, 4)},
        {"size": 1.5},
        {"on_broken": "hope"},
    ):
        with pytest.raises(ValueError, match="Received"):
            read_frames(path, **arguments)


def test_too_much_memory_is_refused(make_video, monkeypatch):
    monkeypatch.setattr(video, "MAX_BYTES", 64 * 160 * 3 * 5)
    with pytest.raises(VideoError, match="iterate_frames"):
        read_frames(make_video())


def fake_clock(monkeypatch, step):
    clock = types.SimpleNamespace(now=0.0)

    def monotonic():
        clock.now += step
        return clock.now

    monkeypatch.setattr(decoder, "time", types.SimpleNamespace(monotonic=monotonic))
    return clock


def test_time_limit(make_video, monkeypatch):
    path = make_video()
    fake_clock(monkeypatch, 1.0)
    with pytest.raises(VideoError, match=r"more than 20 s to decode \(\d+ frames so far\)"):
        read_frames(path, timeout=20)
    with pytest.raises(VideoError, match=r"more than 20 s to decode"):
        count_frames(path, timeout=20)
    # From one frame to the next, a video may be of any length.
    assert count_frames(path, timeout=20, per_frame=True) == 40
    assert len(read_frames(path, timeout=20, per_frame=True)) == 40
    assert len(read_frames(path, range(30, 40), timeout=20, per_frame=True)) == 10
    with pytest.raises(VideoError, match=r"gave no frame for 0.5 s \(0 frames so far\)"):
        count_frames(path, timeout=0.5, per_frame=True)
    assert len(read_frames(path, timeout=None)) == 40
    assert len(list(iterate_frames(path, timeout=60))) == 40


def test_the_callers_time_does_not_count(make_video, monkeypatch):
    path = make_video()
    clock = fake_clock(monkeypatch, 0.0)
    for _ in decoder.open_and_decode(path, timeout=20):
        clock.now += 1000


def test_cover_art_is_no_video():
    picture = types.SimpleNamespace(disposition=decoder._attached_picture(), type="video")
    plain = type(picture.disposition)(0)
    moving = types.SimpleNamespace(disposition=plain, type="video", codec_context=object())

    def container(*streams):
        every = _Streams(streams)
        return types.SimpleNamespace(
            format=types.SimpleNamespace(name="mp3"), streams=every
        )

    assert decoder.video_stream(container(picture, moving), "a.mp4") is moving
    with pytest.raises(VideoError, match="cover art"):
        decoder.video_stream(container(picture), "a.mp3")


class _Streams(tuple):
    video = property(lambda self: tuple(self))


def test_nothing_is_printed_for_a_broken_file(make_video, capfd):
    path = cut(make_video(count=120, **BREAKING["mp4"]), 0.5)
    with pytest.raises(VideoError):
        read_frames(path)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


@pytest.mark.parametrize(
    "name, count, shape",
    [
        ("unordered.mov", 4, (50, 50)),
        ("bitmap.mp4", 5, (1, 1)),
        ("-video-with-dash-.mp4", 5, (1, 1)),
        ("no_duration.webm", 74, (720, 1280)),
        ("tiny_av1.mp4", 1, (64, 64)),
        ("example_mask.mp4", 300, (200, 200)),
        ("video_0.mov", 3, (320, 568)),
        ("video_90.mov", 3, (568, 320)),
        ("video_180.mov", 3, (320, 568)),
        ("video_270.mov", 3, (568, 320)),
    ],
)
@pytest.mark.real_data
def test_real_odd_files(real_data, name, count, shape):
    path = real_data("videos", "odd", name)
    assert count_frames(path) == count
    assert read_frames(path, [0]).shape[1:3] == shape


@pytest.mark.parametrize(
    "name, text",
    [
        ("corrupted.mp4", r"breaks after \d+ good frames, although its header claims 50"),
        ("result.webm", "is empty"),
        ("audio_only.wav", "only audio"),
        (
            "bipbop_nonfragment_header.mp4",
            "no decodable frame, although its header claims 297",
        ),
    ],
)
@pytest.mark.real_data
def test_real_bad_files(real_data, name, text):
    with pytest.raises(VideoError, match=text):
        read_frames(real_data("videos", "odd", name))


@pytest.mark.real_data
def test_real_break_keeps_at_least_28_frames(real_data):
    with pytest.warns(BrokenVideoWarning):
        frames = read_frames(
            real_data("videos", "odd", "corrupted.mp4"), on_broken="keep", size=64
        )
    assert 28 <= len(frames) <= 31


@pytest.mark.real_data
def test_a_container_s_count_is_not_believed(real_data):
    path = real_data("actions", "ut_interaction", "Hugging", "10_2_1.avi")
    assert probe_video(path).frame_count_claimed == 135
    assert count_frames(path) == len(read_frames(path, size=32)) == 133
