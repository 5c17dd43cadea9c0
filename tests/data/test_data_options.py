"""What a recipe's "data" may say."""

import re

import pytest

from h2s_keras.cli.train import apply_setting, load_recipe, recipe_list
from h2s_keras.data.data_options import EVERY, KNOWN, check_data_options, options_of
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import UserError
from h2s_keras.training.stage_options import complete_config

SIZE = {"num_frames": 3, "image_size": (16, 16)}


@pytest.mark.parametrize("name", [name for name, _ in recipe_list()])
@pytest.mark.parametrize("smoke", [True, False])
def test_every_recipe_says_what_its_kind_knows(name, smoke):
    config = load_recipe(name)(smoke=smoke)
    check_data_options(config["data"])
    # The control: one that its kind does not know.
    config["data"]["clips_per_vidoe"] = 3
    with pytest.raises(UserError, match="did you mean 'clips_per_video'"):
        complete_config(config)


@pytest.mark.parametrize(
    "kind", sorted(set(KNOWN) - {"synthetic", "moving_layers", "unlabelled"})
)
@pytest.mark.parametrize("name", ["ucf101", "videos"])
def test_a_recipe_can_be_given_another_kind(name, kind):
    config = load_recipe(name)()
    apply_setting(config, f"data.kind={kind}")
    if (name, kind) == ("videos", "records"):
        with pytest.raises(UserError, match="set stages.temporal.cached_flow=False"):
            complete_config(config)
        apply_setting(config, "stages.temporal.cached_flow=False")
    check_data_options(complete_config(config)["data"])
    left = options_of({**config["data"], **SIZE})
    assert set(left) <= set(KNOWN[kind]) and "kind" not in left
    assert "color_jitter" in left and ("rate" in left) == (kind != "records")


def test_a_recipe_for_synthetic_clips_reads_packed_ones():
    config = load_recipe("quickstart")()
    apply_setting(config, "data.kind=records")
    apply_setting(config, "data.root=packed")
    assert set(options_of(config["data"])) == {"num_frames", "image_size", "root"}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"kind": "videos", "rot": "x"}, "data: no option 'rot'; did you mean 'root'?"),
        ({"kind": "videos", "zzzz": 1}, "data: no option 'zzzz'; there are kind,"),
        (
            {"kind": "records", "rate": 25},
            "data.rate=25 says nothing to the kind 'records', only to videos, unlabelled, "
            "list, ucf101",
        ),
        ({"kind": "synthetic", "rate": 25}, "data.rate=25 says nothing"),
        ({"kind": "videos", "annotations": "x"}, "data.annotations='x' says nothing"),
        ({"kind": "ucf101", "contents": "flow"}, "data.contents='flow' says nothing"),
        ({"kind": "synthetic", "root": "x"}, "data.root='x' says nothing"),
        ({"kind": "ucf101", "split": 2, "csv": "x"}, "data.csv='x' says nothing"),
        ({"kind": "movies"}, "data.kind must be one of synthetic, moving_layers"),
        ({}, "received None"),
    ],
)
def test_values_that_would_do_nothing_are_refused(settings, text):
    for use in (check_data_options, make_data):
        with pytest.raises(UserError, match=re.escape(text)):
            use({**SIZE, **settings})


def test_a_value_that_is_needed():
    with pytest.raises(UserError, match="data.test_count is missing"):
        make_data({"kind": "synthetic", "seed": 1, **SIZE})
    with pytest.raises(UserError, match="data.num_frames is missing"):
        make_data({"kind": "videos", "root": "x", "image_size": (16, 16)})


def test_settings_of_the_command_line():
    config = load_recipe("videos")()
    assert "timeout" not in config["data"] and "timeout" in EVERY
    apply_setting(config, "data.timeout=5")
    assert config["data"]["timeout"] == 5
    with pytest.raises(UserError, match="no value 'tmeout' here; did you mean 'timeout'"):
        apply_setting(config, "data.tmeout=5")
    with pytest.raises(UserError, match="no value 'batch_sise' here"):
        apply_setting(config, "batch_sise=5")
