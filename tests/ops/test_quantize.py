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
from gradient import gradient
from keras import ops

from h2s_keras.ops import dequantize_flow, flow_to_uint8, quantize_flow

RANDOM = np.random.default_rng(6)
FLOW = RANDOM.uniform(-30, 30, (2, 3, 4, 5, 2)).astype("float32")


@pytest.mark.parametrize("bound", [20.0, 5.0])
@pytest.mark.parametrize("levels", [None, 2, 16, 256])
def test_against_the_reference(bound, levels):
    actual = quantize_flow(ops.convert_to_tensor(FLOW), bound, levels)
    assert_close(actual, reference.quantize_flow(FLOW, bound, levels), atol=1e-3)
    flipped = quantize_flow(ops.convert_to_tensor(-FLOW), bound, levels)
    assert_differs(actual, flipped, by=10)


def test_by_hand():
    flow = ops.convert_to_tensor(np.array([-30.0, -20.0, 0.0, 1.0, 20.0, 1e9], "float32"))
    published = (1.0 + 20.0) * 6.375
    assert_close(quantize_flow(flow), np.array([0, 0, 127.5, published, 255, 255.0]))
    assert_close(quantize_flow(flow, levels=2)[3:], np.array([255, 255, 255.0]))


def test_rounding_keeps_that_many_values():
    ramp = ops.convert_to_tensor(np.linspace(-25, 25, 5001, dtype="float32"))
    for levels in (2, 5, 256):
        values = to_numpy(quantize_flow(ramp, levels=levels))
        assert len(np.unique(np.round(values, 3))) == levels
        assert values.min() == 0 and values.max() == 255
    assert len(np.unique(to_numpy(quantize_flow(ramp)))) > 4000


def test_256_levels_are_integers():
    values = to_numpy(quantize_flow(ops.convert_to_tensor(FLOW), levels=256))
    np.testing.assert_allclose(values, np.round(values), atol=1e-4)


def test_inverse():
    inside = np.clip(FLOW, -20, 20)
    assert_close(
        dequantize_flow(quantize_flow(ops.convert_to_tensor(FLOW))), inside, 0, 1e-5
    )
    stored = flow_to_uint8(ops.convert_to_tensor(FLOW))
    assert dtype_of(stored) == "uint8"
    back = dequantize_flow(stored)
    assert dtype_of(back) == "float32"
    error = np.abs(to_numpy(back) - inside).max()
    assert 0.02 < error <= 20 / 255 + 1e-5


def test_stored_flow_equals_256_levels():
    levels = to_numpy(quantize_flow(ops.convert_to_tensor(FLOW), levels=256))
    stored = to_numpy(flow_to_uint8(ops.convert_to_tensor(FLOW)))
    assert_close(stored, levels, atol=1e-3)


@pytest.mark.parametrize("levels", [None, 4, 256])
def test_gradient_passes_through_rounding_and_stops_outside(levels):
    flow = np.array([-25.0, -19.9, -3.3, 0.7, 12.1, 19.9, 21.0], "float32")
    (slope,) = gradient(lambda f: ops.sum(quantize_flow(f, levels=levels)), flow)
    inside = 255 / 40
    assert_close(slope, np.array([0, *[inside] * 5, 0]))


def test_plain_rounding_would_have_no_gradient():
    (slope,) = gradient(lambda f: ops.sum(ops.round(f * 3)), np.array([0.2, 0.7]))
    assert not slope.any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("levels", [None, 16])
def test_dtype_is_kept(dtype, levels):
    flow = ops.cast(np.array([-25.0, -7.0, 0.0, 3.0, 25.0]), dtype)
    actual = quantize_flow(flow, levels=levels)
    assert dtype_of(actual) == dtype
    expected = reference.quantize_flow(to_numpy(flow), levels=levels)
    assert_close(actual, expected, rtol=0.01, atol=1.0)
    assert dtype_of(dequantize_flow(actual)) == dtype


@only_tensorflow
@pytest.mark.parametrize("xla", [False, True])
def test_compiled(xla):
    shape = FLOW.shape if xla else (None, 3, None, None, 2)
    fast = compiled(lambda f: quantize_flow(f, levels=None), shape, xla=xla)
    assert_close(fast(FLOW), reference.quantize_flow(FLOW), atol=1e-3)
