"""Colours of decoded video against the formulas of the standards, whichever PyAV."""

import numpy as np
import pytest

from h2s_keras.data import read_frames

# Share of red and of blue in luma: ITU-R BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4.
LUMA = {
    "smpte170m": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020nc": (0.2627, 0.0593),
}
# Their numbers in ITU-T H.273, table 4.
TAGS = {"smpte170m": 6, "bt709": 1, "bt2020nc": 9}
# Half a level, and the slack of the standard's own coefficients.
ROUNDING = 0.6
# Y, U, V: grey, a red, a green, a blue, skin, something dark.
COLOURS = [(126, 128, 128), (90, 105, 200), (150, 60, 50), (60, 190, 110), (170, 110, 150)]
COLOURS += [(40, 140, 120)]


def rgb_of(colour, matrix, full):
    """8 bit R'G'B' of 8 bit Y'CbCr by the standards' own equations."""
    red, blue = LUMA[matrix]
    y, cb, cr = (float(value) for value in colour)
    if full:
        luma, cb, cr = y / 255, (cb - 128) / 255, (cr - 128) / 255
    else:
        luma, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    r = luma + 2 * (1 - red) * cr
    b = luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.clip(255 * np.array([r, g, b]), 0, 255)


def tag(target, matrix, full):
    if matrix is not None:
        target.colorspace, target.color_range = TAGS[matrix], 2 if full else 1


def write_colours(path, matrix, full, size=(32, 48)):
    """Writes one frame of each colour, without loss, with or without tags."""
    import av

    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"x264-params": "qp=0"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        tag(stream.codec_context, matrix, full)
        for colour in COLOURS:
            planes = [np.full((height, width), colour[0], np.uint8)]
            planes += [
                np.full((height // 4, width), value, np.uint8) for value in colour[1:]
            ]
            frame = av.VideoFrame.from_ndarray(np.concatenate(planes), "yuv420p")
            tag(frame, matrix, full)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("size", [None, (20, 30), (40, 80)])
@pytest.mark.parametrize(
    ("matrix", "full"), [(None, False), *((m, f) for m in LUMA for f in (False, True))]
)
def test_colours_are_those_of_the_standard(tmp_path, matrix, full, size):
    write_colours(tmp_path / "video.mp4", matrix, full)
    frames = read_frames(tmp_path / "video.mp4", size=size)
    assert len(frames) == len(COLOURS)
    for frame, colour in zip(frames, COLOURS, strict=True):
        # Video without tags is of BT.601 and of limited range, as FFmpeg's tools say.
        wanted = rgb_of(colour, matrix or "smpte170m", full)
        assert frame.min(axis=(0, 1)) == pytest.approx(wanted, abs=ROUNDING)
        assert frame.max(axis=(0, 1)) == pytest.approx(wanted, abs=ROUNDING)


def test_another_matrix_or_range_would_be_seen():
    for colour in COLOURS[1:]:
        right = rgb_of(colour, "bt709", False)
        for matrix, full in [("smpte170m", False), ("bt2020nc", False), ("bt709", True)]:
            assert np.abs(right - rgb_of(colour, matrix, full)).max() > 1.2
