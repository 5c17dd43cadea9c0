"""The recipes of the paper against a table of what was published and released.

Transcribed from the paper, the authors' released solvers and prototxts and those of
Temporal Segment Networks; None where there is no such thing.
"""

import importlib

import pytest

from h2s_keras.models.backbones import build_backbone
from h2s_keras.options import FlowLossOptions, RunOptions
from h2s_keras.training.optimizers import group_factors

# recipe: {stage: (optimiser, rate, weight decay, steps, falls at, by, clips per update,
#                  batch, largest norm of the gradient)}
MOTION = ("adam", 3.2e-5, 4e-4, 400_000, (100_000, 200_000, 250_000, 300_000, 350_000), 0.5)
UCF101 = {
    "motion": (*MOTION, 16, 16, None),
    "temporal": ("sgd", 5e-3, 5e-4, 18_000, (10_000, 16_000), 0.1, 128, None, 20),
    "end_to_end": ("sgd", 1e-6, 5e-4, 16_000, (5000, 9500), 0.1, 128, 8, None),
    "spatial": ("sgd", 1e-3, 5e-4, 3500, (1500, 3000), 0.1, 128, None, 40),
}
HMDB51 = {
    "motion": UCF101["motion"],
    "temporal": ("sgd", 5e-3, 5e-4, 7000, (4000, 6000), 0.1, 128, None, 20),
    "end_to_end": ("sgd", 1e-6, 5e-4, 8500, (5000, 7000), 0.1, 128, 8, None),
    "spatial": ("sgd", 1e-3, 5e-4, 2500, (1000, 2000), 0.1, 128, None, 40),
}
TABLE = {
    "ucf101": UCF101,
    "ucf101_tsn": UCF101,
    "ucf101_i3d": UCF101,
    "hmdb51": HMDB51,
    "hmdb51_tsn": HMDB51,
    "hmdb51_i3d": HMDB51,
    # Not published; they follow ucf101_i3d.
    "thumos14": UCF101,
    "thumos14_101": UCF101,
    "activitynet": UCF101,
}
DROPOUT = {"vgg16": ((0.9, 0.8), (0.9, 0.8)), "bn_inception": (0.7, 0.8)}


def config(name):
    module = importlib.import_module(f"h2s_keras.recipes.{name}")
    return RunOptions.of(module.get_config())


@pytest.mark.parametrize("name", TABLE)
def test_stages(name):
    recipe = config(name)
    assert [stage.name for stage in recipe.stages] == list(TABLE[name])
    for stage in recipe.stages:
        row = TABLE[name][stage.name]
        optimizer, rate, decay, steps, falls, factor, clips, batch, norm = row
        size = stage.batch_size or recipe.batch_size
        assert (stage.optimizer, stage.learning_rate) == (optimizer, rate)
        assert (stage.weight_decay, stage.weight_decay_kind) == (decay, "coupled")
        assert not stage.decay_biases
        assert (stage.steps, tuple(stage.boundaries)) == (steps, falls)
        assert (stage.schedule, stage.factor) == ("multistep", factor)
        assert size * stage.gradient_accumulation_steps == clips
        assert batch in (None, size)
        assert stage.global_clipnorm == norm
        # Neither release warms up or ramps.
        assert stage.warmup == 0
        assert stage.flow_loss is None or stage.flow_loss.smoothness_ramp == 0


@pytest.mark.parametrize("name", TABLE)
def test_losses_are_the_released_ones(name):
    stages = {stage.name: stage for stage in config(name).stages}
    assert stages["motion"].flow_loss == FlowLossOptions(
        weighting="released", released_batch="motion"
    )
    assert stages["end_to_end"].flow_loss == FlowLossOptions(
        weighting="released", released_batch="end_to_end", ssim_weight=0.1
    )
    assert stages["temporal"].flow_loss is stages["spatial"].flow_loss is None


@pytest.mark.parametrize("name", TABLE)
def test_rates_of_parts(name):
    stages = {stage.name: stage for stage in config(name).stages}
    assert stages["motion"].lr_multipliers == {}
    expected = {"motion": 1.0, "temporal": 1000.0, "temporal.bias": 2000.0}
    assert stages["end_to_end"].lr_multipliers == expected
    assert stages["spatial"].lr_multipliers == {"spatial.bias": 2.0}
    first = {}
    if name.endswith("tsn"):
        first = {"temporal.conv1_7x7_s2.kernel": 5.0, "temporal.conv1_7x7_s2.bias": 10.0}
    assert stages["temporal"].lr_multipliers == {"temporal.bias": 2.0, **first}


@pytest.mark.parametrize("name", TABLE)
def test_model_and_clips(name):
    recipe = config(name)
    model, data = recipe.model, recipe.data
    assert model.motion == "motionnet" and tuple(model.fusion) == (1.0, 1.5)
    assert data.num_frames == (11 if model.temporal != "i3d" else 17)
    assert tuple(data.image_size) == (224, 224) and data.stride == 1
    assert data.decode_size == 256 and data.clips_per_video == 25 and data.flip
    assert data.segments == (3 if name.endswith("tsn") else None)
    if model.temporal in DROPOUT:
        rates = model.temporal_dropout, model.spatial_dropout
        assert rates == DROPOUT[model.temporal]
    if model.temporal == "vgg16":
        assert model.temporal_weights == model.spatial_weights == "imagenet"


def test_groups_of_layers_reach_the_variables_they_name():
    class Network:
        temporal = build_backbone("bn_inception", (32, 32, 20), 3)
        trainable_variables = temporal.trainable_variables

    stages = {stage.name: stage for stage in config("ucf101_tsn").stages}
    factors = group_factors(Network, stages["temporal"].lr_multipliers)
    found = {}
    for variable, factor in zip(Network.trainable_variables, factors, strict=True):
        found.setdefault(factor, []).append(variable.path)
    assert [path.split("/")[-2:] for path in found[5.0]] == [["conv1_7x7_s2", "kernel"]]
    assert [path.split("/")[-2:] for path in found[10.0]] == [["conv1_7x7_s2", "bias"]]
    assert all(path.endswith("/bias") for path in found[2.0]) and len(found[2.0]) == 69
    assert not any(path.endswith("/bias") for path in found[1.0])
