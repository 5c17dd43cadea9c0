"""What decoders conceal and files lack is a break; whole files are whole."""

import struct
import subprocess
import sys
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest

from h2s_keras.data import count_frames, encode_png, read_frames, read_image
from h2s_keras.data.video.container_files import is_cut
from h2s_keras.errors import BrokenVideoError, ImageError, VideoError

PICTURE = np.kron(
    np.random.default_rng(0).integers(0, 255, (12, 16, 3)), np.ones((10, 10, 1))
).astype(np.uint8)


def jpeg(shift=0):
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = 160, 120, "yuvj420p"
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.roll(PICTURE, shift, 1), "rgb24")
    frame = frame.reformat(format="yuvj420p")
    frame.pts = 0
    return b"".join(bytes(p) for p in [*context.encode(frame), *context.encode(None)])


@pytest.mark.parametrize("lost", [1, 2, 20, 200, 0.5])
def test_a_jpeg_cut_short_is_broken(tmp_path, lost):
    content = jpeg()
    path = tmp_path / "a.jpg"
    path.write_bytes(content + b"\0\0padding")
    assert read_image(path).shape == (120, 160, 3)
    path.write_bytes(content[: -lost if lost >= 1 else len(content) // 2])
    with pytest.raises(ImageError, match="a.jpg: is a (JPEG|broken mjpeg) image"):
        read_image(path)


@pytest.mark.parametrize("kind", ["png", "bmp", "ppm"])
@pytest.mark.parametrize("lost", [2, 30, 0.5])
def test_other_images_cut_short_are_broken(tmp_path, kind, lost):
    if kind == "png":
        content = encode_png(PICTURE)
    else:
        pixel_format = {"bmp": "bgr24", "ppm": "rgb24"}[kind]
        context = av.CodecContext.create(kind, "w")
        context.width, context.height, context.pix_fmt = 160, 120, pixel_format
        context.time_base = Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(PICTURE, "rgb24").reformat(format=pixel_format)
        content = b"".join(bytes(p) for p in context.encode(frame))
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_image(path), PICTURE)
    path.write_bytes(content[: -lost if lost >= 1 else len(content) // 2])
    with pytest.raises(ImageError, match="broken"):
        read_image(path)


def test_a_flipped_bit_in_a_png_is_seen(tmp_path):
    content = bytearray(encode_png(PICTURE))
    content[-20] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match="broken png"):
        read_image(tmp_path / "a.png")


def test_a_folder_of_frames_breaks_at_the_jpeg_cut_short(tmp_path):
    for number in range(6):
        content = jpeg(3 * number)
        cut = content[: len(content) * 9 // 10] if number == 4 else content
        (tmp_path / f"img_{number + 1:05d}.jpg").write_bytes(cut)
    with pytest.raises(BrokenVideoError, match=r"after 4 good frames \(img_00005.jpg"):
        read_frames(tmp_path)


def write(path, codec, count=60, first=0, options=None, pixel_format="yuv420p", mux=None):
    """Noise over a ramp that moves, so that every frame costs bytes."""
    noise = np.random.default_rng(0).integers(0, 40, (64, 96, 3))
    with av.open(str(path), "w", options=mux or {}) as container:
        quick = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx" else {}
        stream = container.add_stream(codec, rate=30, options=options or quick)
        stream.height, stream.width, stream.pix_fmt = 64, 96, pixel_format
        stream.gop_size = 12
        for number in range(count):
            picture = (noise + 2 * number).astype(np.uint8)
            picture[:, number % 60 : number % 60 + 20] = 220
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = first + number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def packets_of(path):
    """(place, size) of the packets of a file in their order."""
    with av.open(path) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.size]


FRAGILE = {
    "mjpeg": dict(name="a.avi", codec="mjpeg", pixel_format="yuvj420p"),
    "slices": dict(name="a.mkv", codec="libx264", options={"x264-params": "slices=4"}),
    "mpeg4": dict(name="a.avi", codec="mpeg4"),
    "mpeg2": dict(name="a.mkv", codec="mpeg2video"),
}


@pytest.mark.parametrize("kind", FRAGILE)
def test_frames_with_holes_are_never_given(tmp_path, kind):
    made = dict(FRAGILE[kind])
    path = write(tmp_path / made.pop("name"), made.pop("codec"), 30, **made)
    whole = read_frames(path)
    assert len(whole) == 30
    content = open(path, "rb").read()
    for number in (9, 16, 23):
        place, size = packets_of(path)[number]
        damaged = bytearray(content)
        start = place + 12 + size // 2
        damaged[start : place + size] = bytes(place + size - start)
        with open(path, "wb") as file:
            file.write(damaged)
        with pytest.raises(BrokenVideoError) as caught:
            count_frames(path)
        good = caught.value.good_frames
        assert number - 5 <= good <= number + 1
        with pytest.warns(UserWarning, match="it breaks then"):
            kept = read_frames(path, on_broken="keep")
        np.testing.assert_array_equal(kept, whole[:good])
        with open(path, "wb") as file:
            file.write(content)


def test_a_first_frame_with_a_hole_is_not_left_out_in_silence(tmp_path):
    path = write(tmp_path / "a.avi", "mjpeg", 8, pixel_format="yuvj420p")
    content = bytearray(open(path, "rb").read())
    start = content.index(b"\xff\xda") + 200
    content[start : start + 600] = b"\xff" * 600
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(VideoError, match="no decodable frame"):
        count_frames(path)


def test_cameras_that_leave_out_the_end_marker_are_believed(tmp_path):
    path = write(tmp_path / "a.avi", "mjpeg", 8, pixel_format="yuvj420p")
    content = bytearray(open(path, "rb").read())
    for place, size in packets_of(path):
        end = content.rindex(b"\xff\xd9", place, place + 8 + size + 2)
        content[end : end + 2] = bytes(2)
    with open(path, "wb") as file:
        file.write(content)
    assert count_frames(path) == 8


FILES = {
    "a.mkv": ("libx264", None),
    "a.webm": ("libvpx", None),
    "a.wmv": ("wmv2", None),
    "a.mp4": ("libx264", {"movflags": "faststart"}),
    "b.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "a.mov": ("mpeg4", {"movflags": "faststart"}),
    "a.avi": ("mpeg4", None),
    "b.avi": ("libx264", None),
    "a.flv": ("flv", None),
    "a.ts": ("libx264", None),
    "a.mpg": ("mpeg2video", None),
    "a.ogv": ("libvpx", None),
    "a.gif": ("gif", None),
}


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_whole_whenever_they_begin(tmp_path, name):
    codec, mux = FILES[name]
    pixel_format = "rgb8" if codec == "gif" else "yuv420p"
    for first in (0, 90):
        path = write(tmp_path / name, codec, 60, first, None, pixel_format, mux)
        assert count_frames(path) == 60
        assert is_cut(path) in (False, None)


@pytest.mark.parametrize("name", [n for n in FILES if n not in ("a.ts", "a.flv", "a.mpg")])
def test_files_that_were_cut_never_pass_for_whole(tmp_path, name):
    codec, mux = FILES[name]
    pixel_format = "rgb8" if codec == "gif" else "yuv420p"
    path = write(tmp_path / name, codec, 60, 0, None, pixel_format, mux)
    content = open(path, "rb").read()
    for size in range(len(content) // 4, len(content), len(content) // 12):
        with open(path, "wb") as file:
            file.write(content[:size])
        try:
            # Cut in what stands behind the frames, a file has them all.
            assert count_frames(path) == 60, size
        except VideoError as error:
            assert error.good_frames <= 60


def with_duration(path, seconds):
    """Writes another duration into the header of a Matroska file."""
    content = bytearray(open(path, "rb").read())
    place = content.index(b"\x44\x89\x88") + 3
    content[place : place + 8] = np.array(1000.0 * seconds, ">f8").tobytes()
    with open(path, "wb") as file:
        file.write(content)


def test_a_header_with_another_duration_breaks_nothing(tmp_path):
    path = write(tmp_path / "a.mkv", "libx264")
    for seconds in (60, 0.5):
        with_duration(path, seconds)
        assert count_frames(path) == 60
    # The control: what the file lacks is missed.
    content = open(path, "rb").read()
    with open(path, "wb") as file:
        file.write(content[: len(content) // 2])
    with pytest.raises(BrokenVideoError):
        count_frames(path)


def test_a_recording_that_begins_inside_a_picture_group_is_read(tmp_path):
    path = write(tmp_path / "a.ts", "libx264")
    content = open(path, "rb").read()
    with open(path, "wb") as file:
        file.write(content[len(content) // 10 // 188 * 188 :])
    assert 36 <= count_frames(path) < 60


def with_chunk(png, kind, body):
    """A PNG file with another chunk behind its header."""
    chunk = struct.pack(">I", len(body)) + kind + body
    chunk += struct.pack(">I", zlib.crc32(kind + body))
    return png[:33] + chunk + png[33:]


def profile():
    icc = bytearray(132)
    icc[0:4], icc[12:24], icc[36:40] = bytes([0, 0, 0, 132]), b"mntrRGB XYZ ", b"acsp"
    return b"ICC\0\0" + zlib.compress(bytes(icc))


READ = """
import gc, sys
import h2s_keras_command
from h2s_keras.data import count_frames, probe_video, read_frames, read_image
folder = sys.argv[1]
shape = read_image(folder + "/img_00001.png").shape
assert count_frames(folder) == 30 and len(read_frames(folder)) == 30
probe_video(folder)
gc.collect()
print(shape)
"""


def test_colour_profiles_do_not_end_the_process(tmp_path):
    for number in range(30):
        png = with_chunk(encode_png(np.roll(PICTURE, number, 1)), b"iCCP", profile())
        (tmp_path / f"img_{number + 1:05d}.png").write_bytes(png)
    np.testing.assert_array_equal(read_image(tmp_path / "img_00001.png"), PICTURE)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "(120, 160, 3)"), done.stderr
