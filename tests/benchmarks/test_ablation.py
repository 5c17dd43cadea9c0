"""Variants and seeds: what starts from what, what is run again, and the table."""

import json

import numpy as np
import pytest
from from_clone import ROOT  # noqa: F401

from benchmarks.variants import check_variants, complete_ablation, table, train_variants
from h2s_keras.errors import UserError
from h2s_keras.models import load_model


@pytest.fixture
def config(small_config):
    config = small_config(motion_steps=2, temporal_steps=2, tensorboard=False)
    temporal = config["stages"][1]
    config.update(
        seeds=[3],
        figures={"end_point_error": "EPE", "temporal_accuracy": "temporal"},
        variants=[
            {"name": "full", "question": "loss"},
            {
                "name": "tuned further",
                "question": "tuning",
                "model": {"initial": "full"},
                "stages": [{**temporal, "learning_rate": 0.0}],
            },
            {
                "name": "true flow",
                "question": "input",
                "model": {"motion": "stored"},
                "stored_flow": "true",
                "packed_clips": 8,
                "stages": [temporal],
            },
        ],
    )
    return config


@pytest.mark.slow
def test_a_run_starts_from_another_packs_flow_and_resumes(config, tmp_path):
    done = train_variants(config, tmp_path / "run")
    run = tmp_path / "run"
    one, two = (load_model(run / f"{name}-seed3") for name in ("full", "tuned-further"))
    for mine, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)  # A rate of 0 changes nothing.
    final = done["results"]["final"]
    assert final["full"] == final["tuned further"]
    assert final["true flow"]["end_point_error"] is None
    assert final["true flow"]["temporal_accuracy"]["runs"] == 1
    assert (run / "stored-flow-true" / "index.json").exists()
    before = (run / "full-seed3" / "model.keras").stat().st_mtime_ns
    again = train_variants(None, run, resume=True)
    assert again["results"]["final"] == final
    assert (run / "full-seed3" / "model.keras").stat().st_mtime_ns == before
    text = (run / "table.md").read_text()
    assert "| loss | full |" in text and "Seeds 3:" in text


@pytest.mark.slow
def test_flow_of_videos_is_packed_at_the_stride_and_groups_are_left_out(config, tmp_path):
    from cli.conftest import write_video

    from h2s_keras.models import MotionNet

    for place in range(4):
        folder = tmp_path / "videos" / ("left", "right")[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write_video(folder / f"P{place // 2}_{place}.mp4", 30)
    motion_net = MotionNet(2, "tiny")
    motion_net.build((1, 2, 32, 32, 3))
    motion_net.save(tmp_path / "flow.keras")
    config["data"] = {
        "kind": "videos",
        "root": str(tmp_path / "videos"),
        "num_frames": config["data"]["num_frames"],
        "image_size": (32, 32),
        "stride": 2,
        "group_pattern": r"P(\d)",
        "test_group": "each",
        "clips_per_video": 1,
    }
    (variant,) = (one for one in config["variants"] if one["name"] == "true flow")
    variant.update(name="stored", stored_flow=str(tmp_path / "flow.keras"))
    config.update(variants=[variant], figures={"temporal_accuracy": "temporal"})
    done = train_variants(config, tmp_path / "run")
    assert done["results"]["final"]["stored"]["temporal_accuracy"]["runs"] == 1
    (index,) = (tmp_path / "run").glob("stored-flow-*/index.json")
    packed = json.loads(index.read_text())
    assert packed["settings"]["stride"] == 2 and packed["settings"]["size"] == 37


def test_mean_and_standard_deviation_in_the_table():
    config = {"figures": {"ratio": "share", "fused_accuracy": "fused"}, "seeds": [1, 2]}
    results = {
        "test": "8 clips",
        "variants": {"a": {"question": "q", "seeds": {"1": {}, "2": {}}}},
        "final": {
            "a": {
                "ratio": {"mean": 0.4, "spread": 0.05, "runs": 2},
                "fused_accuracy": {"mean": 0.75, "spread": None, "runs": 1},
            }
        },
    }
    assert table(config, results).splitlines()[2:] == [
        "| question | variant | share | fused |",
        "|---|---|---|---|",
        "| q | a | 0.400 ± 0.050 | 75.0 % |",
    ]


@pytest.mark.parametrize(
    ("variants", "text"),
    [
        (
            [{"name": "a", "model": {"initial": "b"}}],
            "starts from 'b', which is no variant",
        ),
        ([{"name": "a"}, {"name": "a"}], "two variants are called 'a'"),
    ],
)
def test_variants_that_make_no_sense(variants, text):
    with pytest.raises(UserError, match=text):
        check_variants({"variants": variants})


def test_a_mistake_in_the_last_variant_is_reported_before_the_first(small_config, tmp_path):
    config = small_config(seeds=[1], figures={})
    bad = [{**config["stages"][1], "optimizer": "adamw"}]
    config["variants"] = [
        {"name": "full", "question": "q"},
        {"name": "other", "question": "q", "model": {"initial": "full"}, "stages": bad},
    ]
    with pytest.raises(UserError, match="variant 'other': stage 'temporal': optimizer"):
        train_variants(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("seeds", [5, [], [-1], "1", [1.5]])
def test_seeds_of_an_ablation(small_config, seeds):
    config = small_config(seeds=seeds, figures={}, variants=[])
    with pytest.raises(UserError, match="seeds takes whole numbers from 0"):
        complete_ablation(config)
    del config["seeds"]
    with pytest.raises(UserError, match="this ablation lacks 'seeds'"):
        complete_ablation(config)
