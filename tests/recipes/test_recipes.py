"""Every recipe of the package runs, shrunk to seconds, with every stage that it has."""

import importlib

import pytest

from h2s_keras.cli.train import recipe_list
from h2s_keras.data.training_data import make_data
from h2s_keras.options import RunOptions
from h2s_keras.training.recipe_network import build_network
from h2s_keras.training.stages import prepare_stage

NAMES = [name for name, _ in recipe_list()]


def recipe(name):
    return importlib.import_module(f"h2s_keras.recipes.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_header_says_what_how_and_where_from(name):
    text = recipe(name).__doc__
    for heading in ("Reproduces:", "Command:", "Hardware:", "Expected:"):
        assert heading in text, heading
    assert "h2s " in text.split("Command:")[1].splitlines()[0]


@pytest.mark.parametrize("name", NAMES)
def test_small_and_full_say_the_same_things(name):
    """A smoke run must try what the full one does; only sizes and data differ."""
    small, full = (
        RunOptions.of(recipe(name).get_config(smoke=smoke)) for smoke in (True, False)
    )
    assert small.name == full.name == name
    assert [s.name for s in small.stages] == [s.name for s in full.stages]
    for one, two in zip(small.stages, full.stages, strict=True):
        for key in (
            "streams",
            "train",
            "optimizer",
            "schedule",
            "lr_multipliers",
            "consensus",
        ):
            assert getattr(one, key) == getattr(two, key), (one.name, key)
        assert (one.gradient_accumulation_steps > 1) == (
            two.gradient_accumulation_steps > 1
        ), one.name
    several = [(config.data.segments or 1) > 1 for config in (small, full)]
    assert several[0] == several[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_can_be_prepared(name):
    config = RunOptions.of(recipe(name).get_config(smoke=True))
    network = build_network(config, make_data(config.data).class_names)
    for stage in config.stages:
        model = prepare_stage(network, stage)
        assert model.trainable_variables, stage.name
