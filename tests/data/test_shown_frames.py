"""What is shown of frames that are interlaced, mirrored or of unknown colours."""

import struct

import numpy as np
import pytest

from h2s_keras.data import (
    ClipReport,
    VideoExample,
    read_frames,
    read_image,
    video_clip_dataset,
)
from h2s_keras.data.video.frame_index import FrameIndexer
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import VideoError

HEIGHT, WIDTH = 64, 160


def bar_picture(moment):
    """A bright bar on dark ground that moves by 4 pixels a moment."""
    picture = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    picture[:, 8 + 4 * moment : 28 + 4 * moment] = 220
    return picture


def bar_begins(picture):
    """Column of the left edge of the bar in each row."""
    return (picture[..., 0] > 125).argmax(axis=1)


def write_interlaced(path, codec, count=30, interlaced=True):
    """Frame n shows moment 2 n in its upper field (even rows) and 2 n + 1 in its lower."""
    import av
    from av.codec.context import Flags

    options = {"x264-params": "tff=1", "crf": "4"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options if interlaced else {})
        stream.height, stream.width = HEIGHT, WIDTH
        stream.pix_fmt, stream.gop_size = "yuv420p", 12
        stream.bit_rate = 8_000_000
        if interlaced:
            stream.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        for number in range(count):
            picture = bar_picture(2 * number % 30)
            picture[1::2] = bar_picture(2 * number % 30 + 1)[1::2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mpg", "mpeg2video"), ("a.avi", "mpeg2video")],
)
@pytest.mark.parametrize("size", [None, (32, 80)])
def test_of_interlaced_frames_one_moment_is_shown(tmp_path, name, codec, size):
    frames = read_frames(write_interlaced(tmp_path / name, codec), size=size)
    assert len(frames) == 30
    scale = 1 if size is None else 2
    for number, frame in enumerate(frames):
        begins = bar_begins(frame)
        # The lower field alone would begin 4 pixels later, both together in either place.
        assert abs(begins * scale - (8 + 8 * number % 120)).max() <= 2
    assert frames.shape[1:] == ((HEIGHT, WIDTH, 3) if size is None else (32, 80, 3))


def test_progressive_frames_keep_all_their_rows(tmp_path):
    path = write_interlaced(tmp_path / "a.mp4", "libx264", interlaced=False)
    begins = bar_begins(read_frames(path)[3])
    assert abs(begins[::2].astype(int) - begins[1::2]).min() >= 3


def test_interlaced_frames_are_the_same_after_a_seek(tmp_path):
    import av

    path = write_interlaced(tmp_path / "a.mp4", "libx264", count=60)
    frames = read_frames(path)
    indexer = FrameIndexer()
    with av.open(path) as container:
        for frame in container.decode(video=0):
            indexer.add(frame)
    index = indexer.index()
    for wanted in ([55], [24, 25, 59], [36]):
        assert index.saved_by_seeking(wanted)
        read = read_frames(path, wanted, index=index)
        np.testing.assert_array_equal(read, frames[wanted])
    assert index.seekable
    store = FrameSource(None, cache_bytes=0)
    for wanted in ([57, 58], [40, 41]):
        read = store.read(path, lambda count, wanted=wanted: np.asarray(wanted))
        np.testing.assert_array_equal(read, frames[wanted])


def shown_by_matrix(picture, a, b, c, d):
    """Puts each pixel (x, y) where the display matrix says: (ax + cy, bx + dy)."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    shown = np.empty((to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    shown[to_y, to_x] = picture
    return shown


@pytest.mark.parametrize(
    "matrix",
    [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
    + [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)],
)
def test_every_display_matrix_is_followed(make_video, matrix):
    path = make_video(count=2)
    stored = read_frames(path)
    a, b, c, d = (value << 16 for value in matrix)
    with open(path, "rb") as file:
        content = bytearray(file.read())
    place = content.index(b"tkhd") + 4 + 40
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    with open(path, "wb") as file:
        file.write(content)
    for frame, picture in zip(read_frames(path), stored, strict=True):
        np.testing.assert_array_equal(frame, shown_by_matrix(picture, *matrix))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_a_camera_is_followed(tmp_path, orientation):
    import tensorflow as tf

    picture = np.full((32, 48, 3), 40, np.uint8)
    picture[:16, :16] = (200, 60, 60)
    content = tf.io.encode_jpeg(picture, quality=100).numpy()
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0\x2a" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path = tmp_path / "photo.jpg"
    path.write_bytes(content[:2] + segment + content[2:])
    expected = {
        1: picture,
        2: np.fliplr(picture),
        3: np.rot90(picture, 2),
        4: np.flipud(picture),
        5: picture.transpose(1, 0, 2),
        6: np.rot90(picture, -1),
        7: np.rot90(picture, 2).transpose(1, 0, 2),
        8: np.rot90(picture, 1),
    }[orientation]
    shown = read_image(path)
    assert shown.shape == expected.shape
    assert abs(shown.astype(int) - expected).mean() < 3


def test_colours_that_nobody_can_convert_make_a_bad_file(make_video):
    bad = make_video("bad.mp4", 12, options={"x264-params": "colormatrix=YCgCo"})
    with pytest.raises(VideoError, match=r"bad\.mp4: .*colour matrix 8.* RGB.*; convert"):
        read_frames(bad)
    examples = [VideoExample(bad, 0), VideoExample(make_video("good.mp4", 12), 1)]
    report = ClipReport()
    dataset = video_clip_dataset(
        examples, 3, image_size=(32, 32), batch_size=4, on_bad_file="skip", report=report
    )
    _, labels = next(iter(dataset))
    assert labels.numpy().tolist() == [1] * 4
    assert list(report.bad_files) == [bad]
