import keras
import numpy as np
import pytest
from checks import assert_close, only_tensorflow, to_numpy

from h2s_keras.layers import SynchronizedBatchNormalization


def images():
    values = np.random.default_rng(0).normal(3, 2, (8, 4, 4, 3))
    return values.astype("float32")


def test_equals_keras_in_training_and_after():
    ours = SynchronizedBatchNormalization(momentum=0.9)
    theirs = keras.layers.BatchNormalization(momentum=0.9)
    for training in (True, False):
        assert_close(
            ours(images(), training=training), theirs(images(), training=training), 1e-4
        )
    assert_close(ours.moving_mean, theirs.moving_mean)
    assert np.abs(to_numpy(ours.moving_mean)).max() > 0.1


def test_frozen_keeps_its_statistics_and_learns_scale_and_shift():
    layer = SynchronizedBatchNormalization(frozen=True)
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, layer(inputs))
    model.trainable = False
    model.trainable = True  # what a stage of training does
    assert_close(layer(images(), training=True), layer(images(), training=False))
    assert_close(layer.moving_mean, np.zeros(3))
    assert [v.name for v in layer.trainable_variables] == ["gamma", "beta"]


def test_a_config_moves_between_backends():
    layer = SynchronizedBatchNormalization(frozen=True, epsilon=1e-5)
    config = layer.get_config()
    assert "synchronized" not in config and config["frozen"] is True
    revived = SynchronizedBatchNormalization.from_config({**config, "synchronized": True})
    assert revived.get_config() == config
    assert revived.synchronized == (keras.backend.backend() == "tensorflow")


@only_tensorflow
def test_two_replicas_share_their_moments():
    import tensorflow as tf

    devices = tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        pytest.skip("needs two logical devices; tests/training asks for them")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices[:2]])
    with strategy.scope():
        layer = SynchronizedBatchNormalization(momentum=0.0)
        layer.build((None, 4, 4, 3))
    halves = strategy.experimental_distribute_values_from_function(
        lambda context: images()[4 * context.replica_id_in_sync_group :][:4]
    )
    strategy.run(lambda batch: layer(batch, training=True), args=(halves,))
    assert_close(layer.moving_mean, images().mean(axis=(0, 1, 2)), 1e-4)
