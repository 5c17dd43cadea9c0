"""flow_to_color against hand-made directions and a slow loop after the published code."""

import math

import numpy as np
import pytest

from h2s_keras.visualization import (
    color_wheel,
    color_wheel_key,
    flow_to_color,
    largest_magnitude,
)


def reference_wheel():
    """`makecolorwheel` of the published C++ code, line by line."""
    wheel = []
    for i in range(15):
        wheel.append((255, 255 * i // 15, 0))
    for i in range(6):
        wheel.append((255 - 255 * i // 6, 255, 0))
    for i in range(4):
        wheel.append((0, 255, 255 * i // 4))
    for i in range(11):
        wheel.append((0, 255 - 255 * i // 11, 255))
    for i in range(13):
        wheel.append((255 * i // 13, 0, 255))
    for i in range(6):
        wheel.append((255, 0, 255 - 255 * i // 6))
    return wheel


def reference_pixel(x, y, max_magnitude):
    """`computeColor` of the published C++ code for one vector, before truncation."""
    wheel = reference_wheel()
    x, y = x / max_magnitude, y / max_magnitude
    radius = math.sqrt(x * x + y * y)
    angle = math.atan2(-y, -x) / math.pi
    position = (angle + 1.0) / 2.0 * (len(wheel) - 1)
    lower = int(position)
    upper = (lower + 1) % len(wheel)
    fraction = position - lower
    pixel = []
    for channel in range(3):
        first, second = wheel[lower][channel] / 255.0, wheel[upper][channel] / 255.0
        color = (1 - fraction) * first + fraction * second
        color = 1 - radius * (1 - color) if radius <= 1 else color * 0.75
        pixel.append(255.0 * color)
    return pixel


def paint(x, y, **options):
    return flow_to_color(np.array([[[x, y]]], dtype=np.float64), **options)[0, 0].tolist()


def assert_matches_reference(picture, flow, max_magnitude):
    for index in np.ndindex(flow.shape[:-1]):
        expected = reference_pixel(*flow[index].tolist(), max_magnitude)
        # One level apart at most: truncation of numbers that differ in the last digit.
        assert np.all(np.abs(picture[index] - np.floor(expected)) <= 1), (index, expected)


@pytest.fixture
def random_flow():
    flow = np.random.default_rng(0).normal(0.0, 4.0, (2, 9, 7, 2))
    # Keep clear of the rim, where rounding decides which side of the jump a vector is on.
    length = np.hypot(flow[..., 0], flow[..., 1])
    assert np.min(np.abs(length - 5.0)) > 1e-6
    return flow


def test_wheel_has_55_colors_and_known_corners():
    wheel = color_wheel()
    assert wheel.shape == (55, 3) and wheel.dtype == np.uint8
    corners = {
        0: (255, 0, 0),
        15: (255, 255, 0),
        21: (0, 255, 0),
        25: (0, 255, 255),
        36: (0, 0, 255),
        49: (255, 0, 255),
        54: (255, 0, 43),
    }
    for index, color in corners.items():
        assert tuple(wheel[index].tolist()) == color
    assert wheel.tolist() == [list(color) for color in reference_wheel()]


@pytest.mark.parametrize(
    "direction, color",
    [
        ((1, 0), (255, 0, 0)),  # right: the first entry, red
        ((0, 1), (255, 229, 0)),  # down: half-way between entries 13 and 14, yellow
        ((-1, 0), (0, 209, 255)),  # left: entry 27, cyan towards blue
        ((0, -1), (88, 0, 255)),  # up: half-way between entries 40 and 41, violet
    ],
)
def test_four_directions(direction, color):
    assert paint(*direction) == list(color)


def test_sign_of_zero_does_not_change_the_color():
    assert paint(2.0, 0.0) == paint(2.0, -0.0) == [255, 0, 0]


def test_zero_flow_is_white():
    assert np.all(flow_to_color(np.zeros((4, 5, 2))) == 255)
    assert paint(0.0, 0.0, max_magnitude=3.0) == [255, 255, 255]


def test_rounding_noise_is_white():
    assert np.all(flow_to_color(np.full((2, 2, 2), 1e-9)) >= 254)


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf, 1.7e9])
def test_unknown_is_black_and_leaves_the_rest_alone(unknown):
    flow = np.array([[[unknown, 0.0], [0.0, unknown], [3.0, 0.0], [1.5, 0.0]]])
    picture = flow_to_color(flow)[0].tolist()
    assert picture == [[0, 0, 0], [0, 0, 0], [255, 0, 0], [255, 127, 127]]


def test_all_unknown_is_all_black():
    assert not flow_to_color(np.full((2, 3, 2), np.nan)).any()


def test_saturation_follows_magnitude():
    assert paint(1.0, 0.0, max_magnitude=4.0) == [255, 191, 191]
    assert paint(2.0, 0.0, max_magnitude=4.0) == [255, 127, 127]
    assert paint(4.0, 0.0, max_magnitude=4.0) == [255, 0, 0]


def test_beyond_the_maximum_is_darkened():
    assert paint(4.001, 0.0, max_magnitude=4.0) == [191, 0, 0]
    assert paint(400.0, 0.0, max_magnitude=4.0) == [191, 0, 0]


def test_default_normalises_by_the_largest_of_the_whole_array(random_flow):
    picture = flow_to_color(random_flow)
    assert np.array_equal(picture, flow_to_color(10 * random_flow))
    assert np.array_equal(
        picture, flow_to_color(random_flow, largest_magnitude(random_flow))
    )
    # Nothing lies beyond the largest, so nothing is darkened.
    assert picture.max(axis=-1).min() >= 254


@pytest.mark.parametrize("max_magnitude", [5.0, 100.0])
def test_matches_the_slow_reference(random_flow, max_magnitude):
    picture = flow_to_color(random_flow, max_magnitude)
    assert picture.shape == (2, 9, 7, 3) and picture.dtype == np.uint8
    assert_matches_reference(picture, random_flow, max_magnitude)


def test_negative_control_swapped_axes_fail(random_flow):
    wrong = flow_to_color(random_flow[..., ::-1], 5.0)
    with pytest.raises(AssertionError):
        assert_matches_reference(wrong, random_flow, 5.0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
def test_dtypes(dtype):
    flow = np.array([[[3, 0], [0, 0]]], dtype=dtype)
    assert flow_to_color(flow)[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_input_is_not_changed():
    flow = np.array([[[np.nan, 1.0], [2.0, -0.0]]])
    before = flow.copy()
    flow_to_color(flow)
    assert np.array_equal(flow, before, equal_nan=True)


def test_empty_flow_gives_an_empty_picture():
    assert flow_to_color(np.zeros((0, 4, 4, 2))).shape == (0, 4, 4, 3)


def test_largest_magnitude():
    first = np.array([[3.0, 4.0], [np.nan, 90.0]])
    second = np.array([[6.0, 8.0], [np.inf, 0.0]])
    assert largest_magnitude(first) == 5.0
    assert largest_magnitude(first, second) == 10.0
    assert largest_magnitude(np.zeros((2, 2))) == largest_magnitude() == 1e-6


@pytest.mark.parametrize("shape", [(2,), (5, 2), (4, 4, 3), (4, 4)])
def test_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match="received shape"):
        flow_to_color(np.zeros(shape))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_wrong_maximum_is_refused(bad):
    with pytest.raises(ValueError, match="max_magnitude"):
        flow_to_color(np.zeros((2, 2, 2)), bad)


@pytest.mark.parametrize("size", [64, 101])
def test_key_shows_directions_inside_a_disc(size):
    key = color_wheel_key(size)
    middle = size // 2
    assert key.shape == (size, size, 3) and key.dtype == np.uint8
    for corner in (key[0, 0], key[0, -1], key[-1, 0], key[-1, -1]):
        assert corner.tolist() == [255, 255, 255]
    red, green, blue = key[middle, -2].astype(int)
    assert red == 255 and green < 30 and blue < 30  # right
    red, green, blue = key[-2, middle].astype(int)
    assert red >= 250 and green > 200 and blue < 30  # down
    assert key[middle, middle].min() > 240  # no motion


def test_key_needs_room():
    with pytest.raises(ValueError, match="at least 3"):
        color_wheel_key(2)
