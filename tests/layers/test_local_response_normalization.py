import keras
import numpy as np
import pytest
import reference
from checks import (
    POLICIES,
    assert_close,
    assert_survives_config,
    assert_survives_file,
    dtype_of,
    only_tensorflow,
    served,
    to_numpy,
)
from gradient import gradient
from keras import ops

from h2s_keras.layers import LocalResponseNormalization

RANDOM = np.random.default_rng(12)
IMAGES = RANDOM.normal(size=(2, 4, 5, 12)).astype("float32")


def test_acts_as_the_reference():
    expected = reference.local_response_normalization(IMAGES)
    assert_close(LocalResponseNormalization()(IMAGES), expected)


@pytest.mark.parametrize(
    "kwargs", [{}, {"radius": 1, "bias": 2.0, "alpha": 1, "beta": 0.5}]
)
def test_config(kwargs):
    assert_survives_config(LocalResponseNormalization(**kwargs), IMAGES)


def test_every_argument_counts():
    plain = to_numpy(LocalResponseNormalization()(IMAGES))
    for change in ({"radius": 1}, {"bias": 2.0}, {"alpha": 1.0}, {"beta": 0.5}):
        other = to_numpy(LocalResponseNormalization(**change)(IMAGES))
        assert np.abs(other - plain).max() > 0.05


@pytest.mark.parametrize("policy", POLICIES)
def test_policies(policy):
    layer = LocalResponseNormalization(dtype=policy)
    actual = layer(ops.convert_to_tensor(300 * IMAGES[..., :3]))
    assert dtype_of(actual) == layer.compute_dtype
    assert dtype_of(layer(np.ones((1, 3), "uint8"))) == layer.compute_dtype
    expected = reference.local_response_normalization(300 * IMAGES[..., :3])
    assert_close(actual, expected, rtol=0.02, atol=1e-3)


def test_saved_in_a_model_of_any_size(tmp_path):
    inputs = keras.Input((None, None, 12))
    model = keras.Model(inputs, LocalResponseNormalization(radius=2)(inputs))
    assert model.output_shape == (None, None, None, 12)
    loaded = assert_survives_file(model, IMAGES, tmp_path)
    assert_close(loaded(IMAGES[:1, :2]), model(IMAGES[:1])[:, :2])


def test_gradient_is_finite_and_not_zero():
    layer = LocalResponseNormalization()
    (slope,) = gradient(lambda x: ops.sum(layer(x)), IMAGES)
    assert np.isfinite(slope).all() and np.abs(slope).min() > 0


def test_errors():
    with pytest.raises(ValueError, match="radius must be >= 0 and bias > 0; received -1"):
        LocalResponseNormalization(radius=-1)
    with pytest.raises(ValueError, match="received 4 and 0"):
        LocalResponseNormalization(bias=0)


@only_tensorflow
def test_served_at_a_second_batch_size(tmp_path):
    inputs = keras.Input((4, 5, 12))
    model = keras.Model(inputs, LocalResponseNormalization()(inputs))
    serve = served(model, tmp_path)
    for count in (1, 2):
        assert_close(serve(IMAGES[:count]), model(IMAGES[:count]))
