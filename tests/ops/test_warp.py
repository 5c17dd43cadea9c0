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

from h2s_keras.ops import backward_warp

RANDOM = np.random.default_rng(2)
NINE = np.arange(9, dtype="float32").reshape(1, 3, 3, 1)


def constant_flow(x, y, shape=(1, 3, 3)):
    return np.broadcast_to(np.array([x, y], "float32"), (*shape, 2)).copy()


def warp(image, flow, **kwargs):
    return backward_warp(
        ops.convert_to_tensor(image), ops.convert_to_tensor(flow), **kwargs
    )


def texture(y, x):
    """A smooth picture that is known between the pixels too."""
    return np.sin(0.31 * x + 0.17 * y) + np.cos(0.23 * y - 0.11 * x)


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("reach", [0.7, 3.0, 40.0])
def test_against_the_reference(padding, reach):
    image = RANDOM.normal(size=(2, 5, 7, 3)).astype("float32")
    flow = RANDOM.uniform(-reach, reach, (2, 5, 7, 2)).astype("float32")
    actual = warp(image, flow, padding=padding)
    assert_close(actual, reference.warp(image, flow, padding), atol=2e-5)
    # The test can fail: flow of the other sign, or with its axes swapped, is not it.
    if reach < 40:
        assert_differs(actual, reference.warp(image, -flow, padding), by=0.1)
        assert_differs(actual, reference.warp(image, flow[..., ::-1], padding), by=0.1)


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ((1, 0), [[1, 2, 0], [4, 5, 0], [7, 8, 0]]),
        ((-1, 0), [[0, 0, 1], [0, 3, 4], [0, 6, 7]]),
        ((0, 1), [[3, 4, 5], [6, 7, 8], [0, 0, 0]]),
        ((0, -1), [[0, 0, 0], [0, 1, 2], [3, 4, 5]]),
        ((0.5, 0), [[0.5, 1.5, 1], [3.5, 4.5, 2.5], [6.5, 7.5, 4]]),
        ((2, 1), [[5, 0, 0], [8, 0, 0], [0, 0, 0]]),
        ((3, 0), [[0, 0, 0]] * 3),
        ((1e9, -1e9), [[0, 0, 0]] * 3),
    ],
)
def test_zeros_by_hand(flow, expected):
    actual = to_numpy(warp(NINE, constant_flow(*flow)))[0, :, :, 0]
    assert actual.tolist() == expected


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ((1, 0), [[1, 2, 2], [4, 5, 5], [7, 8, 8]]),
        ((0, -0.5), [[0, 1, 2], [1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]),
        ((-1e9, 1e9), [[6, 6, 6]] * 3),
    ],
)
def test_border_by_hand(flow, expected):
    actual = to_numpy(warp(NINE, constant_flow(*flow), padding="border"))[0, :, :, 0]
    assert actual.tolist() == expected


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_zero_flow_changes_nothing(padding, dtype):
    image = ops.cast(RANDOM.uniform(0, 255, (2, 6, 4, 3)), dtype)
    actual = backward_warp(image, ops.zeros((2, 6, 4, 2), dtype), padding)
    assert dtype_of(actual) == dtype
    assert_close(actual, image, rtol=0, atol=0)


def test_whole_numbers_are_taken_as_float32():
    image = RANDOM.integers(0, 256, (1, 3, 3, 2), "uint8")
    flow = constant_flow(0.25, -0.5)
    actual = warp(image, flow)
    assert dtype_of(actual) == "float32"
    assert_close(actual, warp(image.astype("float32"), flow), rtol=0, atol=0)


@pytest.mark.parametrize(("x", "y"), [(2, 0), (0, 3), (-1, 2), (3, -3)])
def test_whole_pixels_roll_the_inside(x, y):
    image = RANDOM.normal(size=(1, 12, 10, 2)).astype("float32")
    actual = to_numpy(warp(image, constant_flow(x, y, (1, 12, 10))))
    rolled = np.roll(image, (-y, -x), axis=(1, 2))
    inside = np.s_[:, 3:-3, 3:-3]
    np.testing.assert_array_equal(actual[inside], rolled[inside])
    assert_differs(actual[inside], np.roll(image, (y, x), axis=(1, 2))[inside], by=0.1)


def test_the_convention_of_a_moving_picture():
    """frame_t(y, x) ~ frame_{t+1}(y + flow_y, x + flow_x)."""
    y, x = np.meshgrid(np.arange(24.0), np.arange(32.0), indexing="ij")
    move_x, move_y = 2.4, -1.3
    first = texture(y, x)[None, ..., None].astype("float32")
    second = texture(y - move_y, x - move_x)[None, ..., None].astype("float32")
    inside = np.s_[:, 4:-4, 4:-4]
    error = {}
    for name, flow in {
        "true": (move_x, move_y),
        "zero": (0, 0),
        "negated": (-move_x, -move_y),
        "swapped": (move_y, move_x),
    }.items():
        warped = to_numpy(warp(second, constant_flow(*flow, (1, 24, 32))))
        error[name] = np.abs(warped - first)[inside].mean()
    assert error["true"] < 0.02
    assert min(error["zero"], error["negated"], error["swapped"]) > 0.2


def test_clips_of_a_batch_do_not_mix():
    image = np.stack([np.full((4, 5, 1), value, "float32") for value in (1, 10, 100)])
    flow = RANDOM.uniform(-9, 9, (3, 4, 5, 2)).astype("float32")
    actual = to_numpy(warp(image, flow, padding="border"))
    assert_close(actual, image)


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_gradients(padding):
    image = RANDOM.normal(size=(1, 4, 3, 2)).astype("float32")
    # Away from whole pixels, where the surface has a kink; some positions lie outside.
    whole = RANDOM.integers(-2, 3, (1, 4, 3, 2))
    flow = (whole + RANDOM.uniform(0.1, 0.9, whole.shape)).astype("float32")
    weight = RANDOM.normal(size=image.shape).astype("float32")

    def fast(pixels, motion):
        return ops.sum(ops.multiply(weight, backward_warp(pixels, motion, padding)))

    def slow(pixels, motion):
        return np.sum(weight * reference.warp(pixels, motion, padding))

    of_image, of_flow = gradient(fast, image, flow)
    assert_close(of_image, finite_difference(lambda i: slow(i, flow), image), atol=1e-4)
    assert_close(of_flow, finite_difference(lambda f: slow(image, f), flow), atol=1e-4)
    assert np.abs(of_flow).max() > 0.1
    assert_differs(of_flow[..., ::-1], of_flow, by=0.1)


def test_gradient_at_zero_flow_points_somewhere():
    image = RANDOM.normal(size=(1, 5, 5, 1)).astype("float32")
    (slope,) = gradient(
        lambda flow: ops.sum(backward_warp(ops.convert_to_tensor(image), flow) ** 2),
        np.zeros((1, 5, 5, 2)),
    )
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0.1


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_flow_that_is_not_finite_stays_where_it_is(padding, bad):
    image = RANDOM.normal(size=(2, 4, 5, 3)).astype("float32")
    flow = np.zeros((2, 4, 5, 2), "float32")
    flow[0, 1, 2, 0] = flow[1, 3, 0, 1] = bad
    actual = to_numpy(warp(image, flow, padding=padding))
    touched = np.zeros((2, 4, 5), bool)
    touched[0, 1, 2] = touched[1, 3, 0] = True
    np.testing.assert_array_equal(actual[~touched], image[~touched])
    if np.isnan(bad):
        assert np.isnan(actual[touched]).all()
    elif padding == "zeros":
        assert (actual[touched] == 0).all()
    else:
        column, row = (4, 3) if bad > 0 else (0, 0)
        np.testing.assert_array_equal(actual[0, 1, 2], image[0, 1, column])
        np.testing.assert_array_equal(actual[1, 3, 0], image[1, row, 0])


def test_coordinates_stay_float32_for_a_float16_image():
    ramp = np.arange(512, dtype="float32")[None, None, :, None] / 1024
    image, flow = ops.cast(ramp, "float16"), constant_flow(300.3, 0, (1, 1, 512))
    actual = to_numpy(backward_warp(image, ops.convert_to_tensor(flow)))[0, 0, 0, 0]
    assert abs(actual * 1024 - 300.3) < 0.13  # half a step of the float16 result
    rounded = flow.astype("float16").astype("float32") + np.float32(300) - np.float32(300)
    wide = to_numpy(warp(ramp, flow))[0, 0, 0, 0] * 1024
    assert abs(wide - 300.3) < 1e-3
    assert abs(to_numpy(warp(ramp, rounded))[0, 0, 0, 0] * 1024 - 300.3) > 0.04


def test_mask_says_which_positions_lie_inside():
    flow = constant_flow(0.5, 0)
    flow[0, 1, 1] = np.nan
    warped, mask = warp(NINE, flow, return_mask=True)
    assert to_numpy(warped).shape == mask.shape == (1, 3, 3, 1)
    assert dtype_of(mask) == "float32"
    assert to_numpy(mask)[0, :, :, 0].tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 0]]
    _, all_inside = warp(NINE, constant_flow(0, 0), return_mask=True)
    assert to_numpy(all_inside).min() == 1


def test_mask_is_the_same_for_border():
    flow = RANDOM.uniform(-1.5, 1.5, (1, 3, 3, 2)).astype("float32")
    masks = [warp(NINE, flow, padding=p, return_mask=True)[1] for p in ("zeros", "border")]
    assert_close(*masks, rtol=0, atol=0)
    assert 0 < to_numpy(masks[0]).mean() < 1


@pytest.mark.parametrize(
    ("image", "flow", "padding", "message"),
    [
        ((1, 3, 3, 1), (1, 3, 3, 2), "mirror", r"padding must be one of .*'mirror'"),
        (
            (1, 3, 3, 1),
            (1, 3, 3, 3),
            "zeros",
            r"received \(1, 3, 3, 1\) and \(1, 3, 3, 3\)",
        ),
        ((3, 3, 1), (1, 3, 3, 2), "zeros", r"received \(3, 3, 1\)"),
        ((1, 3, 3, 1), (1, 2, 3, 3, 2), "zeros", "Fold the pairs of a clip into the batch"),
        ((1, 3, 3, 1), (1, 4, 3, 2), "zeros", "their height differs"),
        ((1, 3, 3, 1), (1, 3, 5, 2), "zeros", "their width differs.*resize_flow"),
    ],
)
def test_errors_say_what_came_and_what_to_do(image, flow, padding, message):
    with pytest.raises(ValueError, match=message):
        backward_warp(ops.zeros(image), ops.zeros(flow), padding)


@only_tensorflow
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_sizes_may_be_unknown_while_tracing(padding):
    traced = compiled(
        lambda image, flow: backward_warp(image, flow, padding),
        (None, None, None, 3),
        (None, None, None, 2),
    )
    for shape in ((1, 5, 4), (3, 2, 6)):
        image = RANDOM.normal(size=(*shape, 3)).astype("float32")
        flow = RANDOM.uniform(-3, 3, (*shape, 2)).astype("float32")
        assert_close(traced(image, flow), reference.warp(image, flow, padding), atol=2e-5)


@only_tensorflow
def test_xla_compiles_it_and_its_gradient():
    import tensorflow as tf

    def slopes(image, flow):
        with tf.GradientTape() as tape:
            tape.watch([image, flow])
            total = tf.reduce_sum(backward_warp(image, flow) ** 2)
        return tape.gradient(total, [image, flow])

    image = RANDOM.normal(size=(2, 6, 5, 3)).astype("float32")
    flow = RANDOM.uniform(-3, 3, (2, 6, 5, 2)).astype("float32")
    flow[0, 0, 0], flow[1, 2, 3] = np.inf, -np.inf
    shapes = image.shape, flow.shape
    fast = compiled(backward_warp, *shapes, xla=True)
    assert_close(fast(image, flow), warp(image, flow), atol=2e-5)
    fast_slopes = compiled(slopes, *shapes, xla=True)(image, flow)
    plain = slopes(tf.constant(image), tf.constant(flow))
    assert_close(fast_slopes, [tf.convert_to_tensor(one) for one in plain], atol=1e-4)
    # XLA clamps NaN to a position, so the loss learns of it from the smoothness term only.
    flow[0, 0, 0] = np.nan
    assert_close(fast(image, flow)[:, 1:], warp(image, flow)[:, 1:], atol=2e-5)


@only_tensorflow
def test_inside_tf_data():
    import tensorflow as tf

    image = RANDOM.normal(size=(4, 5, 4, 1)).astype("float32")
    flow = RANDOM.uniform(-2, 2, (4, 5, 4, 2)).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices((image, flow)).batch(2).map(backward_warp)
    actual = np.concatenate(list(dataset.as_numpy_iterator()))
    assert_close(actual, reference.warp(image, flow), atol=2e-5)
