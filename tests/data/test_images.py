import os
import pickle
import struct
import threading
import zlib

import numpy as np
import pytest

from h2s_keras.data import encode_png, read_image, write_png
from h2s_keras.errors import ImageError, UserError

GENERATOR = np.random.default_rng(0)
COLOUR = GENERATOR.integers(0, 256, (7, 13, 4), dtype=np.uint8)
GREY = COLOUR[..., 0]
PALETTE = GENERATOR.integers(0, 256, (256, 3), dtype=np.uint8)


def png(array, colour_type, depth, palette=None):
    """An independent, plain PNG writer (filter 0)."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
        )

    height, width = array.shape[:2]
    raw = array.astype(">u2") * 257 if depth == 16 else array
    rows = np.frombuffer(raw.astype(raw.dtype).tobytes(), np.uint8).reshape(height, -1)
    body = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
    if palette is not None:
        parts.append(chunk(b"PLTE", palette.tobytes()))
    return b"".join([*parts, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")])


def grey_to_rgb(grey):
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    "colour_type, array, expected",
    [
        (0, GREY, grey_to_rgb(GREY)),
        (2, COLOUR[..., :3], COLOUR[..., :3]),
        (4, COLOUR[..., :2], grey_to_rgb(GREY)),
        (6, COLOUR, COLOUR[..., :3]),
    ],
    ids=["grey", "rgb", "grey_alpha", "rgba"],
)
def test_every_kind_of_png_is_read_exactly(tmp_path, colour_type, array, expected, depth):
    path = tmp_path / "image.png"
    path.write_bytes(png(array, colour_type, depth))
    image = read_image(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


def test_palette_png(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(png(GREY, 3, 8, PALETTE))
    np.testing.assert_array_equal(read_image(path), PALETTE[GREY])


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"P6\n# note\n2 1\n255\n" + bytes(range(6)), [[[0, 1, 2], [3, 4, 5]]]),
        (b"P5 2 1 255\n" + bytes([9, 200]), [[[9] * 3, [200] * 3]]),
    ],
)
def test_ppm_and_pgm(tmp_path, content, expected):
    path = tmp_path / "image.ppm"
    path.write_bytes(content)
    assert read_image(path).tolist() == expected


def test_jpeg_and_bmp_against_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    smooth = np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)
    picture = np.stack([smooth, smooth[::-1], smooth // 4], axis=-1)
    path = tmp_path / "image.jpg"
    path.write_bytes(tf.io.encode_jpeg(picture, quality=98).numpy())
    expected = tf.io.decode_jpeg(path.read_bytes()).numpy().astype(int)
    error = np.abs(read_image(path) - expected)
    assert error.mean() < 2.5 and error.max() < 10
    # The control: a swap of the channels is far outside the tolerance.
    assert np.abs(read_image(path)[..., ::-1] - expected).mean() > 20

    bmp = tmp_path / "image.bmp"
    head = struct.pack("<2sIHHI", b"BM", 54 + 16, 0, 0, 54)
    head += struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 24, 0, 16, 0, 0, 0, 0)
    bmp.write_bytes(head + bytes([1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0]))
    np.testing.assert_array_equal(read_image(bmp), tf.io.decode_bmp(bmp.read_bytes()))


@pytest.mark.parametrize(
    "array",
    [GREY, GREY[..., None], COLOUR[..., :3], COLOUR[..., :3].astype(np.uint16) * 257],
    ids=["grey", "grey_channel", "rgb", "rgb16"],
)
def test_written_png_is_read_back_here_and_by_tensorflow(tmp_path, array):
    path = tmp_path / "image.PNG"
    write_png(path, array)
    eight = (array // 257 if array.dtype == np.uint16 else array).astype(np.uint8)
    expected = eight if eight.shape[-1] == 3 else grey_to_rgb(eight.reshape(7, 13))
    np.testing.assert_array_equal(read_image(path), expected)
    tf = pytest.importorskip("tensorflow")
    dtype = tf.as_dtype(array.dtype)
    values = tf.io.decode_png(path.read_bytes(), dtype=dtype).numpy()
    np.testing.assert_array_equal(values, array.reshape(values.shape))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(ValueError, match="Received"):
        encode_png(array)


def test_writing_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    write_png(path, GREY)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ImageError, match="No space left"):
        write_png(path, GREY[::-1])
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.png"]


def test_unwritable_names(tmp_path):
    with pytest.raises(ImageError, match="does not exist; make it"):
        write_png(tmp_path / "none" / "image.png", GREY)
    with pytest.raises(ImageError, match="must end in .png"):
        write_png(tmp_path / "image.jpg", GREY)


@pytest.mark.parametrize(
    "content, text",
    [
        (b"", "empty"),
        (b"hello", "is not a PNG"),
        (png(COLOUR, 6, 8)[:60], "broken png"),
        (None, "no such file"),
    ],
)
def test_bad_images(tmp_path, content, text):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=text) as caught:
        read_image(path)
    assert "\n" not in str(caught.value) and "bad.png" in str(caught.value)


def test_folder_and_pipe_are_refused_at_once(tmp_path):
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    errors = []

    def read():
        try:
            read_image(tmp_path / "pipe.png")
        except ImageError as error:
            errors.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert len(errors) == 1


def test_errors_are_one_line_and_survive_pickling():
    error = ImageError("a\nb.png", "is bad\nreally")
    assert isinstance(error, UserError) and isinstance(error, ValueError)
    assert str(error) == "a\\nb.png: is bad really"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_real_png(real_data):
    image = read_image(real_data("flow", "RubberWhale", "frame10.png"))
    assert image.shape == (388, 584, 3) and image.std() > 20
