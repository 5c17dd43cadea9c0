import keras
import numpy as np
import pytest
from checks import jitted, to_numpy
from gradient import gradient
from keras import ops

from h2s_keras.ops.backend_forms import leaky_relu, take_rows

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_against_numpy(shape, dtype):
    rows = (100 * RANDOM.normal(size=(7, 3))).astype(dtype)
    index = RANDOM.integers(0, 7, shape).astype("int32")
    assert np.array_equal(to_numpy(jitted(take_rows)(rows, index)), rows[index])


def test_the_first_and_the_last_row():
    rows = np.arange(6, dtype="float32").reshape(3, 2)
    index = np.array([0, 2], "int32")
    assert to_numpy(take_rows(ops.convert_to_tensor(rows), index)).tolist() == [
        [0, 1],
        [4, 5],
    ]


def test_a_variable_is_a_tensor_too():
    rows = keras.Variable(np.eye(3, dtype="float32"))
    assert to_numpy(take_rows(rows, np.array([1], "int32"))).tolist() == [[0, 1, 0]]


def test_the_gradient_adds_up_what_a_row_gave():
    rows = RANDOM.normal(size=(4, 2)).astype("float32")
    index = np.array([1, 1, 3], "int32")
    weights = RANDOM.normal(size=(3, 2)).astype("float32")
    (found,) = gradient(lambda r: ops.sum(ops.multiply(take_rows(r, index), weights)), rows)
    expected = np.zeros_like(rows)
    np.add.at(expected, index, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_leaky_relu_against_numpy(dtype):
    values = ops.cast(np.array([-3.0, -0.5, 0.0, 0.25, 7.0], "float32"), dtype)
    found = jitted(lambda values: leaky_relu(values, 0.125))(values)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    expected = [-0.375, -0.0625, 0.0, 0.25, 7.0]
    assert to_numpy(ops.cast(found, "float32")).tolist() == expected


def test_leaky_relu_keeps_nan_and_infinity():
    values = ops.convert_to_tensor(np.array([np.nan, -np.inf, np.inf], "float32"))
    np.testing.assert_array_equal(
        to_numpy(leaky_relu(values, 0.1)), np.array([np.nan, -np.inf, np.inf], "float32")
    )


def test_the_gradient_of_leaky_relu_is_one_or_the_slope():
    values = np.array([-2.0, -0.0, 0.0, 3.0], "float32")
    (found,) = gradient(lambda values: ops.sum(leaky_relu(values, 0.1)), values)
    np.testing.assert_allclose(found, [0.1, 0.1, 0.1, 1.0], rtol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the form is JAX's alone")
def test_leaky_relu_under_jax_is_what_xla_looks_for():
    import jax

    values = np.ones(3, "float16")
    text = str(jax.make_jaxpr(lambda values: leaky_relu(values, 0.1))(values))
    assert " gt " in text and " ge " not in text and "f32" not in text, text
