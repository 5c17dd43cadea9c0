"""What a container says of its pictures is followed, or named in one line."""

import struct
import subprocess
import sys
import warnings

import av
import numpy as np
import pytest

from h2s_keras.data import VideoExample, count_frames, read_frames
from h2s_keras.data.segments import segment_frames
from h2s_keras.data.video.container_files import shown_pictures
from h2s_keras.errors import VideoWarning

Y, X = np.mgrid[:64, :96]
RAMP = np.stack([2 * X, 3 * Y, X + Y], axis=-1).astype(np.uint8)


def write(
    path, pictures, codec="ffv1", pixel_format="bgr0", first=0, options=None, edit=None
):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.gop_size = pixel_format, 12
        if edit is not None:
            edit(stream)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts = first + number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def h264(path, pictures, **options):
    return write(path, pictures, "libx264", "yuv420p", **options)


def quiet_frames(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_frames(path, **options)


def test_matroska_s_crop_is_followed(tmp_path):
    path = write(tmp_path / "a.mkv", [RAMP] * 3)
    np.testing.assert_array_equal(quiet_frames(path)[0], RAMP)
    content = bytearray(open(path, "rb").read())
    # The default duration makes room for left, top, right and bottom.
    place = content.index(bytes.fromhex("23e38384"))
    assert content[place + 8] == 0xE0
    assert content[place + 20 : place + 24] == bytes.fromhex("55ee8100")
    crop = bytes.fromhex("54cc8109 54bb8105 54dd8110 54aa8106")
    content[place : place + 24] = b"\xe0\x96" + content[place + 10 : place + 16] + crop
    with open(path, "wb") as file:
        file.write(content)
    frames = quiet_frames(path)
    np.testing.assert_array_equal(frames, [RAMP[5:58, 9:80]] * 3)
    assert quiet_frames(path, size=20).shape == (3, 20, 27, 3)


def test_the_clean_aperture_of_mp4_is_followed(tmp_path):
    path = write(tmp_path / "a.mov", [RAMP] * 3, "qtrle", "rgb24")
    content = bytearray(open(path, "rb").read())
    plain = quiet_frames(path)
    np.testing.assert_array_equal(plain[0], RAMP)
    # 72 x 54 around a centre 4 to the left of and 1 above that of the picture.
    box = struct.pack(">I4s8i", 40, b"clap", 72, 1, 54, 1, -4, 1, -1, 1)
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        place = content.index(kind) - 4
        size = int.from_bytes(content[place : place + 4], "big")
        content[place : place + 4] = (size + 40).to_bytes(4, "big")
    entry = content.index(b"stsd") + 12
    size = int.from_bytes(content[entry : entry + 4], "big")
    content[entry : entry + 4] = (size + 40).to_bytes(4, "big")
    content[entry + size : entry + size] = box
    with open(path, "wb") as file:
        file.write(content)
    np.testing.assert_array_equal(quiet_frames(path), [RAMP[4:58, 8:80]] * 3)


def test_the_crop_of_h264_is_exact(tmp_path):
    options = {"x264-params": "crop-rect=10,4,14,6", "crf": "1"}
    frames = quiet_frames(h264(tmp_path / "a.mp4", [RAMP] * 3, options=options))
    assert frames.shape == (3, 54, 72, 3)
    assert np.abs(frames[0].astype(int) - RAMP[4:58, 10:82]).mean() < 3


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("turn, mirrored", [(0, True), (90, True), (90, False)])
def test_mirrors_are_followed_in_every_container(tmp_path, name, turn, mirrored):
    def edit(stream):
        stream.set_display_rotation(turn, hflip=mirrored)

    path = h264(tmp_path / name, [RAMP] * 2, options={"crf": "1"}, edit=edit)
    shown = np.rot90(RAMP, turn // 90)
    shown = shown[:, ::-1] if mirrored else shown
    frames = quiet_frames(path)
    assert frames.shape[1:] == shown.shape
    assert np.abs(frames[0].astype(int) - shown).mean() < 3


def write_streams(path, colours, default, sizes=None):
    from av.stream import Disposition

    sizes = sizes or [(32, 48)] * len(colours)
    with av.open(str(path), "w") as container:
        streams = []
        for number, size in enumerate(sizes):
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            flag = Disposition.default if number in default else Disposition.dub
            stream.disposition = flag
            streams.append(stream)
        for _ in range(6):
            for stream, colour in zip(streams, colours, strict=True):
                picture = np.full((stream.height, stream.width, 3), colour, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    return str(path)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_the_default_stream_is_read(tmp_path, name):
    path = write_streams(tmp_path / name, (40, 200), default=[1])
    if name == "a.mp4":
        # The muxer marks one track by leaving out the others' flag "enabled".
        assert abs(read_frames(path).mean() - 200) < 8
    else:
        assert abs(quiet_frames(path).mean() - 200) < 8


def test_streams_that_none_can_choose_between_are_named(tmp_path):
    path = write_streams(tmp_path / "a.mkv", (40, 200), default=[0, 1])
    with pytest.warns(VideoWarning, match="2 video streams, of which 2 are marked"):
        assert abs(read_frames(path).mean() - 40) < 8
    sizes = [(32, 48), (64, 96)]
    path = write_streams(tmp_path / "b.mkv", (40, 200), [], sizes)
    with pytest.warns(VideoWarning, match="2 may be meant"):
        assert read_frames(path).shape == (6, 32, 48, 3)


def test_a_changing_picture_size_is_named_and_read_alike_everywhere(tmp_path):
    first = open(h264(tmp_path / "1.ts", [RAMP] * 30), "rb").read()
    turned = [np.ascontiguousarray(RAMP.transpose(1, 0, 2))] * 30
    second = open(h264(tmp_path / "2.ts", turned, first=30), "rb").read()
    path = tmp_path / "a.ts"
    path.write_bytes(first + second)
    text = "picture size from 96 x 64 to 64 x 96 pixels"
    with pytest.warns(VideoWarning, match=text):
        frames = read_frames(path)
    assert frames.shape == (60, 64, 96, 3)
    with pytest.warns(VideoWarning, match=text):
        late = read_frames(path, [50])
    np.testing.assert_array_equal(late, frames[50:51])


@pytest.mark.parametrize("second_start", [0, 4000, 30])
def test_joined_transport_streams_go_on_evenly(tmp_path, second_start):
    pictures = [np.full((64, 96, 3), 30 + 3 * n, np.uint8) for n in range(60)]
    first = open(h264(tmp_path / "1.ts", pictures[:30]), "rb").read()
    second = h264(tmp_path / "2.ts", pictures[30:], first=second_start)
    path = str(tmp_path / "a.ts")
    with open(path, "wb") as file:
        file.write(first + open(second, "rb").read())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        levels = read_frames(path).mean((1, 2, 3))
        assert abs(levels - (30 + 3 * np.arange(60))).max() < 5
        assert count_frames(path, rate=25) == 60
        example = VideoExample(path, 0, start=1.0, end=2.0)
        assert segment_frames(example, 60) == (25, 25)
    if second_start != 30:
        assert any("time stamps jump" in str(warning.message) for warning in caught)


def test_lost_packets_of_a_transport_stream_are_a_break(tmp_path):
    """The control of joined ones: what looks alike, but is damage."""
    noise = np.random.default_rng(0).integers(0, 60, (64, 96, 3))
    pictures = [(noise + 2 * n).astype(np.uint8) for n in range(60)]
    path = h264(tmp_path / "a.ts", pictures)
    content = open(path, "rb").read()
    count = len(content) // 188
    for lost in range(count // 3, count * 2 // 3, count // 9):
        with open(path, "wb") as file:
            file.write(content[: 188 * lost] + content[188 * (lost + 2) :])
        with pytest.raises(ValueError, match="good frames"):
            count_frames(path)


def test_interlaced_video_is_named(tmp_path):
    options = {"x264-params": "fake-interlaced=1:tff=1"}
    path = h264(tmp_path / "a.mp4", [RAMP] * 3, options=options)
    with pytest.warns(VideoWarning, match="marked as interlaced.*upper field"):
        assert read_frames(path).shape == (3, 64, 96, 3)


def test_the_command_line_prints_one_line(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
    options = {"x264-params": "fake-interlaced=1:tff=1"}
    path = write_streams(tmp_path / "a" / "x.mkv", (40, 200), default=[0, 1])
    other = h264(tmp_path / "b" / "y.mp4", [RAMP] * 3, options=options)
    done = subprocess.run(
        [sys.executable, "-m", "h2s_keras_command", "data", "verify", "folders"]
        + ["--root", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stderr.splitlines() if "warning" in line]
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert len(lines) == 2, done.stderr
    assert path in lines[0] and "2 video streams" in lines[0]
    assert other in lines[1] and "interlaced" in lines[1]


def test_files_of_other_kinds_say_nothing(tmp_path):
    assert shown_pictures(write(tmp_path / "a.avi", [RAMP] * 2)) == []
    for size in (3, 40, 400, 600):
        content = open(write(tmp_path / "a.mkv", [RAMP] * 2), "rb").read()
        (tmp_path / "b.mkv").write_bytes(content[:size])
        assert shown_pictures(tmp_path / "b.mkv") in (
            [],
            shown_pictures(tmp_path / "a.mkv"),
        )
