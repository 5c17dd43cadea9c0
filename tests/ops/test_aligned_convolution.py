import keras
import numpy as np
import pytest
from checks import assert_close, assert_differs, dtype_of, to_numpy
from gradient import gradient
from keras import ops

from h2s_keras.ops.aligned_convolution import (
    aligned_clip,
    aligned_convolution,
    aligned_width,
    cut_channels,
)
from h2s_keras.ops.flow import clip_to_channels

RANDOM = np.random.default_rng(7)
# One step of the precision at 1, times the roundings that meet in a sum.
ROUNDING = {"mixed_float16": 4e-3, "mixed_bfloat16": 3e-2}
HALF = tuple(ROUNDING)


def built(kind, filters, channels, policy, strides=1, **options):
    kinds = {"conv": keras.layers.Conv2D, "deconv": keras.layers.Conv2DTranspose}
    layer = kinds[kind](
        filters, 4 if kind == "deconv" else 3, strides=strides, dtype=policy, **options
    )
    layer.build((None, None, None, channels))
    for weight in layer.weights:
        weight.assign(RANDOM.normal(0.0, 0.1, weight.shape))
    return layer


def images(channels, size=8):
    return RANDOM.normal(size=(2, size, size, channels)).astype("float32")


@pytest.mark.parametrize(("channels", "width"), [(1, 8), (8, 8), (9, 16), (212, 216)])
def test_the_next_multiple_of_eight(channels, width):
    assert aligned_width(channels) == width


def test_in_float32_it_is_the_layer():
    layer, inputs = built("conv", 20, 33, "float32", padding="same"), images(33)
    assert np.array_equal(
        to_numpy(aligned_convolution(layer, inputs)), to_numpy(layer(inputs))
    )


@pytest.mark.parametrize("policy", HALF)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kind", "filters", "channels", "strides"),
    [("conv", 20, 33, 1), ("conv", 16, 24, 2), ("deconv", 20, 20, 2), ("deconv", 5, 8, 2)],
)
def test_zeros_change_nothing(policy, bias, kind, filters, channels, strides):
    options = {"strides": strides, "padding": "same", "use_bias": bias}
    layer, inputs = built(kind, filters, channels, policy, **options), images(channels)
    outputs = aligned_convolution(layer, inputs)
    assert dtype_of(outputs) == layer.compute_dtype
    assert outputs.shape[-1] == aligned_width(filters)
    assert not np.any(to_numpy(outputs)[..., filters:])
    expected = to_numpy(layer(inputs))
    atol = ROUNDING[policy] * np.abs(expected).max()
    assert_close(cut_channels(outputs, filters), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("policy", HALF)
def test_a_chain_hands_its_zeros_on(policy):
    """What comes out wider goes into the next one as it is."""
    first = built("conv", 20, 33, policy, padding="same")
    second = built("deconv", 20, 20, policy, strides=2, padding="same")
    third = built("conv", 2, 20, policy, padding="same")
    inputs = images(33)
    chained = aligned_convolution(first, inputs)
    for layer in (second, third):
        chained = aligned_convolution(layer, chained)
    expected = to_numpy(third(second(first(inputs))))
    atol = 3 * ROUNDING[policy] * np.abs(expected).max()
    assert_close(cut_channels(chained, 2), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("policy", HALF)
@pytest.mark.parametrize("frames", [2, 3, 11])
def test_a_clip_and_its_kernel_are_padded_alike(policy, frames):
    layer = built("conv", 8, 3 * frames, policy)
    clips = RANDOM.normal(size=(2, frames, 6, 7, 3)).astype("float32")
    padded = aligned_clip(ops.convert_to_tensor(clips), layer.compute_dtype)
    channels = clip_to_channels(padded)
    assert channels.shape[-1] % 8 == 0
    expected = to_numpy(layer(clip_to_channels(clips)))
    atol = ROUNDING[policy] * np.abs(expected).max()
    assert_close(aligned_convolution(layer, channels, frames), expected, rtol=0, atol=atol)
    # Frames in another order are another clip.
    turned = clip_to_channels(ops.flip(padded, axis=1))
    assert_differs(aligned_convolution(layer, turned, frames), expected, by=10 * atol)


def test_in_float32_a_clip_stays_as_it_is():
    clips = np.zeros((1, 3, 4, 4, 3), "float32")
    assert aligned_clip(clips, "float32") is clips


@pytest.mark.parametrize("policy", HALF)
def test_gradients_reach_inputs_and_nothing_else(policy):
    layer, inputs = built("conv", 20, 33, policy, padding="same"), images(33)

    def total(function):
        return lambda x: ops.sum(ops.square(ops.cast(function(x), "float32")))

    (ours,) = gradient(total(lambda x: aligned_convolution(layer, x)), inputs)
    (plain,) = gradient(total(layer), inputs)
    assert ours.shape == inputs.shape
    atol = 2 * ROUNDING[policy] * np.abs(plain).max()
    np.testing.assert_allclose(ours, plain, rtol=0, atol=atol)
