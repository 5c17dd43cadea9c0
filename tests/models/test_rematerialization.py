"""Rematerialisation changes what is kept in memory and no number."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from checks import assert_close, only_tensorflow, to_numpy
from gradient import gradient

from h2s_keras.models import HiddenTwoStreamBuilder, MotionNet, load_model
from h2s_keras.models.backbones import RematerializedBlock, rematerialize_model
from h2s_keras.models.bn_inception import bn_inception


def weight_gradients(model, inputs):
    """Gradients of a fixed weighting of the outputs, at the model's trainable weights.

    Returns them with the new values of all other variables (moving statistics).
    """
    variables = model.trainable_variables
    states = model.non_trainable_variables
    rng = np.random.default_rng(5)
    weights, after = None, {}

    def loss(*values):
        nonlocal weights
        mapping = [(v, keras.ops.convert_to_tensor(v)) for v in states]
        mapping += list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = keras.tree.flatten(model(inputs, training=True))
        if weights is None:
            weights = [rng.normal(size=o.shape).astype("float32") for o in outputs]
        after["states"] = [scope.get_current_value(v) for v in states]
        return sum(keras.ops.sum(o * w) for o, w in zip(outputs, weights, strict=True))

    return gradient(loss, *[np.asarray(to_numpy(v)) for v in variables]), after["states"]


def assert_equal_gradients(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        size = np.abs(other).max()
        assert np.isfinite(other).all()
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * size)
    assert max(np.abs(other).max() for other in expected) > 0


def twin(build):
    """Two models of equal weights, the second by `build(True)`."""
    plain, other = build(False), build(True)
    other.set_weights(plain.get_weights())
    return plain, other


def motion_net(rematerialize):
    model = MotionNet(2, "tiny", rematerialize=rematerialize)
    model.build((None, 2, 16, 16, 3))
    return model


def residual_network():
    """Branches, an addition, pooling and batch normalisation, in three blocks."""
    layers = keras.layers
    inputs = keras.Input((16, 16, 4))
    hidden = layers.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    hidden = layers.MaxPooling2D()(hidden)
    path = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(hidden))
    hidden = layers.ReLU()(layers.Add()([hidden, path]))
    return keras.Model(inputs, layers.Conv2D(3, 3)(hidden), name="residual")


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(3, 16, 16, 4)).astype("float32")


@only_tensorflow
def test_gradients_of_motion_net_are_equal():
    keras.utils.set_random_seed(1)
    plain, other = twin(motion_net)
    clips = np.random.default_rng(2).integers(0, 256, (1, 2, 16, 16, 3)).astype("uint8")
    expected, _ = weight_gradients(plain, clips)
    found, _ = weight_gradients(other, clips)
    assert_equal_gradients(found, expected)
    # The comparison sees a difference: other weights, other gradients.
    other.convolutions[0].kernel.assign(other.convolutions[0].kernel * 1.01)
    with pytest.raises(AssertionError):
        assert_equal_gradients(weight_gradients(other, clips)[0], expected)


@only_tensorflow
def test_gradients_and_statistics_of_a_backbone_are_equal(images):
    keras.utils.set_random_seed(1)
    plain = residual_network()
    expected, statistics = weight_gradients(plain, images)
    other = rematerialize_model(plain)
    found, again = weight_gradients(other, images)
    assert_equal_gradients(found, expected)
    assert len(statistics) == 2
    assert_close(again, statistics, rtol=1e-6, atol=1e-7)
    assert np.abs(to_numpy(statistics[0])).max() > 0


def test_training_updates_statistics_once_and_all_weights(images):
    """Through fit's own compiled step: as the plain model, batch after batch."""
    results = []
    for wrap in (lambda model: model, rematerialize_model):
        keras.utils.set_random_seed(3)
        model = wrap(residual_network())
        model.compile(keras.optimizers.SGD(0.1), "mse")
        targets = np.ones((3, *model.output_shape[1:]), "float32")
        before = model.get_weights()
        losses = [float(model.train_on_batch(images, targets)) for _ in range(3)]
        after = model.get_weights()
        assert all(np.abs(a - b).max() > 0 for a, b in zip(after, before, strict=True))
        results.append((losses, after))
    assert_close(results[1][0], results[0][0], rtol=1e-5, atol=1e-6)
    assert_close(results[1][1], results[0][1], rtol=1e-4, atol=1e-6)


def test_blocks_share_the_layers_and_end_where_paths_have_met(images):
    plain = residual_network()
    model = rematerialize_model(plain)
    blocks = [layer for layer in model.layers if isinstance(layer, RematerializedBlock)]
    ends = [type(block.outputs[0]._keras_history.operation).__name__ for block in blocks]
    assert ends == ["MaxPooling2D", "Add", "Conv2D"]
    for own, other in zip(model.weights, plain.weights, strict=True):
        assert own is other
    assert_close(model(images), plain(images), rtol=0, atol=0)


def test_every_inception_block_is_one_block():
    model = rematerialize_model(bn_inception((32, 32, 3), width=0.125))
    blocks = [layer for layer in model.layers if isinstance(layer, RematerializedBlock)]
    ends = [block.outputs[0]._keras_history.operation.name for block in blocks]
    inner = [f"inception_{name}_output" for name in "3a 3b 3c 4a 4b 4c 4d 4e 5a 5b".split()]
    assert ends == ["pool1_3x3_s2", "pool2_3x3_s2", *inner]


def test_what_cannot_be_cut():
    one, two = keras.Input((4,)), keras.Input((4,))
    pair = keras.Model([one, two], keras.layers.Add()([one, two]), name="pair")
    for model in (pair, MotionNet(2, "tiny", name="motion")):
        with pytest.raises(ValueError, match="not a functional model of one input"):
            rematerialize_model(model)


def test_the_choice_survives_a_file(tmp_path):
    inputs = keras.Input((16, 16, 2))
    hidden = keras.layers.MaxPooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    backbone = keras.Model(inputs, keras.layers.Conv2D(4, 3)(hidden))
    builder = HiddenTwoStreamBuilder(3, 2, 16).motion("tiny").temporal(backbone)
    model = builder.build(rematerialize=True)
    clips = np.random.default_rng(1).integers(0, 256, (1, 2, 16, 16, 3)).astype("uint8")
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert again.motion.rematerialize
    network = again.temporal.layers[1]
    blocks = [la for la in network.layers if isinstance(la, RematerializedBlock)]
    assert len(blocks) == 2
    assert_close(again(clips), model(clips), rtol=1e-6, atol=1e-6)


STEP = """
import sys
import keras, numpy as np
import tensorflow as tf
from h2s_keras.models import MotionNet

def peak():
    # KiB. Not ru_maxrss, which begins with what the parent had when it forked.
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1])

model = MotionNet(2, "motionnet", rematerialize=sys.argv[1] == "True")
clips = np.zeros((8, 2, 256, 256, 3), "uint8")
model.build(clips.shape)

@tf.function
def step():
    with tf.GradientTape() as tape:
        loss = sum(tf.reduce_sum(flow) for flow in model(clips, training=True).values())
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return tf.reduce_sum([tf.reduce_sum(g) for g in gradients])

built = peak()
assert np.isfinite(step().numpy())
print(peak() - built)
"""


@pytest.mark.slow
@only_tensorflow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peaks of Linux")
def test_a_step_of_motion_net_needs_less_memory():
    """Peak resident memory of a step above that of the built network, in processes."""
    growth = {}
    for rematerialize in (False, True):
        command = [sys.executable, "-c", STEP, str(rematerialize)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        growth[rematerialize] = int(done.stdout.split()[-1]) / 1024
    print("MiB above the built network:", growth)
    assert growth[True] < 0.9 * growth[False], growth
