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

from h2s_keras.ops import resize_bilinear

RANDOM = np.random.default_rng(1)
SIZES = [
    ((8, 8), (4, 4)),
    ((9, 7), (4, 5)),
    ((5, 6), (10, 12)),
    ((4, 7), (9, 3)),
    ((6, 6), (6, 4)),
    ((6, 6), (3, 6)),
    ((3, 5), (1, 1)),
    ((1, 1), (3, 2)),
]


def images(size, count=2, channels=3):
    return RANDOM.uniform(0, 255, (count, *size, channels)).astype("float32")


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_against_the_reference(old, new):
    values = images(old)
    actual = resize_bilinear(ops.convert_to_tensor(values), new)
    assert_close(actual, reference.resize(values, new), atol=1e-3)


@pytest.mark.parametrize(("old", "new"), [((8, 9), (4, 3)), ((5, 6), (10, 12))])
def test_aligned_corners_against_the_reference(old, new):
    values = images(old)
    actual = resize_bilinear(ops.convert_to_tensor(values), new, align_corners=True)
    assert_close(actual, reference.resize(values, new, corners=True), atol=1e-3)
    assert_differs(actual, reference.resize(values, new), by=1.0)


def test_aligned_corners_by_hand():
    # From 5 to 3 samples the places are 0, 2, 4 and the triangle is 2 wide to each side.
    row = ops.convert_to_tensor(np.array([0.0, 3.0, 6.0, 12.0, 0.0]).reshape(1, 1, 5, 1))
    actual = to_numpy(resize_bilinear(row, (1, 3), align_corners=True))[0, 0, :, 0]
    assert_close(actual, np.array([1.5 / 1.5, 13.5 / 2, 6 / 1.5]))
    one = to_numpy(resize_bilinear(row, (1, 1), align_corners=True))
    # One sample lies in the middle, under a triangle 4 wide to each side.
    assert_close(one[0, 0, 0, 0], np.float32((0.75 * 3 + 6 + 0.75 * 12) / 3.5))


@only_tensorflow
@pytest.mark.parametrize(
    ("old", "new"), [*SIZES, ((224, 224), (7, 7)), ((60, 81), (112, 9))]
)
def test_against_tensorflow(old, new):
    import tensorflow as tf

    values = images(old, count=1)
    expected = tf.image.resize(values, new, method="bilinear", antialias=True)
    assert_close(resize_bilinear(tf.constant(values), new), expected, atol=2e-3)


@pytest.mark.parametrize(
    ("old", "new"), [*SIZES, ((224, 224), (7, 7)), ((60, 81), (112, 9))]
)
def test_against_pillow(old, new):
    image = pytest.importorskip("PIL.Image")
    values = images(old, count=1, channels=1)
    picture = image.fromarray(values[0, ..., 0])
    expected = picture.resize(new[::-1], image.Resampling.BILINEAR)
    actual = to_numpy(resize_bilinear(ops.convert_to_tensor(values), new))
    assert_close(actual[0, ..., 0], np.asarray(expected), atol=2e-3)


def test_halving_by_hand():
    # Triangle of half width 2 about 0.5: weights 3, 3, 1 over 7 at the edge.
    row = ops.convert_to_tensor(np.array([[[[0.0], [7.0], [14.0], [21.0]]]], "float32"))
    assert_close(resize_bilinear(row, (1, 2)), np.array([[[[5.0], [16.0]]]]))


def test_doubling_by_hand():
    column = ops.convert_to_tensor(np.array([[[[0.0]], [[4.0]]]], "float32"))
    actual = to_numpy(resize_bilinear(column, (4, 1)))[0, :, 0, 0]
    assert_close(actual, np.array([0.0, 1.0, 3.0, 4.0]))


@pytest.mark.parametrize(
    ("old", "new"), [*SIZES, ((224, 320), (7, 10)), ((13, 17), (90, 31))]
)
def test_constants_stay_constant(old, new):
    actual = resize_bilinear(ops.full((1, *old, 2), 7.25), new)
    assert_close(actual, np.full((1, *new, 2), 7.25), atol=1e-4)


def test_same_size_is_returned_exactly():
    values = images((5, 7))
    assert_close(resize_bilinear(ops.convert_to_tensor(values), (5, 7)), values, 0, 0)


@pytest.mark.parametrize("new", [4, 8, 24, 32, 40])
def test_linear_ramps_are_resampled_exactly(new):
    old = 16
    ramp = 3.0 * np.arange(old, dtype="float32") - 5.0
    field = np.broadcast_to(ramp[None, None, :, None], (1, 4, old, 1)).astype("float32")
    actual = to_numpy(resize_bilinear(ops.convert_to_tensor(field), (4, new)))[0, 2, :, 0]
    position = (np.arange(new) + 0.5) * old / new - 0.5
    reach = max(old / new, 1.0)
    inner = (position - reach > -1) & (position + reach < old)
    assert inner.sum() >= new // 2
    assert_close(actual[inner], (3.0 * position - 5.0)[inner], atol=1e-4)
    # Corners aligned instead of half pixels must not pass.
    aligned = np.linspace(0, old - 1, new)
    assert_differs(actual[inner], (3.0 * aligned - 5.0)[inner], by=0.1)


def test_shrinking_does_not_alias():
    stripes = np.zeros((1, 64, 64, 1), "float32")
    stripes[:, :, ::2] = 1.0
    shrunk = to_numpy(resize_bilinear(ops.convert_to_tensor(stripes), (16, 16)))
    assert np.abs(shrunk[:, 2:-2, 2:-2] - 0.5).max() < 0.02
    assert np.abs(stripes[:, ::4, ::4] - 0.5).min() == 0.5  # plain picking does


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype_is_kept(dtype):
    values = images((16, 12)) / 255
    actual = resize_bilinear(ops.cast(values, dtype), (4, 24))
    assert dtype_of(actual) == dtype
    assert_close(actual, reference.resize(values, (4, 24)), rtol=0.02, atol=0.02)


def test_integer_images_become_float32():
    values = images((8, 8)).astype("uint8")
    actual = resize_bilinear(ops.convert_to_tensor(values), (4, 4))
    assert dtype_of(actual) == "float32"
    assert_close(actual, reference.resize(values, (4, 4)), atol=1e-3)


def test_gradient():
    values = images((4, 3), count=1, channels=1) / 255
    weight = RANDOM.normal(size=(1, 2, 5, 1)).astype("float32")
    (actual,) = gradient(
        lambda x: ops.sum(ops.multiply(weight, resize_bilinear(x, (2, 5)))), values
    )
    slow = finite_difference(lambda x: np.sum(weight * reference.resize(x, (2, 5))), values)
    assert_close(actual, slow, atol=1e-4)


@only_tensorflow
def test_everything_may_be_unknown_while_tracing():
    import tensorflow as tf

    @tf.function(
        input_signature=[tf.TensorSpec((None,) * 3 + (3,)), tf.TensorSpec((2,), "int32")]
    )
    def resize(values, size):
        return resize_bilinear(values, (size[0], size[1]))

    for old, new in SIZES:
        values = images(old)
        assert_close(resize(values, new), reference.resize(values, new), atol=1e-3)


@only_tensorflow
@pytest.mark.parametrize(("old", "new"), [((9, 7), (4, 5)), ((4, 4), (9, 9))])
def test_xla_compiles_it_and_its_gradient(old, new):
    import tensorflow as tf

    def slope(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            total = tf.reduce_sum(resize_bilinear(values, new) ** 2)
        return tape.gradient(total, values)

    values = images(old) / 255
    resize = compiled(lambda x: resize_bilinear(x, new), values.shape, xla=True)
    assert_close(resize(values), reference.resize(values, new), atol=1e-4)
    compiled_slope = compiled(slope, values.shape, xla=True)
    assert_close(compiled_slope(values), slope(tf.constant(values)), atol=1e-4)


@only_tensorflow
def test_why_not_tensorflows_own():
    import tensorflow as tf

    # The facts that the triangle filter of this package rests on.
    assert tf.image.resize(tf.zeros((1, 4, 4, 1), "float16"), (2, 2)).dtype == "float32"
    own = compiled(
        lambda x: tf.image.resize(x, (2, 2), antialias=True), (1, 4, 4, 1), xla=True
    )
    with pytest.raises(tf.errors.OpError):
        own(tf.zeros((1, 4, 4, 1)))


@only_tensorflow
def test_inside_tf_data():
    import tensorflow as tf

    values = images((6, 8), count=4)
    dataset = tf.data.Dataset.from_tensor_slices(values).batch(2)
    dataset = dataset.map(lambda x: resize_bilinear(x, (3, 5)))
    actual = np.concatenate(list(dataset.as_numpy_iterator()))
    assert_close(actual, reference.resize(values, (3, 5)), atol=1e-3)
