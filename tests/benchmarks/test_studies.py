"""The ablations: their recipes, and settings that reach their variants."""

import importlib.util
import types

import pytest
from from_clone import ROOT

from benchmarks import STUDIES, study
from benchmarks.studies import ablation, ablation_flow, command
from benchmarks.variant_settings import apply_to_variants
from benchmarks.variants import complete_ablation, train_variants, variant_config
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import UserError
from h2s_keras.options import run_options
from h2s_keras.training.recipe_network import build_network
from h2s_keras.training.stages import prepare_stage

# === Recipes ===


def test_every_ablation_is_listed():
    files = (ROOT / "benchmarks" / "studies").glob("ablation*.py")
    assert {path.stem for path in files} == set(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_header_says_what_how_and_where_from(name):
    text = study(name).__doc__
    for heading in ("Reproduces:", "Hardware:", "Expected:"):
        assert heading in text, heading
    assert f"Command: python -m benchmarks {name} " in text


@pytest.mark.parametrize("name", STUDIES)
def test_small_and_full_have_the_same_variants(name):
    small, full = (
        complete_ablation(study(name).get_config(smoke=smoke)) for smoke in (True, False)
    )
    assert small["name"] == full["name"] == name
    assert small["figures"] == full["figures"]
    for one, two in zip(small["variants"], full["variants"], strict=True):
        assert one["name"] == two["name"]
        stages = [[stage["name"] for stage in v.get("stages", ())] for v in (one, two)]
        assert stages[0] == stages[1]


@pytest.mark.parametrize("name", STUDIES)
def test_an_ablation_has_variants_that_can_be_built(name):
    config = study(name).get_config(smoke=True)
    for variant in config["variants"]:
        plain = run_options(variant_config(config, variant, 1))
        network = build_network(plain, make_data(plain.data).class_names)
        for stage in plain.stages:
            assert prepare_stage(network, stage).trainable_variables, variant["name"]


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_whole_ablation_in_small(name, tmp_path):
    config = study(name).get_config(smoke=True)
    if importlib.util.find_spec("cv2") is None:
        config["variants"] = [
            variant for variant in config["variants"] if variant["name"] != "TV-L1 flow"
        ]
    done = train_variants(config, tmp_path / "run")
    names = [variant["name"] for variant in config["variants"]]
    assert list(done["results"]["final"]) == names
    text = (tmp_path / "run" / "table.md").read_text()
    assert all(f"| {name} |" in text for name in names)


# === --set and --smoke ===


def values(config, *parts):
    """What each variant trains with."""
    found = {}
    for variant in config["variants"]:
        value = {**config[parts[0]], **variant.get(parts[0], {})}
        for part in parts[1:]:
            value = value.get(part) if isinstance(value, dict) else None
        found[variant["name"]] = value
    return found


def test_settings_of_data_and_model_reach_the_variants_of_an_ablation():
    config = complete_ablation(ablation.get_config())
    # A variant that sets another option of the same dict takes it, too.
    assert apply_to_variants(config, "model.motion_options.coarse_to_fine=False") == []
    reached = values(config, "model", "motion_options", "coarse_to_fine")
    assert set(reached.values()) == {False}
    small = values(config, "model", "motion_options", "small_displacement")
    assert small["without small displacement"] is False
    # One that is there to differ in this very value keeps it, and is named.
    assert apply_to_variants(config, "model.motion=motionnet") == [
        "TV-L1 flow",
        "true flow",
    ]
    assert apply_to_variants(config, "model.spatial=tiny") == []
    assert apply_to_variants(config, "data.num_frames=2") == []
    assert set(values(config, "data", "num_frames").values()) == {2}
    config = complete_ablation(ablation_flow.get_config())
    kept = apply_to_variants(config, "data.image_size=(32, 32)")
    assert kept == ["margin of 16 pixels"]
    assert values(config, "data", "image_size")["paper"] == (32, 32)


def test_the_seed_of_an_ablation_is_none_of_a_run():
    config = complete_ablation(ablation.get_config())
    with pytest.raises(UserError, match=r"give them as --set seeds=\[7\]"):
        apply_to_variants(config, "seed=7")
    with pytest.raises(UserError, match=r"seeds takes whole numbers .* received 5"):
        apply_to_variants(config, "seeds=5")
    apply_to_variants(config, "seeds=[7]")
    assert complete_ablation(config)["seeds"] == (7,)


def test_an_ablation_says_which_variants_keep_a_value(tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    words = ["--smoke", "--set", "model.motion=motionnet", "--out", str(out)]
    with pytest.raises(UserError, match="holds files already"):
        command.run("ablation", words)
    assert capsys.readouterr().err.splitlines() == [
        f"{name!r} keeps its own model.motion" for name in ("TV-L1 flow", "true flow")
    ]


def test_settings_of_a_stage_reach_the_variants_of_an_ablation():
    """But not where a variant differs in that value, which is what it asks."""
    config = complete_ablation(ablation.get_config())

    def values(stage, *keys):
        for place in (config, *config["variants"]):
            for one in place.get("stages", ()):
                if one["name"] == stage:
                    for key in keys:
                        one = one[key]
                    yield one

    assert apply_to_variants(config, "stages.motion.steps=1000") == []
    assert set(values("motion", "steps")) == {1000}
    kept = apply_to_variants(config, "stages.motion.flow_loss.smoothness_weight=5.0")
    assert kept == ["without smoothness"]
    assert sorted(set(values("motion", "flow_loss", "smoothness_weight"))) == [0.0, 5.0]
    assert apply_to_variants(config, "stages.temporal.steps=9") == [
        "TV-L1 flow",
        "true flow",
    ]
    # A stage that variants alone have.
    assert apply_to_variants(config, "stages.end_to_end.epoch=7") == []
    assert set(values("end_to_end", "epoch")) == {7}
    with pytest.raises(UserError, match="no stage 'end_to_ned'"):
        apply_to_variants(config, "stages.end_to_ned.steps=1")


def test_a_stage_is_left_out_of_the_recipe_and_its_variants():
    one, other = {"name": "motion"}, {"name": "temporal"}
    variants = [{"name": "a", "stages": [other, one]}, {"name": "b"}]
    config = {"stages": [one, other], "variants": variants}
    assert apply_to_variants(config, "stages.temporal=none") == []
    assert config["stages"] == config["variants"][0]["stages"] == [one]


@pytest.mark.parametrize("setting", ["variants=1", "figures=none"])
def test_what_holds_values_is_no_value(setting):
    config = ablation.get_config()
    with pytest.raises(UserError, match=r"takes several values; set one of them, such"):
        apply_to_variants(config, setting)
    assert config == ablation.get_config()


def smoke_data_of(module, *settings):
    options = types.SimpleNamespace(smoke=True, set=settings)
    return command.values(module.get_config, options)["data"]


def test_a_smoke_run_is_a_short_run_on_the_data_given():
    data = smoke_data_of(study("ablation_video"), "data.root=mine")
    assert (data["kind"], data["root"]) == ("videos", "mine")
    assert (data["num_frames"], data["image_size"]) == (3, (32, 32))
    # Synthetic clips stay so until another kind is asked for.
    assert smoke_data_of(ablation_flow, "data.root=none")["pool"] == 16
    assert ablation_flow.get_config()["data"]["pool"] == 1024
