"""What the data of a recipe may say."""

import re

import pytest

from h2s_keras.cli.train import load_recipe, recipe_list
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import UserError
from h2s_keras.option_types import apply_setting
from h2s_keras.options import SYNTHETIC, DataOptions, Kind, RunOptions

SIZE = {"num_frames": 3, "image_size": (16, 16)}


@pytest.mark.parametrize("name", [name for name, _ in recipe_list()])
@pytest.mark.parametrize("smoke", [True, False])
def test_every_recipe_says_what_its_kind_supports(name, smoke):
    config = RunOptions.of(load_recipe(name)(smoke=smoke))
    # The control: one that its kind does not support.
    config.data.contents = "flow"
    with pytest.raises(UserError, match="data.contents='flow' is not supported"):
        RunOptions.of(config)


@pytest.mark.parametrize("kind", sorted(set(Kind.__args__) - {*SYNTHETIC, "unlabelled"}))
@pytest.mark.parametrize("name", ["ucf101", "videos"])
def test_a_recipe_can_be_given_another_kind(name, kind):
    config = load_recipe(name)()
    apply_setting(config, f"data.kind={kind}")
    if (name, kind) == ("videos", "records"):
        with pytest.raises(UserError, match="set stages.temporal.cached_flow=False"):
            RunOptions.of(config)
        apply_setting(config, "stages.temporal.cached_flow=False")
    config = RunOptions.of(config)
    config.data.color_jitter = {"hue": 0.1}
    config.data.rate = None if kind == "records" else 25
    left = DataOptions.of(config.data).given()
    assert all(config.data.supports(name) for name in left) and "kind" not in left
    assert "color_jitter" in left and ("rate" in left) == (kind != "records")


def test_a_recipe_for_synthetic_clips_reads_packed_ones():
    config = load_recipe("quickstart")()
    apply_setting(config, "data.kind=records")
    apply_setting(config, "data.root=packed")
    left = DataOptions.of(config.data).given()
    assert (left["root"], left["num_frames"]) == ("packed", 3) and "seed" not in left


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"kind": "videos", "rot": "x"}, "data: no option 'rot'; did you mean 'root'?"),
        ({"kind": "videos", "zzzz": 1}, "data: no option 'zzzz'; there are kind,"),
        (
            {"kind": "records", "rate": 25},
            "data.rate=25 is not supported for kind='records' "
            "(supported: videos, list, ucf101",
        ),
        ({"kind": "synthetic", "rate": 25}, "data.rate=25 is not supported"),
        ({"kind": "videos", "annotations": "x"}, "data.annotations='x' is not supported"),
        ({"kind": "ucf101", "contents": "flow"}, "data.contents='flow' is not supported"),
        ({"kind": "synthetic", "root": "x"}, "data.root='x' is not supported"),
        ({"kind": "ucf101", "split": 2, "csv": "x"}, "data.csv='x' is not supported"),
        ({"kind": "movies"}, "data.kind takes 'synthetic', 'moving_layers'"),
        ({"kind": "ucf11"}, "received 'ucf11'; did you mean 'ucf101'?"),
        ({}, "received None"),
    ],
)
def test_values_that_would_do_nothing_are_refused(settings, text):
    for use in (DataOptions.of, make_data):
        with pytest.raises(UserError, match=re.escape(text)):
            use({**SIZE, **settings})


def test_a_value_that_is_needed():
    with pytest.raises(UserError, match="data.test_count is missing"):
        make_data({"kind": "synthetic", "seed": 1, **SIZE})
    with pytest.raises(UserError, match="data.num_frames is missing"):
        make_data({"kind": "videos", "root": "x", "image_size": (16, 16)})


def test_settings_of_the_command_line():
    config = load_recipe("videos")()
    apply_setting(config, "data.timeout=5")
    assert config.data.timeout == 5
    with pytest.raises(UserError, match="no option 'tmeout'; did you mean 'timeout'"):
        apply_setting(config, "data.tmeout=5")
    with pytest.raises(UserError, match="no option 'batch_sise'; did you mean 'batch"):
        apply_setting(config, "batch_sise=5")
