"""The table of options: its page, its defaults against those who take them, `--show`."""

import inspect
import json
import pathlib

import pytest

from h2s_keras.cli import option_table
from h2s_keras.cli.train import load_recipe, recipe_list
from h2s_keras.data.clips.sampling import CLIPS_PER_VIDEO, SHORT_POLICIES
from h2s_keras.data.synthetic.action_clips import SyntheticClips
from h2s_keras.data.synthetic.moving_layers import MovingLayerClips
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import UserError
from h2s_keras.layers import (
    MixedFlowLoss,
    QuantizedFlowAdapter,
    SupervisedFlowLoss,
    UnsupervisedFlowLoss,
)
from h2s_keras.option_types import apply_setting
from h2s_keras.options import (
    DataOptions,
    FlowLossOptions,
    ModelOptions,
    RunOptions,
    StageOptions,
    run_options,
)
from h2s_keras.recipes import videos
from h2s_keras.training.flow_objective import FlowObjective

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "options.md"
EVERY = (RunOptions, DataOptions, ModelOptions, StageOptions, FlowLossOptions)


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == option_table.markdown(), (
        "python -m h2s_keras.cli.option_table > docs/options.md"
    )


@pytest.mark.parametrize("options", EVERY)
def test_every_option_has_one_line_of_help(options):
    for name, field in options.fields().items():
        about = field.metadata["help"]
        assert about and "\n" not in about and not about.endswith("."), name


@pytest.mark.parametrize("name", [name for name, _ in recipe_list()])
def test_show_prints_every_key_and_config_json_holds_it(name):
    config = run_options(load_recipe(name)())
    shown = [line.split()[0] for line in option_table.show(config).splitlines()]
    assert len(set(shown)) == len(shown)
    held = json.loads(json.dumps(config.to_dict()))
    assert run_options(held) == config

    def keys(values, prefix=""):
        for key, value in values.items():
            if key == "stages":
                for stage in value:
                    yield from keys(stage, f"{prefix}stages.{stage['name']}.")
            elif isinstance(value, dict) and key in ("data", "model", "flow_loss"):
                yield from keys(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    assert shown == list(keys(held))
    # What is shown can be set, to the value that it has.
    for key in shown:
        if not key.endswith(".name"):
            value = config
            for part in key.split("."):
                stages = isinstance(value, list)
                value = (
                    next(stage for stage in value if stage.name == part)
                    if stages
                    else getattr(value, part)
                )
            apply_setting(config, f"{key}={value}")
    assert run_options(held) == config


# Those who take an option have defaults of their own, for Python.
@pytest.mark.parametrize(
    ("options", "kind", "taker"),
    [
        (FlowLossOptions, "unsupervised", UnsupervisedFlowLoss),
        (FlowLossOptions, "supervised", SupervisedFlowLoss),
        (FlowLossOptions, "mixed", MixedFlowLoss),
        (FlowLossOptions, "unsupervised", FlowObjective),
        (DataOptions, "synthetic", SyntheticClips),
        (DataOptions, "moving_layers", MovingLayerClips),
        (DataOptions, "videos", FrameSource),
    ],
)
def test_defaults_are_those_of_who_takes_the_option(options, kind, taker):
    arguments = inspect.signature(taker.__init__).parameters
    own = options(kind=kind)
    common = [
        name
        for name, field in options.fields().items()
        if name in arguments and own.supports(name) and field.default is not None
    ]
    assert common
    for name in common:
        assert arguments[name].default == getattr(own, name), name


def test_values_that_are_told_twice_agree():
    assert DataOptions().clips_per_video == CLIPS_PER_VIDEO
    assert DataOptions.fields()["short"].type.__args__ == SHORT_POLICIES
    known = inspect.signature(QuantizedFlowAdapter.__init__).parameters
    assert set(ModelOptions.fields()["adapter"].metadata["keys"]) < set(known)
    # Every argument of a loss of flow can be set.
    for loss in (UnsupervisedFlowLoss, SupervisedFlowLoss, FlowObjective):
        names = set(inspect.signature(loss.__init__).parameters) - {
            "self",
            "kwargs",
            "loss",
        }
        assert names <= set(FlowLossOptions.fields()), loss


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "supervised", "margin": 8}, None),
        ({"kind": "supervised", "census": 1}, "stage 'a': flow_loss: no option 'census'"),
        (
            {"kind": "supervised", "ssim_weight": 2},
            r"flow_loss.ssim_weight=2 is not supported for kind='supervised' \(supported: "
            "unsupervised, mixed",
        ),
        ({"kind": "superviced"}, "flow_loss.kind takes .* did you mean 'supervised'"),
        ({"photometric": "sensus"}, "did you mean 'census'"),
        ({"released_batch": 0}, "'end_to_end' or a number above 0; received 0"),
    ],
)
def test_a_flow_loss_says_what_it_supports(options, text):
    stage = {"name": "a", "streams": "motion", "steps": 1, "learning_rate": 1.0}
    if text is None:
        assert StageOptions.of({**stage, "flow_loss": options}).flow_loss.margin == 8
        return
    with pytest.raises(UserError, match=text):
        StageOptions.of({**stage, "flow_loss": options})


def test_of_makes_a_copy():
    config = load_recipe("quickstart")()
    copy = run_options(config)
    copy.stages[2].lr_multipliers["motion"] = 7.0
    copy.model.adapter["bound"] = 7.0
    assert config == load_recipe("quickstart")() != copy


def test_steps_follow_the_budget_and_the_number_of_videos():
    config = videos.get_config()
    motion, temporal = config.stages[:2]
    assert (motion.steps, temporal.steps, temporal.steps_per_video) == (600, 1200, 6)
    found = [config.with_steps_for(count).stages[1].steps for count in (0, 200, 600)]
    assert found == [1200, 1200, 3600]
    config.scale_steps(45)
    assert (motion.steps, temporal.steps) == (900, 1800)
    after = config.with_steps_for(600)
    assert [stage.steps for stage in after.stages[:2]] == [900, 5400]
    # What was chosen is not chosen again.
    assert after.with_steps_for(9000) == after
