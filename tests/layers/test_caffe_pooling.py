"""Caffe's pooling against its loops written out in NumPy."""

import math

import keras
import numpy as np
import pytest
from checks import assert_close, assert_differs, assert_survives_config

from h2s_keras.layers import CaffePooling


def reference(images, size, stride, pad, mode):
    batch, height, width, channels = images.shape

    def pooled(side):
        count = math.ceil((side + 2 * pad - size) / stride) + 1
        return count - 1 if pad and (count - 1) * stride >= side + pad else count

    found = np.zeros((batch, pooled(height), pooled(width), channels))
    for y, x in np.ndindex(found.shape[1:3]):
        top, left = y * stride - pad, x * stride - pad
        bottom, right = min(top + size, height + pad), min(left + size, width + pad)
        area = (bottom - top) * (right - left)
        part = images[:, max(top, 0) : bottom, max(left, 0) : right]
        if mode == "max":
            found[:, y, x] = part.max(axis=(1, 2))
        else:
            found[:, y, x] = part.sum(axis=(1, 2)) / area
    return found.astype("float32")


@pytest.mark.parametrize("mode", ["max", "average"])
@pytest.mark.parametrize(
    ("size", "stride", "pad"), [(3, 2, 0), (3, 1, 1), (3, 2, 1), (2, 2, 1), (4, 3, 2)]
)
@pytest.mark.parametrize("shape", [(4, 5), (6, 7), (8, 8)])
def test_equals_caffe(mode, size, stride, pad, shape):
    # All below zero: a maximum that took padding for a pixel would be seen.
    images = np.random.default_rng(0).uniform(-2, -1, (2, *shape, 3)).astype("float32")
    layer = CaffePooling(size, stride, pad, mode)
    expected = reference(images, size, stride, pad, mode)
    assert layer.compute_output_shape(images.shape) == expected.shape
    assert_close(layer(images), expected)


def test_same_and_valid_padding_differ():
    import keras

    images = np.random.default_rng(0).normal(size=(1, 7, 7, 1)).astype("float32")
    ours = CaffePooling(3, 2)(images)
    same = keras.layers.MaxPooling2D(3, 2, padding="same")(images)
    assert tuple(ours.shape) != tuple(same.shape)
    images = images[:, :6, :6]
    valid = keras.layers.MaxPooling2D(3, 2, padding="valid")(images)
    assert CaffePooling(3, 2)(images).shape[1] == valid.shape[1] + 1
    average = CaffePooling(3, 1, 1, "average")(images)
    assert_differs(
        average, keras.layers.AveragePooling2D(3, 1, padding="same")(images), by=0.05
    )


def test_config():
    images = np.ones((1, 6, 6, 2), "float32")
    assert_survives_config(CaffePooling(3, 2, 1, "average"), images)


@pytest.mark.parametrize("arguments", [(2, 3), (3, 0), (3, 1, 3), (3, 1, 0, "min")])
def test_errors(arguments):
    with pytest.raises(ValueError, match="pooling needs|mode must be"):
        CaffePooling(*arguments)


@pytest.mark.parametrize("mode", ["max", "average"])
def test_channels_are_last_whatever_keras_is_set_to(mode):
    images = np.random.default_rng(0).normal(size=(1, 8, 6, 4)).astype("float32")
    expected = CaffePooling(3, 2, mode=mode)(images)
    keras.config.set_image_data_format("channels_first")
    try:
        np.testing.assert_array_equal(CaffePooling(3, 2, mode=mode)(images), expected)
    finally:
        keras.config.set_image_data_format("channels_last")
