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

from h2s_keras.ops import charbonnier

VALUES = np.array([-300.0, -2.0, -0.5, 0.0, 1e-3, 0.3, 1.0, 280.5], "float32")


@pytest.mark.parametrize("alpha", [0.3, 0.4, 0.5, 1.0])
@pytest.mark.parametrize("epsilon", [1e-3, 0.1])
def test_against_the_reference(alpha, epsilon):
    actual = charbonnier(ops.convert_to_tensor(VALUES), alpha, epsilon)
    assert_close(actual, reference.charbonnier(VALUES, alpha, epsilon))
    assert_differs(actual, reference.charbonnier(VALUES, alpha + 0.1, epsilon))


def test_by_hand():
    at_zero = charbonnier(ops.zeros((1,)), alpha=0.5, epsilon=1e-3)
    assert_close(at_zero, np.array([1e-3]), atol=1e-8)
    assert_close(charbonnier(ops.full((1,), 3.0), 0.5, 4.0), np.array([5.0]))


def test_even_and_growing():
    values = np.linspace(0, 5, 50, dtype="float32")
    up = to_numpy(charbonnier(ops.convert_to_tensor(values), 0.4))
    assert (np.diff(up) > 0).all()
    assert_close(charbonnier(ops.convert_to_tensor(-values), 0.4), up, rtol=0, atol=0)


@pytest.mark.parametrize("alpha", [0.3, 0.4])
def test_gradient(alpha):
    values = VALUES[np.abs(VALUES) != 1e-3]
    (actual,) = gradient(lambda x: ops.sum(charbonnier(x, alpha)), values)
    slow = finite_difference(
        lambda x: reference.charbonnier(x, alpha).sum(), values, step=1e-6
    )
    assert_close(actual, slow, rtol=1e-3, atol=1e-4)


def test_gradient_at_zero_is_zero():
    (inside,) = gradient(lambda x: ops.sum(charbonnier(x, 0.4)), np.zeros(3))
    assert inside.tolist() == [0, 0, 0]


def test_without_epsilon_the_gradient_at_zero_is_lost():
    """Why epsilon is inside the power; `where` around it does not help."""

    def guarded(x):
        return ops.sum(ops.where(x == 0, 0.0, ops.power(ops.square(x), 0.4)))

    (bare,) = gradient(lambda x: ops.sum(ops.power(ops.square(x), 0.4)), np.zeros(3))
    (hidden,) = gradient(guarded, np.zeros(3))
    assert np.isnan(bare).all() and np.isnan(hidden).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_is_float32_for_any_input(dtype):
    difference = ops.cast(255 * np.array([-1.1, 1.0, 1.1]), dtype)
    actual = charbonnier(difference, 0.4)
    assert dtype_of(actual) == "float32"
    assert_close(actual, reference.charbonnier(to_numpy(difference), 0.4), rtol=1e-5)


def test_float16_would_overflow():
    with np.errstate(over="ignore"):
        assert np.isinf(np.square(np.float16(255 * 1.1)))


@only_tensorflow
@pytest.mark.parametrize("xla", [False, True])
def test_compiled(xla):
    fast = compiled(lambda x: charbonnier(x, 0.4), (8,) if xla else (None,), xla=xla)
    assert_close(fast(VALUES), reference.charbonnier(VALUES, 0.4))
