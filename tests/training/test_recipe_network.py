"""The network of a recipe: precision of what it starts from, and what is saved of it."""

import json
import zipfile

import keras
import numpy as np
import pytest

from h2s_keras.models import MotionNet, backbones
from h2s_keras.training import train
from h2s_keras.training.preparation import prepare_stage
from h2s_keras.training.recipe_network import build_network

CLASSES = ["a", "b", "c"]


@pytest.fixture
def policy():
    """Sets a global dtype policy for the length of a test."""
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("temporal", ["tiny", None])
@pytest.mark.parametrize(
    ("saved", "wanted"), [("float32", "mixed_float16"), ("mixed_bfloat16", "float32")]
)
def test_a_trained_motion_net_takes_the_precision_of_the_run(
    small_config, tmp_path, policy, saved, wanted, temporal
):
    policy(saved)
    trained = MotionNet(2, "tiny")
    trained.build((None, 2, 16, 16, 3))
    trained.save(tmp_path / "motion.keras")
    policy(wanted)
    config = small_config()
    config["model"] = {"motion": str(tmp_path / "motion.keras"), "temporal": temporal}
    network = build_network(config, CLASSES)
    motion_net = network if temporal is None else network.motion
    for layer in (motion_net, *motion_net.convolutions):
        assert layer.dtype_policy.name == wanted, layer.name
    for mine, theirs in zip(motion_net.weights, trained.weights, strict=True):
        assert mine.dtype == "float32"
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(mine.value), keras.ops.convert_to_numpy(theirs.value)
        )
    # float16 needs a scaled loss, and gets it.
    model = prepare_stage(network, config["stages"][0])
    assert model.optimizer.use_dynamic_scale == (wanted == "mixed_float16")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="mirrored replicas are TensorFlow's"
)
def test_a_mirrored_run_saves_layers_that_other_backends_load(
    small_config, tmp_path, monkeypatch
):
    """They refuse the option by which replicas share the statistics of a batch."""
    plain, seen = backbones._tiny, []

    class Watched(keras.layers.BatchNormalization):
        def call(self, inputs, training=None, mask=None):
            if training:
                seen.append(self.synchronized)
            return super().call(inputs, training=training, mask=mask)

    def normalized(inputs):
        return Watched(name="shared")(plain(inputs))

    monkeypatch.setitem(backbones._SMALL, "tiny", normalized)
    config = small_config(strategy="mirrored", tensorboard=False)
    config["stages"] = [{**config["stages"][1], "steps": 1}]
    train(config, tmp_path / "run")
    assert seen and all(seen)  # While it trained they did share them.
    with zipfile.ZipFile(tmp_path / "run" / "model.keras") as file:
        saved = json.dumps(json.loads(file.read("config.json")))
    assert '"name": "shared"' in saved and '"synchronized": false' in saved
    assert '"synchronized": true' not in saved
