"""Keras' own export, wrappers and shape inference on the networks of this library."""

import keras
import numpy as np
import pytest
from checks import only_tensorflow, to_numpy

from h2s_keras.errors import UserError
from h2s_keras.models import HiddenTwoStream, HiddenTwoStreamBuilder, MotionNet

CLIP = (2, 16, 16, 3)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    builder = HiddenTwoStreamBuilder(4, 2, (16, 16)).motion("tiny").temporal("tiny")
    return builder.spatial("tiny").build()


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, *CLIP)).astype("uint8")


@only_tensorflow
def test_export_of_networks_that_were_built_or_loaded(network, clips, tmp_path):
    import tensorflow as tf

    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    expected = to_numpy(network(clips))
    for name, model in (("built", network), ("loaded", loaded), ("part", network.motion)):
        model(clips)
        model.export(str(tmp_path / name), verbose=False)
        served = tf.saved_model.load(str(tmp_path / name))
        found = served.serve(tf.constant(clips[:2], tf.float32))
        assert set(found) == set(model(clips))
        for key, value in found.items():
            np.testing.assert_allclose(value, expected[key][:2], atol=1e-5)


def test_shapes_without_a_call(network, clips):
    for model in (network, network.motion):
        shapes = model.compute_output_shape((None, *CLIP))
        outputs = model(clips)
        assert set(shapes) == set(outputs)
        for name, value in outputs.items():
            assert shapes[name] == (None, *value.shape[1:])
    shapes = network.motion.compute_output_shape((4, 2, None, 16, 3))
    assert shapes["flow2"] == (4, 1, None, 8, 2)
    with pytest.raises(ValueError, match="takes clips"):
        network.compute_output_shape((None, 3, 16, 16, 3))


def test_functional_and_sequential_wrappers(network, clips, tmp_path):
    expected = to_numpy(network(clips))
    inputs = keras.Input(CLIP)
    functional = keras.Model(inputs, network(inputs))
    sequential = keras.Sequential([keras.Input(CLIP), network])
    for number, model in enumerate((functional, sequential)):
        model.save(tmp_path / f"{number}.keras")
        again = keras.models.load_model(tmp_path / f"{number}.keras")
        for wrapped in (model, again):
            found = to_numpy(wrapped(clips))
            assert set(found) == set(expected)
            for name, value in found.items():
                np.testing.assert_allclose(value, expected[name], atol=1e-5)


def test_time_distributed(network, clips):
    inputs = keras.Input(CLIP)
    single = keras.Model(inputs, network(inputs)["logits"])
    several = keras.layers.TimeDistributed(single)
    assert several.compute_output_shape((None, 5, *CLIP)) == (None, 5, 4)
    videos = np.stack([clips, clips[::-1]], axis=1).astype("float32")
    expected = to_numpy(network(clips)["logits"])
    found = to_numpy(several(videos))
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], expected[::-1], atol=1e-5)
    with pytest.raises(ValueError, match="answers with a dict .* choose one"):
        keras.layers.TimeDistributed(network).compute_output_shape((None, 5, *CLIP))


class OwnMotionNet(MotionNet):
    """As users derive it."""


class OtherArguments(MotionNet):
    def __init__(self, size):
        super().__init__(size)


def test_from_preset_gives_the_class_that_was_asked_for(clips):
    plain = MotionNet.from_preset("tiny_synthetic", 2)
    own = OwnMotionNet.from_preset("tiny_synthetic", 2)
    assert type(own) is OwnMotionNet and type(plain) is MotionNet
    np.testing.assert_array_equal(own.estimate_flow(clips), plain.estimate_flow(clips))
    assert type(HiddenTwoStream.from_preset("quickstart")) is HiddenTwoStream
    with pytest.raises(UserError, match="holds a MotionNet, not a HiddenTwoStream"):
        HiddenTwoStream.from_preset("tiny_synthetic")
    with pytest.raises(UserError, match="cannot be loaded as OtherArguments"):
        OtherArguments.from_preset("tiny_synthetic", 2)


def test_streams_of_other_classes_are_refused(network):
    other = HiddenTwoStreamBuilder(5, 2, (16, 16)).motion("tiny").temporal("tiny")
    spatial = other.spatial("tiny").build().spatial
    with pytest.raises(ValueError, match="received 4 of the temporal stream and 5"):
        HiddenTwoStream(network.motion, network.temporal, spatial)
