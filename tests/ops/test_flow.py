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

from h2s_keras.ops import (
    channels_to_flow,
    clip_to_channels,
    flow_to_channels,
    pixel_grid,
    resize_flow,
)
from h2s_keras.ops.flow import level_names

RANDOM = np.random.default_rng(0)
FLOW = RANDOM.normal(size=(2, 3, 4, 5, 2)).astype("float32")


def test_pixel_grid_holds_x_then_y():
    grid = to_numpy(pixel_grid(2, 3))
    assert grid.shape == (2, 3, 2) and grid.dtype == np.float32
    assert grid[1, 2].tolist() == [2, 1]
    assert grid[..., 0].tolist() == [[0, 1, 2], [0, 1, 2]]
    assert grid[..., 1].tolist() == [[0, 0, 0], [1, 1, 1]]


def test_a_float16_pixel_grid_would_be_too_coarse():
    assert np.float16(300.3) != np.float32(300.3)
    assert abs(float(np.float16(300.3)) - 300.3) > 0.04
    assert float(to_numpy(pixel_grid(1, 4097))[0, 4096, 0]) == 4096


def test_clip_to_channels_keeps_frames_together():
    clips = RANDOM.normal(size=(2, 4, 3, 5, 3)).astype("float32")
    channels = to_numpy(clip_to_channels(ops.convert_to_tensor(clips)))
    assert channels.shape == (2, 3, 5, 12)
    for b, t, y, x, c in np.ndindex(*clips.shape):
        assert channels[b, y, x, 3 * t + c] == clips[b, t, y, x, c]


def test_clip_to_channels_keeps_uint8():
    clips = np.arange(24, dtype="uint8").reshape(1, 2, 2, 2, 3)
    assert dtype_of(clip_to_channels(ops.convert_to_tensor(clips))) == "uint8"


def test_flow_channels_are_u0_v0_u1_v1():
    channels = to_numpy(flow_to_channels(ops.convert_to_tensor(FLOW)))
    assert channels.shape == (2, 4, 5, 6)
    for pair in range(3):
        np.testing.assert_array_equal(channels[..., 2 * pair], FLOW[:, pair, ..., 0])
        np.testing.assert_array_equal(channels[..., 2 * pair + 1], FLOW[:, pair, ..., 1])


def test_channels_to_flow_undoes_flow_to_channels():
    there = flow_to_channels(ops.convert_to_tensor(FLOW))
    assert_close(channels_to_flow(there), FLOW, rtol=0, atol=0)
    # A plain reshape, without the transposition, must not pass for it.
    assert_differs(ops.reshape(there, FLOW.shape), FLOW)


def test_an_odd_number_of_flow_channels_is_refused():
    with pytest.raises(ValueError, match=r"u0 v0 u1 v1.*even.*\(1, 2, 2, 5\)"):
        channels_to_flow(ops.zeros((1, 2, 2, 5)))


def test_resize_flow_scales_values_with_the_grid():
    flow = np.zeros((1, 2, 4, 8, 2), "float32") + [3.0, -2.0]
    resized = to_numpy(resize_flow(ops.convert_to_tensor(flow), (8, 24)))
    assert resized.shape == (1, 2, 8, 24, 2)
    assert_close(resized[..., 0], np.full((1, 2, 8, 24), 9.0))  # three times as wide
    assert_close(resized[..., 1], np.full((1, 2, 8, 24), -4.0))  # twice as high


@pytest.mark.parametrize("size", [(2, 3), (4, 5), (7, 9), (4, 10)])
def test_resize_flow_against_the_reference(size):
    expected = reference.resize(FLOW.reshape(6, 4, 5, 2), size)
    expected = expected * [size[1] / 5, size[0] / 4]
    actual = resize_flow(ops.convert_to_tensor(FLOW), size)
    assert_close(actual, expected.reshape(2, 3, *size, 2))
    if size != (4, 5):
        swapped = (expected / [size[1] / 5, size[0] / 4]) * [size[0] / 4, size[1] / 5]
        assert_differs(actual, swapped.reshape(2, 3, *size, 2))


def test_resize_flow_to_its_own_size_changes_nothing():
    assert_close(resize_flow(ops.convert_to_tensor(FLOW), (4, 5)), FLOW, rtol=0, atol=0)


def test_resize_flow_keeps_pairs_apart():
    flow = np.arange(3, dtype="float32")[None, :, None, None, None] * np.ones(
        (1, 1, 4, 4, 2)
    )
    resized = to_numpy(resize_flow(ops.convert_to_tensor(flow, "float32"), (8, 8)))
    assert_close(resized[0, :, 3, 3, 0], np.array([0.0, 2.0, 4.0]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_resize_flow_keeps_the_dtype(dtype):
    resized = resize_flow(ops.cast(FLOW, dtype), (8, 10))
    assert dtype_of(resized) == dtype
    expected = reference.resize(FLOW.reshape(6, 4, 5, 2), (8, 10)) * 2
    assert_close(resized, expected.reshape(2, 3, 8, 10, 2), rtol=0.03, atol=0.06)


def test_gradient_of_resize_flow():
    flow = FLOW[:1, :1]
    weight = RANDOM.normal(size=(1, 1, 6, 3, 2)).astype("float32")

    def slow(values):
        resized = reference.resize(values[0], (6, 3)) * [3 / 5, 6 / 4]
        return np.sum(weight[0] * resized)

    (actual,) = gradient(
        lambda f: ops.sum(ops.multiply(weight, resize_flow(f, (6, 3)))), flow
    )
    assert_close(actual, finite_difference(slow, flow), atol=1e-4)


@only_tensorflow
@pytest.mark.parametrize("xla", [False, True])
def test_shapes_may_be_unknown_while_tracing(xla):
    def there_and_back(flow):
        doubled = (2 * ops.shape(flow)[2], 2 * ops.shape(flow)[3])
        return channels_to_flow(flow_to_channels(flow)), resize_flow(flow, doubled)

    if xla:  # XLA wants sizes by the time it compiles, not while tracing
        there_and_back = compiled(there_and_back, (2, 3, 4, 5, 2), xla=True)
    else:
        there_and_back = compiled(there_and_back, (None, 3, None, None, 2))
    same, doubled = there_and_back(FLOW)
    assert_close(same, FLOW)
    assert_close(doubled, resize_flow(ops.convert_to_tensor(FLOW), (8, 10)))
    if not xla:
        assert there_and_back(FLOW[:1, :, :3, :2])[1].shape == (1, 3, 6, 4, 2)


@pytest.mark.parametrize("shape", [(4, 32, 32, 2), (1, 4, 32, 32, 3)])
def test_resize_flow_takes_pairs(shape):
    with pytest.raises(ValueError, match=r"\(batch, pairs, height, width, 2\)"):
        resize_flow(ops.zeros(shape), (64, 64))


def test_level_names():
    names = ["flow10", "logits", "flow2", "flow_head", "flow"]
    assert level_names(dict.fromkeys(names)) == ["flow2", "flow10"]
