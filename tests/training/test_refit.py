"""Training again on all videos, once those of validation have been used."""

import json

import keras
import numpy as np
import pytest

from h2s_keras.models import HiddenTwoStreamBuilder
from h2s_keras.options import RunOptions
from h2s_keras.training import train
from h2s_keras.training.preparation import prepare_stage
from h2s_keras.training.run import _keep_motion, _refit_places
from h2s_keras.training.run_folder import RunFolder
from h2s_keras.training.training_videos import TrainingVideos


def stage(stream, **changes):
    values = {"name": stream, "streams": (stream,), "steps": 4, "epoch": 2}
    return {**values, "learning_rate": 1e-2, **changes}


@pytest.fixture
def config(tmp_path):
    """Two classes of four folders of frames that differ plainly: dark and light."""
    from h2s_keras.data import write_png

    for number in range(8):
        name = ("dark", "light")[number % 2]
        for index in range(1, 5):
            path = tmp_path / "videos" / name / f"v{number}" / f"img_{index:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = (20, 200)[number % 2] + 5 * number + index
            write_png(path, np.full((32, 32, 3), grey, np.uint8))
    return {
        "name": "small",
        "seed": 1,
        "refit": True,
        "tensorboard": False,
        "data": {
            "kind": "videos",
            "root": str(tmp_path / "videos"),
            "num_frames": 3,
            "image_size": (32, 32),
            "validation": 0.25,
            "clips_per_video": 1,
        },
        "model": {"motion": "tiny", "temporal": "tiny", "spatial": "tiny"},
        "batch_size": 6,
        "stages": [stage("temporal"), stage("spatial")],
    }


class Shown:
    """Keeps what is said; cuts the run in a stage where that is asked for."""

    def __init__(self, cut_in=None):
        self.said, self.stages, self.cut_in = [], [], cut_in

    def stage(self, name, steps, done, place, later):
        self.stages.append((name, place, done))
        callback = keras.callbacks.Callback()
        callback.close = lambda: None
        if name == self.cut_in:

            def cut(*_):
                raise KeyboardInterrupt

            callback.on_epoch_end = cut
        return callback

    def message(self, text):
        self.said.append(text)


def test_the_saved_model_has_seen_every_video_and_the_figures_have_not(config, tmp_path):
    shown = Shown()
    done = train(config, tmp_path / "run", progress=shown)
    results, data = done["results"], done["data"]
    assert len(data.train) == 6 and len(data.validation) == 2
    assert [name for name, _, _ in shown.stages[:2]] == ["temporal", "spatial"]
    assert {place[1] for _, place, _ in shown.stages} == {4}
    again = [name for name, _, _ in shown.stages[2:]]
    # Two videos cannot show that a stream beats chance, so motion decides alone.
    assert again == ["temporal_all"]
    assert any(line.startswith("training again on all 8 videos") for line in shown.said)
    # The figures are of the two videos and of the network that had not seen them.
    assert results["final"]["tested"] == 2
    assert "the saved model has learned from them since" in results["test"]
    known = TrainingVideos.of_model(tmp_path / "run")
    assert len(known.records) == 8
    assert all(known.holds(example) for example in data.validation)
    assert done["network"].fusion == tuple(results["fusion"])
    assert "all 8 videos" in (tmp_path / "run" / "report.html").read_text()


def test_no_other_figures_take_the_place_of_a_test_that_cannot_be_read(config, tmp_path):
    """Those of validation would be too good, under the name of the test group."""
    config["data"].update(
        group_pattern=r"v(\d)", test_group="7", on_bad_file="skip", validation=0.3
    )
    for path in (tmp_path / "videos" / "light" / "v7").iterdir():
        path.write_bytes(b"no picture")
    shown = Shown()
    done = train(config, tmp_path / "run", progress=shown)
    assert "v7" in shown.said[-1]
    results = done["results"]
    assert done["data"].validates and len(done["data"].test) == 1
    assert results["final"] == {} and results["intervals"] == {}
    assert results["test"] == "no figures: none of the test videos can be read"
    assert (tmp_path / "run" / "model.keras").exists()


def test_the_stages_that_train_again_draw_from_all_videos(config, tmp_path, monkeypatch):
    """By the videos that batches name: those of validation too, and only then."""
    seen = {}
    from h2s_keras.data.video_data import VideoData

    training = VideoData.training

    def noted(data, batch_size, start_step=0, seed=0, **share):
        names = data.training_names(8 * batch_size, 0, seed)
        videos = {name.split(" from ")[0] for name in names}
        seen.setdefault(len(data.train), set()).update(videos)
        return training(data, batch_size, start_step, seed, **share)

    monkeypatch.setattr(VideoData, "training", noted)
    data = train(config, tmp_path / "run")["data"]
    held_out = {example.path for example in data.validation}
    assert len(seen[6]) == 6 and not seen[6] & held_out
    assert len(seen[8]) == 8 and held_out <= seen[8]


def test_a_run_that_is_cut_while_it_trains_again_ends_the_same(config, tmp_path):
    whole = train(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=Shown("temporal_all"))
    # What was measured is known already, and there is no model yet.
    half = json.loads((tmp_path / "cut" / "results.json").read_text())
    assert half["final"] == whole["results"]["final"]
    assert not (tmp_path / "cut" / "model.keras").exists()
    shown = Shown()
    done = train(None, tmp_path / "cut", resume=True, progress=shown)
    assert [name for name, _, _ in shown.stages] == ["temporal_all"]
    assert not any("since the run began" in line for line in shown.said)
    for key in ("final", "test", "fusion"):
        assert done["results"][key] == whole["results"][key]
    pairs = zip(done["network"].weights, whole["network"].weights, strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=one.path)


def test_a_resumed_run_says_that_its_videos_have_changed(config, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(config, run, progress=Shown("spatial"))
    videos = tmp_path / "videos" / "light"
    (videos / "v7").rename(videos / "v9")
    shown = Shown()
    train(None, run, resume=True, progress=shown)
    said = [line for line in shown.said if "since the run began" in line]
    assert len(said) == 1 and "1 videos have gone or changed and 1 are new" in said[0]
    # h2s evaluate leaves out both.
    assert len(TrainingVideos.of_model(run).records) == 9


def test_cached_flow_that_no_stage_reads_again_is_deleted(config, tmp_path):
    flow = tmp_path / "run" / "flow"

    class WithFlow(Shown):
        def message(self, text):
            if text.startswith("fusion by"):
                flow.mkdir()
                (flow / "flow.raw").write_bytes(b"flow of the first round")

    train(config, tmp_path / "run", progress=WithFlow())
    assert (tmp_path / "run" / "model.keras").exists() and not flow.exists()


def test_motion_that_needed_no_labels_is_learned_once(config, tmp_path):
    """The second network starts from the motion that held-out frames chose."""
    motion = stage("motion", flow_loss={"kind": "mixed"}, jit_compile=False)
    config["stages"].insert(0, motion)
    config["model"]["motion"] = "small"
    config["model"]["motion_options"] = {"coarse_to_fine": True}
    shown = Shown()
    done = train(config, tmp_path / "run", progress=shown)
    again = [name for name, _, _ in shown.stages[3:]]
    assert "temporal_all" in again and "motion_all" not in again
    assert "warped_error" in done["results"]["stages"]["motion"]


def test_what_is_kept_of_it_is_motion_alone(tmp_path):
    builder = HiddenTwoStreamBuilder(2, 3, (32, 32)).motion("small", coarse_to_fine=True)
    network = builder.temporal("tiny").build()
    begun = network.get_weights()
    run = RunFolder(tmp_path / "run")
    tuned = RunOptions.of(
        {"name": "x", "seed": 1, "batch_size": 2, "model": {}}
        | {"data": {"kind": "synthetic", "num_frames": 3, "image_size": 32}}
        | {"stages": [stage("motion", flow_loss={"kind": "mixed"})]}
    )
    arrays = prepare_stage(network, tuned.stages[0]).get_weights()
    arrays = {f"w{n}": value + 1 for n, value in enumerate(arrays)}
    np.savez(run.file("best-motion.npz"), history=np.array("[]"), **arrays)
    _keep_motion(network, tuned, {"motion": {"warped_error": 0.5}}, run)
    motion = {id(weight) for weight in network.motion.weights}
    assert 0 < len(motion) < len(network.weights)
    changed = network.get_weights()
    for weight, one, other in zip(network.weights, begun, changed, strict=True):
        expected = one + 1 if id(weight) in motion else one
        np.testing.assert_array_equal(other, expected, err_msg=weight.path)


def test_without_validation_there_is_nothing_to_train_again(config, tmp_path):
    config["data"]["validation"] = 0.0
    shown = Shown()
    results = train(config, tmp_path / "run", progress=shown)["results"]
    assert [name for name, _, _ in shown.stages] == ["temporal", "spatial"]
    assert "refit" not in results and "fusion" not in results


def places(fusion, best_steps):
    stages = [
        stage("motion", flow_loss={}),
        stage("temporal", train=("temporal",)),
        stage("temporal", name="end_to_end", train=("motion", "temporal")),
        stage("spatial"),
    ]
    data = {"kind": "videos", "root": "x", "num_frames": 3, "image_size": 32}
    model = {"fusion": fusion}
    config = RunOptions.of(
        {"name": "x", "seed": 1, "batch_size": 1, "data": data, "model": model}
        | {"stages": stages}
    )
    names = [one.name for one in config.stages]
    figures = {
        name: {"best_step": step} for name, step in zip(names, best_steps, strict=True)
    }
    return [names[place] for place in _refit_places(config, figures)]


@pytest.mark.parametrize(
    "fusion, best_steps, expected",
    [
        ((0.4, 0.6), (5, 5, 5, 5), ["motion", "temporal", "end_to_end", "spatial"]),
        # Tuning that did not help stays out; learning a stream at all does not.
        ((0.4, 0.6), (0, 0, 0, 0), ["temporal", "spatial"]),
        ((0.0, 1.0), (5, 5, 0, 5), ["motion", "temporal"]),
        ((1.0, 0.0), (5, 5, 5, 5), ["motion", "spatial"]),
        # Stages that were not measured on videos.
        (
            (0.4, 0.6),
            (None, None, None, None),
            ["motion", "temporal", "end_to_end", "spatial"],
        ),
    ],
)
def test_which_stages_are_worth_it(fusion, best_steps, expected):
    assert places(fusion, best_steps) == expected
