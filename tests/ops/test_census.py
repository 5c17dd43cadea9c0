import numpy as np
import pytest
from checks import assert_close, dtype_of, to_numpy
from gradient import finite_difference, gradient
from keras import ops

from h2s_keras.ops import census_distance, census_transform

RANDOM = np.random.default_rng(5)
IMAGE = RANDOM.uniform(0, 255, (2, 7, 6, 3)).astype("float32")
OTHER = RANDOM.uniform(0, 255, (2, 7, 6, 3)).astype("float32")


def plain_transform(image, radius):
    """From the definition, a pixel and a neighbour at a time; edges mirrored."""
    grey = np.asarray(image, float).mean(axis=-1)
    count, height, width = grey.shape
    size = 2 * radius + 1
    result = np.zeros((count, height, width, size * size - 1))
    for n, y, x in np.ndindex(count, height, width):
        values = []
        for step_y in range(-radius, radius + 1):
            for step_x in range(-radius, radius + 1):
                if step_y == step_x == 0:
                    continue
                row, column = y + step_y, x + step_x
                row = -1 - row if row < 0 else row
                row = 2 * height - 1 - row if row >= height else row
                column = -1 - column if column < 0 else column
                column = 2 * width - 1 - column if column >= width else column
                step = grey[n, row, column] - grey[n, y, x]
                values.append(step / np.sqrt(0.81 + step * step))
        result[n, y, x] = values
    return result


def plain_distance(first, second, radius):
    gap = (plain_transform(first, radius) - plain_transform(second, radius)) ** 2
    return (gap / (0.1 + gap)).mean(axis=-1, keepdims=True)


@pytest.mark.parametrize("radius", [1, 3])
def test_against_the_definition(radius):
    assert_close(census_transform(IMAGE, radius), plain_transform(IMAGE, radius), atol=1e-4)
    actual = census_distance(IMAGE, OTHER, radius)
    assert_close(actual, plain_distance(IMAGE, OTHER, radius), atol=1e-4)


def test_light_is_no_distance_but_structure_is():
    assert to_numpy(census_distance(IMAGE, IMAGE + 30.0)).max() < 1e-5
    brighter = to_numpy(census_distance(IMAGE, 1.3 * IMAGE)).mean()
    assert brighter < 0.2 * to_numpy(census_distance(IMAGE, OTHER)).mean()


def test_gradient():
    first, second = 0.02 * IMAGE[:1, :4, :4], 0.02 * OTHER[:1, :4, :4]

    def plain(image):
        return plain_distance(image, second, 1).sum()

    (actual,) = gradient(lambda image: ops.sum(census_distance(image, second, 1)), first)
    assert_close(actual, finite_difference(plain, first), atol=1e-3)
    (same,) = gradient(lambda image: ops.sum(census_distance(image, first, 1)), first)
    assert np.isfinite(same).all()


def test_half_precision_images_are_compared_in_float32():
    half = ops.cast(ops.convert_to_tensor(IMAGE), "float16")
    distance = census_distance(half, half)
    assert dtype_of(distance) == "float32"


def test_images_smaller_than_the_neighbourhood():
    small = IMAGE[:, :2, :1]
    assert to_numpy(census_distance(small, small)).max() < 1e-6
    assert np.isfinite(to_numpy(census_transform(small))).all()
