"""The package as a whole: public names, layering, examples, recipes."""

import copy
import dataclasses
import importlib
import inspect
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import h2s_keras
from h2s_keras.cli.train import recipe_list
from h2s_keras.options import run_options
from h2s_keras.training import train, train_each_group

PACKAGE = pathlib.Path(h2s_keras.__file__).parent

PUBLIC = {
    "h2s_keras": {
        "VideoClassifier",
        "__version__",
        "data",
        "errors",
        "ethogram",
        "evaluation",
        "export",
        "layers",
        "metrics",
        "models",
        "ops",
        "train_videos",
        "training",
        "visualization",
    },
    "h2s_keras.ethogram": {
        "BehaviorScorer",
        "Bout",
        "Figures",
        "FrameLabels",
        "FrameTimes",
        "LabelledVideo",
        "Prediction",
        "Rule",
        "choose_rules",
        "decide",
        "draw_split",
        "find_shift",
        "find_videos",
        "load_labels",
        "measure",
        "read_labels",
        "refine_ethogram",
        "train_ethogram",
        "video_times",
        "write_labels",
    },
    "h2s_keras.layers": {
        "BackwardWarp",
        "CaffePooling",
        "FlowVolume",
        "ImagePreprocessing",
        "LocalResponseNormalization",
        "MixedFlowLoss",
        "MultiScaleFlowHead",
        "QuantizedFlowAdapter",
        "SegmentConsensus",
        "SupervisedFlowLoss",
        "SynchronizedBatchNormalization",
        "UnsupervisedFlowLoss",
    },
    "h2s_keras.ops": {
        "backward_warp",
        "border_mask",
        "census_distance",
        "census_transform",
        "channels_to_flow",
        "charbonnier",
        "clip_to_channels",
        "flow_smoothness",
        "flow_to_channels",
        "quantize_flow",
        "flow_to_uint8",
        "forward_backward_visibility",
        "dequantize_flow",
        "local_response_normalization",
        "motion_consistency",
        "patch_ssim",
        "pixel_grid",
        "range_map",
        "range_map_visibility",
        "resize_bilinear",
        "resize_flow",
        "warp_from_margin",
    },
    "h2s_keras.models": {
        "HiddenTwoStream",
        "HiddenTwoStreamBuilder",
        "MotionNet",
        "build_backbone",
        "load_caffe_weights",
        "load_model",
    },
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_pinned(name):
    module = importlib.import_module(name)
    assert set(module.__all__) == PUBLIC[name]
    assert len(module.__all__) == len(set(module.__all__))
    for public in module.__all__:
        assert getattr(module, public) is not None
    assert PUBLIC[name] <= set(dir(module))


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'motion'"):
        _ = h2s_keras.motion


@pytest.mark.parametrize(
    "imported, others",
    [
        ("h2s_keras", {"StageModel", "StageSchedule", "MeanClassAccuracy"}),
        # As the command does before it loads a model.
        ("h2s_keras_command, h2s_keras.models.presets", set()),
    ],
)
def test_importing_registers_every_public_class(imported, others):
    script = (
        f"import keras, {imported}\n"
        "names = keras.saving.get_custom_objects()\n"
        "print(*sorted(names))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    registered = set(done.stdout.split())
    expected = {
        f"h2s_keras>{name}"
        for module in ("h2s_keras.layers", "h2s_keras.models", "h2s_keras.metrics")
        for name, value in vars(importlib.import_module(module)).items()
        if inspect.isclass(value)
        and issubclass(value, (keras.Layer, keras.Metric) if others else keras.Layer)
    }
    assert len(expected) >= 10 and "h2s_keras>StoredFlowStream" in expected
    assert expected <= registered
    assert {f"h2s_keras>{name}" for name in others} <= registered


# === Recipes ===

# Those of `h2s train`; the recipe `ethogram` is tested in tests/ethogram.
RECIPES = [name for name, _ in recipe_list()]


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_documented_and_plain(name):
    module = importlib.import_module(f"h2s_keras.recipes.{name}")
    for word in ("Reproduces:", "Command:", "Hardware:", "Expected:"):
        assert word in module.__doc__, f"{name}: {word}"
    for smoke in (False, True):
        config = run_options(module.get_config(smoke=smoke))
        assert config.stages and config.seed == 1
        # It is written to config.json and read back for --resume.
        assert run_options(json.loads(json.dumps(config.to_dict()))) == config
    assert module.get_config() is not module.get_config()


@pytest.fixture(scope="module")
def already_run():
    return []


# Compiling the deep networks takes a minute each, and the others here
# differ from a recipe of the fast set in values alone, or run there in small (README).
SLOW = {"activitynet", "thumos14", "thumos14_101", "hmdb51", "ucf101"} | {
    f"{data}_{kind}" for data in ("ucf101", "hmdb51") for kind in ("tsn", "i3d")
}
SLOW |= {"quickstart", "gestures", "ut_interaction"}
# tests/training has SupervisedFlowLoss, and small_video runs.
SLOW |= {"tiny_synthetic", "small_start"}
LONG = {"videos", "tiny_unlabelled"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.slow] * (name in SLOW) + [pytest.mark.long] * (name in LONG),
        )
        for name in RECIPES
    ],
)
def test_recipe_runs_as_a_smoke_test(name, tmp_path, already_run):
    config = importlib.import_module(f"h2s_keras.recipes.{name}").get_config(smoke=True)
    assert config.name == name
    values = dataclasses.replace(config, name="any")
    if values in already_run:
        return  # the very same values have run under another recipe's name
    already_run.append(copy.deepcopy(values))
    # Seconds, not minutes: two steps a stage say that the pieces fit.
    for stage in config.stages:
        stage.steps = min(stage.steps, 2)
    config.data.test_count = min(config.data.test_count, 8)
    run = train_each_group if config.data.test_group == "each" else train
    results = run(config, tmp_path / "run")["results"]
    figures = [value for value in results["final"].values() if isinstance(value, float)]
    assert figures and all(np.isfinite(figures))
    assert (tmp_path / "run" / "results.json").exists()


# === The tree ===


def test_links_at_the_root_refuse_to_be_imported():
    root = PACKAGE.parent
    if not (root / "layers").is_symlink():
        pytest.skip("an installed package has no links")
    for name in ("layers", "recipes"):
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"],
            cwd=root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert f"ImportError: This folder is h2s_keras.{name}" in done.stderr
