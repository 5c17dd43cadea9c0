"""What a run says of the parts that begin at random."""

import dataclasses
import importlib
import warnings

import pytest

from h2s_keras.cli.train import recipe_list
from h2s_keras.options import ModelOptions, RunOptions
from h2s_keras.training import run
from h2s_keras.training.initial_weights import RandomStartWarning, random_start


def line(name, started=(), **model):
    module = importlib.import_module(f"h2s_keras.recipes.{name}")
    config = RunOptions.of(module.get_config())
    config.model = dataclasses.replace(config.model, **model)
    return random_start(config, started)


def test_names_the_parts_and_the_cures():
    said = line("ucf101_tsn")
    assert said == (
        "ucf101_tsn: motion (motionnet), temporal (bn_inception) and spatial "
        "(bn_inception) begin at random. For trained weights: --set "
        "model.motion=PRESET_OR_FILE, --set model.temporal_weights=FILE, --set "
        "model.spatial_weights=FILE, --set model.initial=RUN"
    )
    assert line("ucf101").startswith("ucf101: motion (motionnet) begins at random.")
    without = line("ucf101", temporal_weights=None)
    assert "temporal (vgg16) begin" in without
    assert "model.temporal_weights=imagenet_or_FILE" in without
    assert "weights=" not in line("quickstart")


def test_says_nothing_of_what_has_weights():
    assert line("ucf101", motion="tiny_synthetic") is None
    assert line("quickstart", ("motion", "temporal", "spatial")) is None
    assert line("quickstart", ("motion",)).startswith("quickstart: temporal (tiny) and")


@pytest.mark.parametrize("name", [name for name, _ in recipe_list()])
def test_every_recipe_has_a_line_of_its_own(name):
    said = line(name)
    if name in ("motion", "videos", "gestures", "ut_interaction"):
        assert said is None  # Motion is a preset's, and "small" learns from scratch.
        return
    assert said.count("\n") == 0 and said.startswith(f"{name}: ")


def test_a_run_begins_with_it():
    from h2s_keras.recipes import tiny_synthetic

    config = RunOptions.of(tiny_synthetic.get_config(smoke=True))
    said = []
    with pytest.warns(RandomStartWarning, match=r"tiny_synthetic: motion \(tiny\) begins"):
        run._make_network(config, ["a", "b"], None, None, say=said.append)
    # A run that goes on has its weights.
    with warnings.catch_warnings():
        warnings.simplefilter("error", RandomStartWarning)
        run._make_network(config, ["a", "b"], None, None, ["one"], said.append)
        config.model = ModelOptions(motion="tiny_synthetic", temporal=None)
        run._make_network(config, ["a", "b"], None, None, say=said.append)
    assert not said
