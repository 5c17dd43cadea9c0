"""Colour jitter as one affine map of RGB: pure NumPy, the same for all frames of a clip."""

import math

import numpy as np

from h2s_keras.errors import UserError

JITTERS = ("brightness", "contrast", "saturation", "hue")
_LUMA = np.array([0.299, 0.587, 0.114])
_YIQ = np.array([_LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


def checked_jitter(ranges):
    """The ranges as a dict of all four, 0 where none is given.

    Raises:
        UserError: an unknown name, a negative range, or a hue above 0.5.
    """
    ranges = dict(ranges or {})
    unknown = sorted(set(ranges) - set(JITTERS))
    if unknown:
        raise UserError(
            f"color_jitter knows {', '.join(JITTERS)}; received {', '.join(unknown)}"
        )
    ranges = {name: float(ranges.get(name, 0.0)) for name in JITTERS}
    for name, value in ranges.items():
        if not 0 <= value <= (0.5 if name == "hue" else math.inf):
            raise UserError(
                f"color_jitter {name} must be 0 or more, and hue 0.5 of a turn at most; "
                f"received {value}"
            )
    return ranges


def draw_jitter(ranges, generator):
    """Draws one jitter: three factors around 1 and a turn of hue around 0.

    Args:
        ranges: dict as `checked_jitter` gives it. Factors are uniform in
            [max(0, 1 - range), 1 + range], the hue in [-range, range] of a whole turn.
        generator: `np.random.Generator`; four draws are taken.

    Returns:
        dict of float.
    """
    drawn = {}
    for name in JITTERS:
        middle = 0.0 if name == "hue" else 1.0
        low = -ranges[name] if name == "hue" else max(0.0, 1.0 - ranges[name])
        drawn[name] = float(generator.uniform(low, middle + ranges[name]))
    return drawn


def jitter_colors(clip, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0):
    """Changes the colours of all frames of a clip alike.

    In this order: all values times `brightness`; spread by `contrast` about the mean grey
    of the whole clip; spread by `saturation` about each pixel's grey; turned by `hue` about
    the grey axis (in YIQ, so that grey stays). Rounded and clipped to 0..255 once, at the
    end.

    Args:
        clip: uint8 array (..., 3), RGB.
        brightness, contrast, saturation: factors, 0 or more.
        hue: part of a whole turn.

    Returns:
        uint8 array like `clip`.

    Example:

    ```python
    grey = jitter_colors(clip, saturation=0.0)
    ```
    """
    matrix, offset = color_map(
        brightness, contrast, saturation, hue, clip.reshape(-1, 3).mean(axis=0)
    )
    changed = clip.reshape(-1, 3).astype(np.float32) @ matrix.T.astype(np.float32)
    changed += (offset + 0.5).astype(np.float32)
    np.clip(changed, 0.0, 255.5, out=changed)
    return changed.astype(np.uint8).reshape(clip.shape)


def color_map(brightness, contrast, saturation, hue, mean):
    """(matrix (3, 3), offset (3,)) of the four changes, `mean` being the mean RGB."""
    angle = 2 * math.pi * hue
    turn = np.array(
        [
            [1, 0, 0],
            [0, math.cos(angle), -math.sin(angle)],
            [0, math.sin(angle), math.cos(angle)],
        ]
    )
    grey = np.tile(_LUMA, (3, 1))
    colours = (
        np.linalg.inv(_YIQ)
        @ turn
        @ _YIQ
        @ (saturation * np.eye(3) + (1 - saturation) * grey)
    )
    # Grey is a fixed direction of `colours`, so that the contrast's offset passes through.
    offset = np.full(3, (1 - contrast) * brightness * float(_LUMA @ mean))
    return brightness * contrast * colours, offset
