import subprocess
import sys

import keras
import numpy as np
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


REPLICAS = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])
import keras
from h2s_keras.layers import SynchronizedBatchNormalization
images = np.random.default_rng(0).normal(3, 2, (8, 4, 4, 3)).astype("float32")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    ours = SynchronizedBatchNormalization(momentum=0.0)
    theirs = keras.layers.BatchNormalization(momentum=0.0)
    ours.build((None, 4, 4, 3)), theirs.build((None, 4, 4, 3))
halves = strategy.experimental_distribute_values_from_function(
    lambda context: tf.constant(images[4 * context.replica_id_in_sync_group :][:4])
)
@tf.function
def outputs():
    return strategy.run(
        lambda batch: [layer(batch, training=True) for layer in (ours, theirs)], (halves,)
    )
found = [np.concatenate(strategy.experimental_local_results(one)) for one in outputs()]
mean, deviation = images.mean((0, 1, 2)), images.std((0, 1, 2))
errors = [np.abs(one - (images - mean) / deviation).max() for one in found]
assert errors[0] < 1e-2, errors
assert errors[1] > 2e-2, errors  # each replica by its own moments
variance = np.abs(np.asarray(ours.moving_variance) - deviation**2).max()
assert variance < 1e-3, variance
"""


@only_tensorflow
def test_two_replicas_share_their_moments():
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
