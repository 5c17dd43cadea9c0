import numpy as np
import pytest
import reference
from checks import (
    assert_close,
    assert_differs,
    compiled,
    dtype_of,
    only_tensorflow,
    to_numpy,
)
from gradient import finite_difference, gradient
from keras import ops

from h2s_keras.ops import local_response_normalization

RANDOM = np.random.default_rng(5)


def normalize(values, **kwargs):
    return local_response_normalization(ops.convert_to_tensor(values), **kwargs)


@pytest.mark.parametrize("channels", [1, 3, 5, 6, 12])
@pytest.mark.parametrize("radius", [0, 1, 4])
def test_against_the_reference(channels, radius):
    values = 2 * RANDOM.normal(size=(2, 3, channels)).astype("float32")
    actual = normalize(values, radius=radius)
    assert_close(actual, reference.local_response_normalization(values, radius))
    if channels > radius + 1:
        other = reference.local_response_normalization(values, radius + 1)
        assert_differs(actual, other, by=1e-3)


def test_other_constants():
    values = RANDOM.normal(size=(4, 12)).astype("float32")
    constants = {"radius": 2, "bias": 2.0, "alpha": 1e-1, "beta": 0.5}
    expected = reference.local_response_normalization(values, **constants)
    assert_close(normalize(values, **constants), expected)


def test_by_hand():
    # Energy 9 over a window of 9 channels: 3 / 2^0.7.
    actual = to_numpy(normalize(np.array([[3.0, 0.0, 0.0]], "float32")))
    assert_close(actual, np.array([[3 / 2**0.7, 0, 0]]))


def test_pixels_and_clips_do_not_mix():
    values = RANDOM.normal(size=(2, 3, 4, 5, 3)).astype("float32")
    actual = to_numpy(normalize(values))
    assert_close(actual[1, 2, 3, 4], normalize(values[1, 2, 3, 4][None])[0])


def test_takes_out_contrast_and_keeps_sign():
    values = RANDOM.normal(size=(50, 3)).astype("float32")
    plain, loud = to_numpy(normalize(values)), to_numpy(normalize(10 * values))
    assert (np.sign(plain) == np.sign(values)).all()
    assert np.abs(loud).mean() < 6 * np.abs(plain).mean()


@pytest.mark.parametrize("channels", [3, 7])
def test_gradient(channels):
    values = RANDOM.normal(size=(2, channels)).astype("float32")
    weight = RANDOM.normal(size=values.shape).astype("float32")
    (actual,) = gradient(
        lambda x: ops.sum(ops.multiply(weight, local_response_normalization(x, radius=2))),
        values,
    )
    slow = finite_difference(
        lambda x: np.sum(weight * reference.local_response_normalization(x, 2)), values
    )
    assert_close(actual, slow, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype_is_kept_but_squares_do_not_overflow(dtype):
    values = ops.cast(np.array([[300.0, -280.0, 5.0]]), dtype)
    actual = local_response_normalization(values)
    assert dtype_of(actual) == dtype
    expected = reference.local_response_normalization(to_numpy(values))
    assert_close(actual, expected, rtol=0.01, atol=1e-3)


def test_whole_numbers_are_taken_as_float32():
    values = RANDOM.integers(0, 256, (2, 3), "uint8")
    actual = normalize(values)
    assert dtype_of(actual) == "float32"
    assert_close(actual, reference.local_response_normalization(values.astype(float)))


@only_tensorflow
@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("channels", [3, 12])
def test_compiled(channels, xla):
    values = RANDOM.normal(size=(2, 3, 4, channels)).astype("float32")
    shape = values.shape if xla else (None, None, None, channels)
    fast = compiled(local_response_normalization, shape, xla=xla)
    assert_close(fast(values), reference.local_response_normalization(values))
