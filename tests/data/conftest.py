"""Videos made for the tests: each frame carries its own number as grey blocks."""

import fractions

import numpy as np
import pytest

BLOCK = 16
BITS = 8


def number_picture(number, height, width):
    """A picture that shows `number` as 8 black or white blocks along its top edge."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[height // 2 :, : width // 2] = (60, 120, 180)
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 20
        picture[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = value
    return picture


def read_number(picture):
    """The number that a decoded picture shows."""
    scale = picture.shape[1] / read_number.width
    number = 0
    for bit in range(BITS):
        x = int((bit + 0.5) * BLOCK * scale)
        number |= int(picture[int(BLOCK * scale / 2), x].mean() > 128) << bit
    return number


read_number.width = 160


@pytest.fixture
def numbers_of():
    return lambda frames: [read_number(frame) for frame in frames]


@pytest.fixture
def make_video(tmp_path):
    """Writes a numbered video: `make_video(name, count, codec, ...)` returns its path."""
    import av

    def make(
        name="video.mp4",
        count=40,
        codec="libx264",
        pixel_format="yuv420p",
        size=(64, 160),
        times=None,
        options=None,
        muxer_options=None,
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open("file:" + str(path), "w", options=muxer_options or {}) as container:
            stream = container.add_stream(codec, rate=25, options=options or {})
            stream.height, stream.width = size
            stream.pix_fmt = pixel_format
            stream.gop_size = 12
            if times is not None:
                stream.codec_context.time_base = fractions.Fraction(1, 1000)
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(number_picture(number, *size), "rgb24")
                if times is not None:
                    frame.pts = int(times[number])
                    frame.time_base = fractions.Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return str(path)

    return make


@pytest.fixture
def make_grey_video(tmp_path):
    """Writes a video whose frame `n` is even grey of value `4 n`, whatever is cropped."""
    import av

    def make(name="grey.mkv", count=60, size=(16, 24)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width = size
            stream.pix_fmt = "gray"
            for number in range(count):
                picture = np.full(size, 4 * number, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, "gray")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return str(path)

    return make


@pytest.fixture
def grey_numbers():
    """The frame numbers that clips (..., height, width, 3) of such a video show."""
    return lambda clips: np.round(clips.mean(axis=(-3, -2, -1)) / 4).astype(int)
