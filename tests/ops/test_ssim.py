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

from h2s_keras.ops import patch_ssim
from h2s_keras.ops.ssim import gaussian_window

RANDOM = np.random.default_rng(4)


def images(height, width, count=2, channels=3):
    return RANDOM.uniform(-0.5, 0.6, (count, height, width, channels)).astype("float32")


def ssim(first, second, **kwargs):
    return patch_ssim(ops.convert_to_tensor(first), ops.convert_to_tensor(second), **kwargs)


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (7, 7), (14, 9), (1, 3), (17, 8)])
def test_against_the_reference(size):
    first = images(*size)
    second = first + 0.1 * images(*size)
    actual = ssim(first, second)
    assert actual.shape == (2, -(-size[0] // 8), -(-size[1] // 8), 3)
    assert_close(actual, reference.ssim(first, second), atol=2e-4)


def test_the_window():
    window = gaussian_window()
    assert window.shape == (8, 8) and window.dtype == np.float32
    assert abs(window.sum() - 1) < 1e-6
    assert np.unravel_index(window.argmax(), (8, 8)) == (4, 4)  # centred at 4.0, not 3.5
    assert window[4, 5] / window[4, 4] == pytest.approx(np.exp(-0.5 / (16 / 12) ** 2))


def test_swapped_rows_and_columns_are_another_window():
    # The window is symmetric, the order of patches is not.
    first, second = images(8, 16), images(8, 16)
    actual = to_numpy(ssim(first, second))
    turned = to_numpy(ssim(first.transpose(0, 2, 1, 3), second.transpose(0, 2, 1, 3)))
    assert_close(turned.transpose(0, 2, 1, 3), actual, atol=1e-4)
    assert_differs(turned.reshape(actual.shape)[..., ::-1], actual)


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (21, 34)])
def test_an_image_is_like_itself(size):
    image = images(*size)
    assert_close(ssim(image, image), np.ones((2, -(-size[0] // 8), -(-size[1] // 8), 3)))


def test_is_symmetric_and_at_most_one():
    first, second = images(20, 20), images(20, 20)
    actual = to_numpy(ssim(first, second))
    assert_close(ssim(second, first), actual, atol=1e-6)
    assert actual.max() < 0.9 and actual.min() >= -1


def test_the_less_alike_the_lower():
    image, noise = images(16, 16), images(16, 16)
    scores = [to_numpy(ssim(image, image + s * noise)).mean() for s in (0, 0.1, 0.3, 1)]
    assert scores == sorted(scores, reverse=True) and scores[-1] < scores[0] - 0.2
    assert to_numpy(ssim(2 + image, 2 - image)).mean() < 0  # the contrast inverted


def test_flat_images_do_not_divide_by_zero():
    zeros = np.zeros((1, 8, 8, 1), "float32")
    assert_close(ssim(zeros, zeros), np.ones((1, 1, 1, 1)))
    (slope,) = gradient(lambda x: ops.sum(patch_ssim(x, ops.zeros((1, 8, 8, 1)))), zeros)
    assert np.isfinite(slope).all()


def test_partial_patches_see_only_the_image():
    first, second = images(7, 7), images(7, 7)
    padded = [np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))) for x in (first, second)]
    assert_close(ssim(first, second), ssim(*padded))
    # Renormalising the cut window would be another value.
    wrapped = [np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), "edge") for x in (first, second)]
    assert_differs(ssim(*wrapped), ssim(first, second), by=1e-3)


def test_gradient():
    first, second = images(5, 9, 1, 1), images(5, 9, 1, 1)
    weight = RANDOM.normal(size=(1, 1, 2, 1)).astype("float32")
    one, two = gradient(
        lambda a, b: ops.sum(ops.multiply(weight, patch_ssim(a, b))), first, second
    )

    def slow(a, b):
        return np.sum(weight * reference.ssim(a, b))

    assert_close(one, finite_difference(lambda a: slow(a, second), first), 1e-3, 1e-4)
    assert_close(two, finite_difference(lambda b: slow(first, b), second), 1e-3, 1e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_is_float32_for_any_input(dtype):
    first, second = (ops.cast(images(9, 9), dtype) for _ in range(2))
    actual = patch_ssim(first, second)
    assert dtype_of(actual) == "float32"
    expected = reference.ssim(to_numpy(first), to_numpy(second))
    assert_close(actual, expected, atol=2e-4)


@only_tensorflow
def test_sizes_may_be_unknown_while_tracing():
    unknown = (None, None, None, 3)
    traced = compiled(patch_ssim, unknown, unknown)
    for size in ((7, 7), (16, 9)):
        first, second = images(*size), images(*size)
        assert_close(traced(first, second), ssim(first, second), atol=1e-5)


@only_tensorflow
def test_xla_compiles_it():
    first, second = images(14, 9), images(14, 9)
    fast = compiled(patch_ssim, first.shape, second.shape, xla=True)
    assert_close(fast(first, second), ssim(first, second), atol=1e-4)


@only_tensorflow
def test_why_not_tensorflows_own():
    import tensorflow as tf

    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
        tf.image.ssim(tf.zeros((1, 7, 7, 3)), tf.zeros((1, 7, 7, 3)), 1.0)
