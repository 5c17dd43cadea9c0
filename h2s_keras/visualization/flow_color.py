"""Flow fields as pictures, in the colours of the Middlebury benchmark.

Hue is the direction (right red, down yellow, left cyan-blue, up violet), saturation the
magnitude; no motion is white, unknown motion black.

Reference: Baker, Scharstein, Lewis, Roth, Black, Szeliski, "A Database and Evaluation
Methodology for Optical Flow", IJCV 92, 2011, and the colour code published with it.
"""

import math

import numpy as np

# From each pure hue to the next, in wheel order: name, colours used, channel that moves,
# and whether it rises. More steps lie where the eye tells hues apart more easily.
_TRANSITIONS = (
    ("red to yellow", 15, 1, True),
    ("yellow to green", 6, 0, False),
    ("green to cyan", 4, 2, True),
    ("cyan to blue", 11, 1, False),
    ("blue to magenta", 13, 0, True),
    ("magenta to red", 6, 2, False),
)
# Smaller largest magnitudes (pixels) count as no motion, so that rounding noise is white.
_EPSILON = 1e-6
# The benchmark's files mark unknown flow with components beyond this (pixels).
_UNKNOWN = 1e9
_BEYOND = 0.75


def color_wheel():
    """The 55 colours of the wheel, uint8 (55, 3) RGB, from pure red round to near red.

    Example:
        >>> color_wheel()[[0, 15, 54]].tolist()     # red, yellow, the last before red
        [[255, 0, 0], [255, 255, 0], [255, 0, 43]]

    Reference: Baker et al. 2011, `makecolorwheel` of the published code.
    """
    color = [255, 0, 0]
    wheel = []
    for _, count, channel, rises in _TRANSITIONS:
        for step in range(count):
            moved = 255 * step // count
            color[channel] = moved if rises else 255 - moved
            wheel.append(tuple(color))
        color[channel] = 255 if rises else 0
    return np.array(wheel, dtype=np.uint8)


def largest_magnitude(*flows):
    """Largest length of any known vector in some flow fields.

    Args:
        *flows: float arrays (..., 2) in pixels; unknown vectors (NaN, infinite, or a
            component beyond 1e9) are left out.

    Returns:
        float, pixels; 1e-6 where that is larger, or where no vector is known.

    Raises:
        ValueError: if a flow does not end in 2 channels.

    Example:
        >>> largest_magnitude(np.array([[3.0, 4.0], [np.nan, 0.0]]))
        5.0
    """
    largest = _EPSILON
    for flow in flows:
        vectors, known = _known_vectors(flow)
        magnitude = np.hypot(vectors[..., 0], vectors[..., 1])
        largest = max(largest, float(np.max(magnitude, initial=0.0, where=known)))
    return largest


def flow_to_color(flow, max_magnitude=None):
    """Paints a flow field: hue is the direction, saturation the magnitude.

    Args:
        flow: (..., height, width, 2) = (x, y), x to the right and y down, in pixels; any
            float or integer dtype.
        max_magnitude: magnitude (pixels) at which a colour is fully saturated; longer
            vectors are darkened to three quarters. Default: the largest known magnitude
            of the whole array. Give it one value to compare several pictures.

    Returns:
        uint8 (..., height, width, 3) RGB. No motion is white; unknown motion (NaN,
        infinite, or a component beyond 1e9) is black.

    Raises:
        ValueError: if flow is not (..., height, width, 2), or max_magnitude is not a
            finite number above 0.

    Example:
        >>> still_right_left = np.array([[[0.0, 0.0], [2.0, 0.0], [-2.0, 0.0]]])
        >>> flow_to_color(still_right_left)[0].tolist()
        [[255, 255, 255], [255, 0, 0], [0, 209, 255]]

    Reference: Baker et al. 2011, `computeColor` of the published code. Computed here in
    float64 on 0..255, so that a vector of exactly max_magnitude has the pure colour.
    """
    if np.ndim(flow) < 3:
        raise ValueError(
            "flow_to_color takes flow (..., height, width, 2); "
            f"received shape {np.shape(flow)}."
        )
    vectors, known = _known_vectors(flow)
    if max_magnitude is None:
        max_magnitude = largest_magnitude(flow)
    elif not (math.isfinite(max_magnitude) and max_magnitude > 0):
        raise ValueError(
            "max_magnitude must be a finite number of pixels above 0; received "
            f"{max_magnitude!r}. Leave it out to use the largest magnitude of the flow."
        )
    x, y = vectors[..., 0], vectors[..., 1]
    # Dividing the length, not the components, keeps the longest vector at exactly 1.
    radius = (np.hypot(x, y) / max_magnitude)[..., None]

    wheel = color_wheel().astype(np.float64)
    # Adding +0.0 turns -0.0 into +0.0: arctan2 tells them apart, and would put motion
    # straight to the right at the start of the wheel or at its end.
    angle = np.arctan2(-(y + 0.0), -x) / np.pi
    position = (angle + 1.0) / 2.0 * (len(wheel) - 1)
    lower = np.floor(position).astype(np.intp)
    upper = (lower + 1) % len(wheel)
    fraction = (position - lower)[..., None]
    pure = (1.0 - fraction) * wheel[lower] + fraction * wheel[upper]

    color = np.where(radius <= 1.0, 255.0 - radius * (255.0 - pure), _BEYOND * pure)
    return np.where(known[..., None], color, 0.0).astype(np.uint8)


def color_wheel_key(size=128):
    """Legend for `flow_to_color`: every direction and magnitude up to the largest.

    Args:
        size: edge of the square picture in pixels, at least 3.

    Returns:
        uint8 (size, size, 3) RGB: a disc on white. The colour at an offset from the
        centre is the colour of motion along that offset; the rim is max_magnitude.

    Raises:
        ValueError: if size is below 3.

    Example:
        >>> key = color_wheel_key(101)
        >>> key[50, 50].tolist(), key[50, 100].tolist()     # centre: still; right: red
        ([255, 255, 255], [255, 0, 0])
    """
    if size < 3:
        raise ValueError(f"A colour key needs at least 3 pixels; received size={size!r}.")
    center = (size - 1) / 2.0
    offset = (np.arange(size) - center) / center
    flow = np.stack(np.meshgrid(offset, offset, indexing="xy"), axis=-1)
    picture = flow_to_color(flow, max_magnitude=1.0)
    picture[np.hypot(flow[..., 0], flow[..., 1]) > 1.0] = 255
    return picture


def _known_vectors(flow):
    """float64 (..., 2) with 0 where unknown, and bool (...) that is True where known."""
    flow = np.asarray(flow)
    if flow.ndim < 1 or flow.shape[-1] != 2:
        raise ValueError(
            "Flow ends in 2 channels (x, y); received shape "
            f"{flow.shape}. Split channels u0 v0 u1 v1 ... with ops.channels_to_flow first."
        )
    vectors = flow.astype(np.float64)
    # NaN compares false, so it is unknown as well.
    known = np.all(np.abs(vectors) <= _UNKNOWN, axis=-1)
    return np.where(known[..., None], vectors, 0.0), known
