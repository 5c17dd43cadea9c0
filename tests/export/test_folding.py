"""Batch normalisation in convolutions: the same answers with fewer passes."""

import keras
import numpy as np
import pytest

from h2s_keras.export.inference import fold_batch_norms

layers = keras.layers


def trained(model):
    """`model` with batch statistics as training leaves them."""
    generator = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(generator.uniform(0.5, 2.0, weight.shape))
    return model


def functional(*stack, shape=(16, 16, 3)):
    inputs = keras.Input(shape)
    hidden = inputs
    for layer in stack:
        hidden = layer(hidden)
    return trained(keras.Model(inputs, hidden))


def assert_folds(model, expected):
    images = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:]))
    folded, count = fold_batch_norms(model)
    assert count == expected
    before, after = model.predict(images, verbose=0), folded.predict(images, verbose=0)
    np.testing.assert_allclose(after, before, rtol=2e-4, atol=2e-4)
    return folded


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Conv2D(8, 3, use_bias=False),
        lambda: layers.Conv2D(8, 3, strides=2, bias_initializer="he_normal"),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        lambda: layers.Conv2DTranspose(8, 3, strides=2),
        lambda: layers.Dense(8),
    ],
    ids=["convolution", "with bias", "depthwise", "transposed", "dense"],
)
@pytest.mark.parametrize("scale", [True, False])
def test_each_layer_folds(layer, scale):
    norm = layers.BatchNormalization(scale=scale, center=scale, epsilon=1e-2)
    folded = assert_folds(functional(layer(), norm, layers.ReLU()), 1)
    assert not [x for x in folded.layers if isinstance(x, layers.BatchNormalization)]


def test_what_cannot_be_folded_stays():
    norm = layers.BatchNormalization
    active = layers.Conv2D(8, 3, activation="relu")
    assert_folds(functional(active, norm()), 0)
    assert_folds(functional(norm(), layers.Conv2D(8, 3)), 0)
    assert_folds(functional(layers.Conv2D(8, 3), norm(axis=1)), 0)

    inputs = keras.Input((16, 16, 3))
    convolution = layers.Conv2D(3, 1)
    two_readers = convolution(inputs)
    joined = layers.Add()([norm()(two_readers), two_readers])
    assert_folds(trained(keras.Model(inputs, joined)), 0)

    hidden = norm()(convolution(norm()(convolution(inputs))))
    assert_folds(trained(keras.Model(inputs, hidden)), 0)


def test_models_within_models_fold():
    inner = functional(layers.Conv2D(4, 3), layers.BatchNormalization())
    shared = functional(inner, layers.Conv2D(4, 3), layers.BatchNormalization())
    assert_folds(shared, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"), [("MobileNetV2", 52), ("ResNet50", 53), ("DenseNet121", 59)]
)
def test_networks_of_keras_applications_fold(name, expected):
    build = getattr(keras.applications, name)
    model = build(weights=None, include_top=False, input_shape=(64, 64, 3), pooling="avg")
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            gain = np.random.default_rng(2).uniform(0.8, 1.2, layer.gamma.shape)
            layer.gamma.assign(gain)
            layer.moving_mean.assign(gain - 1)
    folded, count = fold_batch_norms(model)
    images = np.random.default_rng(1).normal(size=(2, 64, 64, 3))
    before, after = model.predict(images, verbose=0), folded.predict(images, verbose=0)
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3 * np.abs(before).max())
    assert count == expected
