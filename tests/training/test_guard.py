"""Values that are not finite: noticed, explained, and taken back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from h2s_keras.errors import UserError
from h2s_keras.training.callbacks import Interruption, StateCheckpoint
from h2s_keras.training.diagnosis import explain_batch
from h2s_keras.training.run_folder import RunFolder
from h2s_keras.training.stages import Position, prepare_stage, run_stages
from h2s_keras.training.state import find_states

STAGE = {
    "name": "temporal",
    "streams": ["temporal"],
    "steps": 12,
    "epoch": 4,
    "learning_rate": 1e-3,
    "schedule": "constant",
}
CONFIG = {"seed": 1, "batch_size": 4, "tensorboard": False, "stages": [STAGE]}


class PoisonedData:
    """Float clips; clip 2 of the batch `poisoned` holds a NaN the first `times` reads."""

    def __init__(self, poisoned, times):
        self.poisoned, self.times, self.reads = poisoned, times, []

    def training(self, batch_size, start_step=0, seed=0):
        def batches():
            step = start_step
            while True:
                rng = np.random.default_rng(step)
                clips = rng.uniform(0, 255, (batch_size, 3, 32, 32, 3)).astype("float32")
                if step == self.poisoned and self.times > 0:
                    self.times -= 1
                    clips[2, 0, 0, 0] = np.nan
                self.reads.append(step)
                yield clips, np.arange(batch_size, dtype="int32") % 4
                step += 1

        shapes = (tf.TensorSpec((batch_size, 3, 32, 32, 3)), tf.TensorSpec((4,), tf.int32))
        return tf.data.Dataset.from_generator(batches, output_signature=shapes)

    def training_names(self, batch_size, step, seed=0):
        return [f"clip {batch_size * step + row}" for row in range(batch_size)]


def clipped_by_xla(value):
    """What comes of a value between -1 and 1 in a function that XLA compiles."""
    clip = tf.function(lambda x: tf.clip_by_value(x, -1.0, 1.0), jit_compile=True)
    return float(clip(tf.constant([value, 2.0, -3.0], "float32"))[0])


def run(network, data, folder, config=CONFIG):
    return list(run_stages(network, config, data, RunFolder(folder)))


@pytest.mark.parametrize("jit", ["auto", True])
def test_it_goes_back_once_and_halves_the_step(network, tmp_path, caplog, jit):
    if jit is True and keras.backend.backend() == "torch":
        pytest.skip("PyTorch runs eagerly")
    if jit is True and not np.isnan(clipped_by_xla(np.nan)):
        pytest.skip("XLA of this TensorFlow clips NaN to a bound: 2.16 does on a CPU")
    config = {**CONFIG, "stages": [{**STAGE, "jit_compile": jit}]}
    data = PoisonedData(poisoned=6, times=2)  # while training, and while explaining
    with caplog.at_level("WARNING", logger="absl"):
        run(network, data, tmp_path / "run", config)
    said = [record.getMessage() for record in caplog.records if record.name == "absl"]
    assert len(said) == 1
    assert "stage 'temporal': in batch 6 the output of the layer" in said[0]
    assert "not finite for 1 of 4 clips, the first is clip 26" in said[0]
    assert "went back to batch 4 and halved the step (1 of 3 times)" in said[0]
    for weight in network.get_weights():
        assert np.isfinite(weight).all()
    stage, step, path = find_states(tmp_path / "run")[0]
    assert (stage, step) == (0, 12)
    rates = [
        float(line.split(",")[4])
        for line in (tmp_path / "run" / "log.csv").read_text().splitlines()
        if ",learning_rate," in line
    ]
    assert rates[0] == pytest.approx(1e-3) and rates[-1] == pytest.approx(5e-4)


def test_it_gives_up_and_names_the_cause(network, tmp_path):
    data = PoisonedData(poisoned=1, times=10**6)
    with pytest.raises(UserError) as error:
        run(network, data, tmp_path / "run")
    text = str(error.value)
    assert "in batch 1 the output of the layer" in text and "clip 6" in text
    assert "went back 3 times" in text and "lower the learning rate" in text
    # What is on disk is good.
    stage, step, _ = find_states(tmp_path / "run")[0]
    assert (stage, step) == (0, 0)


def test_a_bad_batch_stops_the_updates_even_where_the_loss_hides_it(network):
    """Convolutions and ReLU may swallow a NaN on the way forward, never its gradient."""
    stage_model = prepare_stage(network, STAGE)
    weights = []
    for clips, labels in PoisonedData(poisoned=1, times=10**6).training(4).take(3):
        stage_model.train_on_batch(clips.numpy(), labels.numpy())
        weights.append(network.get_weights())
    for one, *later in zip(*weights, strict=True):
        for two in later:
            np.testing.assert_array_equal(one, two)
    assert int(keras.ops.convert_to_numpy(stage_model.optimizer.bad_batch.value)) == 1


def test_an_interruption_after_a_bad_batch_keeps_the_last_good_state(network, tmp_path):
    """Before the guard has looked; a saved state that updates nothing never goes on."""
    stage_model = prepare_stage(network, STAGE)
    saved, interruption = [], Interruption()
    position = Position()
    checkpoint = StateCheckpoint(lambda: saved.append(1), position, interruption)
    checkpoint.set_model(stage_model)
    interruption.requested = True
    for bad, times in ((-1, 1), (0, 1)):  # A good batch is saved, a bad one no more.
        stage_model.optimizer.bad_batch.assign(bad)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.on_train_batch_end(0)
        assert len(saved) == times


def test_a_rate_that_blows_the_weights_up_ends_with_a_user_error(network, tmp_path):
    stage = {**STAGE, "learning_rate": 1e38, "optimizer": "sgd", "global_clipnorm": None}
    config = {**CONFIG, "stages": [{**stage, "steps": 4}]}
    with pytest.raises(UserError, match="in batch 1 .*; went back 3 times"):
        run(network, PoisonedData(-1, 0), tmp_path / "run", config)


def explained(stage_model, clips, labels=(0, 1, 2, 3)):
    return explain_batch(stage_model, clips, np.array(labels), 5, ["a", "b", "c", "d"])


def test_explanations_name_weight_layer_and_term(network, batch):
    clips, labels = batch
    flow_stage = {**STAGE, "streams": ["motion"], "flow_loss": {}}
    stage_model = prepare_stage(network, flow_stage)
    flow_loss = stage_model.flow_objective.loss
    original = flow_loss.call

    def broken(clips, flows, **options):
        terms = original(clips, flows, **options)
        bad = keras.ops.convert_to_tensor([0.0, 0.0, 0.0, float("inf")])
        return {**terms, "ssim": terms["ssim"] + bad}

    flow_loss.call = broken
    text = explained(stage_model, clips)
    assert text == (
        "in batch 5 the loss term 'ssim' was not finite for 1 of 4 clips, the first is d"
    )
    flow_loss.call = original
    stage_model.optimizer.bad_gradient.assign(1)
    text = explained(stage_model, clips)
    path = stage_model.trainable_variables[1].path
    assert text == (
        f"in batch 5 the gradient of {path!r} of the motion stream was not finite, of the "
        "clips a, b, c and 1 more"
    )
    kernel = network.motion.head.flow_convolutions[0].kernel
    kernel.assign(kernel * float("nan"))
    text = explained(stage_model, clips)
    assert text == (
        f"before batch 5 the weight {kernel.path!r} of the motion stream was no "
        "longer finite"
    )


def test_streams_whose_weights_share_a_path_are_told_apart(network, batch):
    stage_model = prepare_stage(
        network, {**STAGE, "streams": ["temporal", "spatial"], "train": ["spatial"]}
    )
    kernels = [
        next(v for v in part.weights if v.path.endswith("conv2/kernel"))
        for part in (network.temporal, network.spatial)
    ]
    assert kernels[0].path == kernels[1].path
    clean = kernels[1].numpy() if hasattr(kernels[1], "numpy") else np.array(kernels[1])
    kernels[1].assign(clean * np.nan)
    text = explained(stage_model, batch[0])
    assert "conv2/kernel' of the spatial stream was no longer finite" in text
    kernels[1].assign(clean)
    bad = np.full((4, 3, 32, 32, 3), np.nan, "float32")
    assert "' of the motion stream was not finite for 4 of 4 clips" in explained(
        stage_model, bad
    )


def test_explaining_leaves_the_layers_as_they_were(network, batch):
    stage_model = prepare_stage(network, STAGE)
    before = {id(layer): layer.call for layer in network._flatten_layers()}
    explained(stage_model, batch[0])
    for layer in network._flatten_layers():
        assert layer.call == before[id(layer)]
        assert "call" not in vars(layer)


def test_a_clip_of_segments_is_named_once(network):
    stage_model = prepare_stage(network, STAGE)
    clips = np.zeros((4, 3, 3, 32, 32, 3), "float32")
    clips[1, 2, 0, 0, 0, 0] = np.nan
    assert "for 1 of 4 clips, the first is b" in explained(stage_model, clips)
