import pathlib

import keras
import numpy as np
import pytest
import reference
from checks import (
    POLICIES,
    assert_close,
    assert_differs,
    assert_survives_config,
    assert_survives_file,
    dtype_of,
    only_tensorflow,
    served,
    to_numpy,
)
from gradient import finite_difference, gradient
from keras import ops

from h2s_keras.layers import QuantizedFlowAdapter

RANDOM = np.random.default_rng(14)
FLOW = RANDOM.uniform(-12, 12, (2, 3, 4, 5, 2)).astype("float32")


def expected_channels(flow, bound=20.0, levels=None, scale=2, centre=128.0):
    batch, pairs, height, width, _ = flow.shape
    values = reference.quantize_flow(scale * flow, bound, levels)
    flat = values.reshape(-1, height, width, 2)
    large = reference.resize(flat, (scale * height, scale * width)) - centre
    split = large.reshape(batch, pairs, scale * height, scale * width, 2)
    return np.concatenate([split[:, pair] for pair in range(pairs)], axis=-1)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"levels": 256},
        {"levels": 8, "scale": 1, "centre": 127.5},
        {"bound": 5, "scale": 4},
    ],
)
def test_against_the_reference(kwargs):
    actual = QuantizedFlowAdapter(**kwargs)(FLOW)
    assert_close(actual, expected_channels(FLOW, **kwargs), atol=2e-3)
    assert_differs(actual, expected_channels(FLOW[..., ::-1], **kwargs), by=10)


def test_released_numbers_by_hand():
    # Raw x 10 is pixels of level 2, raw x 20 pixels of the frame: +20, x6.375, -128.
    raw = 0.3
    flow = np.full((1, 10, 2, 2, 2), 10 * raw, "float32")
    actual = to_numpy(QuantizedFlowAdapter()(flow))
    assert actual.shape == (1, 4, 4, 20)
    assert_close(actual, np.full(actual.shape, (20 * raw + 20) * 6.375 - 128), atol=1e-4)


def test_what_the_whole_picture_does_is_subtracted_field_by_field():
    """By hand: the mean of each field of two, in x and in y, of 1 px in one corner."""
    flow = np.zeros((1, 2, 2, 2, 2), "float32")
    flow[0, 0, 0, 0] = (1.0, -2.0)
    shaken = flow + np.array([[3.0, -1.0], [-4.0, 2.0]])[None, :, None, None]
    adapter = QuantizedFlowAdapter(scale=1, centre=127.5, subtract_mean=True)
    actual = to_numpy(adapter(shaken)) / 6.375
    assert_close(actual[0, 0, 0], np.array([0.75, -1.5, 0, 0]), atol=1e-4)
    assert_close(actual[0, 1, 1], np.array([-0.25, 0.5, 0, 0]), atol=1e-4)
    assert_close(adapter(shaken), adapter(flow), atol=1e-3)
    plain = QuantizedFlowAdapter(scale=1, centre=127.5)
    assert_differs(plain(shaken), plain(flow), by=6)
    assert_differs(adapter(flow), plain(flow), by=1)


def test_zero_padding_is_the_released_deconvolution():
    """Numbers of an interpreter of the released graph, and the same from the definition."""
    path = pathlib.Path(__file__).parents[1] / "oracles" / "released_loss.npz"
    with np.load(path) as file:
        flow, expected = file["adapter_flow"].astype("float32"), file["adapter_output"]
    actual = QuantizedFlowAdapter(padding="zeros")(flow)
    assert_close(actual, expected, rtol=1e-5, atol=1e-4)
    assert_differs(QuantizedFlowAdapter()(flow), expected, by=10)
    values = reference.quantize_flow(2 * flow)[0]
    plain = np.concatenate(list(reference.deconvolved_twice(values) - 128), axis=-1)
    assert_close(plain[None], expected, atol=1e-4)


@pytest.mark.parametrize("kwargs", [{}, {"scale": 4}, {"levels": 256, "centre": 127.5}])
def test_zero_padding_changes_the_rim_alone(kwargs):
    scale = kwargs.get("scale", 2)
    padded = to_numpy(QuantizedFlowAdapter(padding="zeros", **kwargs)(FLOW))
    plain = to_numpy(QuantizedFlowAdapter(**kwargs)(FLOW))
    rim = scale // 2
    inner = (slice(None), slice(rim, -rim), slice(rim, -rim))
    assert padded.shape == plain.shape
    assert_close(padded[inner], plain[inner], atol=1e-3)
    # Darker by the share of nothing, which a level of 0 does not show.
    assert (padded[:, 0] <= plain[:, 0] + 1e-3).all()
    assert_differs(padded[:, 0], plain[:, 0], by=30)
    # Nothing is enlarged, so nothing is read from beyond the edge.
    one = QuantizedFlowAdapter(scale=1, padding="zeros")(FLOW)
    assert_close(one, QuantizedFlowAdapter(scale=1)(FLOW), rtol=0, atol=0)


def test_zero_flow_under_zero_padding():
    still = to_numpy(QuantizedFlowAdapter(padding="zeros")(np.zeros((1, 1, 4, 4, 2))))
    assert still[0, 0, 0, 0] == -56.28125 and still[0, 0, 3, 0] == -32.375
    assert_close(still[:, 1:-1, 1:-1], np.full((1, 6, 6, 2), -0.5), atol=1e-4)


def test_values_stay_in_range_and_centre_marks_no_motion():
    wild = to_numpy(QuantizedFlowAdapter()(100 * FLOW))
    assert wild.min() == -128 and wild.max() == 127
    still = QuantizedFlowAdapter(centre=127.5)(np.zeros_like(FLOW))
    assert_close(still, np.zeros((2, 8, 10, 6)))


def test_inverse():
    adapter = QuantizedFlowAdapter(bound=30, scale=1)
    assert_close(adapter.inverse(adapter(FLOW)), FLOW, atol=1e-4)
    constant = np.full((1, 2, 3, 3, 2), 4.5, "float32")
    full = QuantizedFlowAdapter()
    assert_close(full.inverse(full(constant)), np.full((1, 2, 6, 6, 2), 9.0), atol=1e-4)


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"bound": 7.0, "levels": 16, "scale": 3, "centre": 0, "padding": "zeros"}],
)
def test_config(kwargs):
    assert_survives_config(QuantizedFlowAdapter(**kwargs), FLOW)


@pytest.mark.parametrize("policy", POLICIES)
def test_computes_in_float32_and_rounds_once(policy):
    layer = QuantizedFlowAdapter(dtype=policy)
    actual = layer(FLOW)
    assert dtype_of(actual) == layer.compute_dtype
    exact = QuantizedFlowAdapter(dtype="float32")(FLOW)
    assert_close(actual, ops.cast(exact, layer.compute_dtype), rtol=0, atol=0)


def test_saved_in_a_model_of_any_size(tmp_path):
    inputs = keras.Input((3, None, None, 2))
    model = keras.Model(inputs, QuantizedFlowAdapter(levels=16)(inputs))
    assert model.output_shape == (None, None, None, 6)
    loaded = assert_survives_file(model, FLOW, tmp_path)
    for flow in (FLOW, FLOW[:1, :, :3, :2]):
        assert_close(loaded(flow), expected_channels(flow, levels=16), atol=2e-3)


def test_symbolic_output_is_what_comes_out():
    layer = QuantizedFlowAdapter(scale=4, dtype="mixed_float16")
    symbolic = layer(keras.Input((3, 4, None, 2)))
    assert symbolic.shape == (None, 16, None, 6) and dtype_of(symbolic) == "float16"


@pytest.mark.parametrize("levels", [None, 256])
def test_gradient(levels):
    flow = FLOW[:1, :1, :2, :3]
    weight = RANDOM.normal(size=(1, 4, 6, 2)).astype("float32")
    layer = QuantizedFlowAdapter(levels=levels)
    (actual,) = gradient(lambda f: ops.sum(ops.multiply(weight, layer(f))), flow)
    # Rounding passes its gradient on: the slope is that without levels.
    slow = finite_difference(lambda f: np.sum(weight * expected_channels(f)), flow)
    assert_close(actual, slow, rtol=1e-4, atol=1e-3)
    assert np.abs(actual).max() > 1
    outside = np.abs(flow) > 10
    assert outside.any() and not actual[outside].any()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"bound": 0}, "bound must be > 0 and scale >= 1; received 0 and 2"),
        ({"scale": 0}, "received 20.0 and 0"),
        ({"padding": "mirror"}, "padding must be one of .*received 'mirror'"),
        ({"levels": 1}, "levels must be None or at least 2; received 1"),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        QuantizedFlowAdapter(**kwargs)


@only_tensorflow
def test_served_at_a_second_batch_size(tmp_path):
    inputs = keras.Input((3, None, None, 2))
    model = keras.Model(inputs, QuantizedFlowAdapter()(inputs))
    serve = served(model, tmp_path)
    for count in (1, 2):
        assert_close(serve(FLOW[:count]), model(FLOW[:count]))


def test_without_enlarging_the_values_stay_on_the_grid_of_the_flow():
    flow = np.array([[[[[0.5, -20.0], [3.0, 0.0]]]]], "float32")  # (1, 1, 1, 2, 2)
    adapter = QuantizedFlowAdapter(bound=10.0, scale=2, centre=0.0, enlarge=False)
    # Full-resolution pixels 1, -40 (clipped to -10), 6, 0 of -10 .. 10 on 0 .. 255.
    expected = [[[[140.25, 0.0], [204.0, 127.5]]]]
    assert_close(to_numpy(adapter(flow)), np.array(expected), atol=1e-3)
    assert adapter.compute_output_shape((None, 3, 8, 12, 2)) == (None, 8, 12, 6)
    revived = QuantizedFlowAdapter.from_config(adapter.get_config())
    assert_close(to_numpy(revived(flow)), np.array(expected), atol=1e-3)
