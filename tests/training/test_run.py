"""Whole runs: what they leave, and that a cut run ends where a whole one ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.models import load_model
from h2s_keras.options import RunOptions
from h2s_keras.recipes import videos
from h2s_keras.training import groups, train, train_each_group
from h2s_keras.training import run as run_module
from h2s_keras.training.run_folder import RunFolder
from h2s_keras.training.state import find_states

# === A cut run ===

CHILD = """
import json, sys, time
import keras
from h2s_keras.cli.progress import Progress
from h2s_keras.training import train

class Steps(keras.callbacks.Callback):
    def __init__(self, name):
        super().__init__()
        self.stage_name, self.done = name, 0

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        print(self.stage_name, self.done, flush=True)
        time.sleep(0.03)

    def close(self):
        pass

class Shown:
    def stage(self, name, steps, done, place, later):
        return Steps(name)

    def message(self, text):
        pass

with open(sys.argv[1]) as file:
    config = json.load(file)
train(config, sys.argv[2], resume=config is None, progress=Shown())
"""


def cut_run(config, folder, line, number):
    """Runs `train` in a process of its own and signals it once it printed `line`.

    Without a configuration the run in the folder goes on.
    """
    path = folder.parent / f"{folder.name}.json"
    path.write_text(json.dumps(config))
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    watchdog = threading.Timer(180, process.kill)
    watchdog.start()
    seen = []
    for text in process.stdout:
        seen.append(text.strip())
        if seen[-1] == line:
            process.send_signal(number)
    errors = process.stderr.read()
    process.wait()
    watchdog.cancel()
    assert line in seen, errors
    return process.returncode, seen, errors


@pytest.fixture(scope="module")
def whole(made_once):
    """(config, weights of the uninterrupted run, its folder)"""
    stage = {"epoch": 10, "learning_rate": 1e-3}
    config = {
        "name": "cut",
        "seed": 1,
        "data": {
            "kind": "synthetic",
            "num_frames": 2,
            "image_size": [16, 16],
            "seed": 1,
            "test_count": 8,
        },
        "model": {"motion": "tiny", "temporal": "tiny"},
        "batch_size": 4,
        "stages": [
            {
                "name": "motion",
                "streams": ["motion"],
                "steps": 60,
                "flow_loss": {"smoothness_ramp": 40},
                **stage,
            },
            {
                "name": "temporal",
                "streams": ["temporal"],
                "train": ["motion", "temporal"],
                "lr_multipliers": {"motion": 0.2},
                "steps": 60,
                **stage,
            },
        ],
    }
    folder = made_once("whole_run", lambda folder: train(config, folder / "run")) / "run"
    return config, load_model(folder).get_weights(), folder


def assert_equal_weights(found, expected):
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.long
def test_a_run_cut_twice_ends_bit_equal_to_the_whole_one(whole, tmp_path):
    config, expected, _ = whole
    folder = tmp_path / "run"
    # Ctrl-C within an epoch of the first stage: the step in which it came is saved.
    code, seen, errors = cut_run(config, folder, "motion 13", signal.SIGINT)
    assert code != 0 and not any(line.startswith("temporal") for line in seen)
    stage, step, _ = find_states(folder)[0]
    assert seen[-1] == f"motion {step}" and stage == 0 and step >= 13
    assert "KeyboardInterrupt" in errors
    assert not (folder / "model.keras").exists()
    # Killed within an epoch of the second: nothing was said, only whole epochs are saved.
    code, seen, _ = cut_run(None, folder, "temporal 13", signal.SIGKILL)
    assert code != 0 and seen[0] == f"motion {step + 1}" and "temporal 60" not in seen
    assert len([line for line in seen if line.startswith("motion")]) == 60 - step
    stage, step, _ = find_states(folder)[0]
    assert stage == 1 and step % 10 == 0 and step <= int(seen[-1].split()[1])
    assert not (folder / "model.keras").exists()
    # As a kill in the midst of a save leaves it, of full size.
    (folder / ".h2s-half.part").write_bytes(b"half")
    resumed = train(None, folder, resume=True)
    assert not (folder / ".h2s-half.part").exists()
    assert_equal_weights(resumed["network"].get_weights(), expected)
    assert set(resumed["results"]["stages"]) == {"motion", "temporal"}


def test_a_signal_after_the_last_step_of_a_stage_is_not_lost(small_config, tmp_path):
    """While the end of a stage is written, too; SIGTERM is what a scheduler sends."""

    class Terminating(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            os.kill(os.getpid(), signal.SIGTERM)

        def close(self):
            pass

    class Shown:
        stages = []

        def stage(self, name, steps, done, place, later):
            self.stages.append(name)
            return Terminating()

        def message(self, text):
            pass

    config = small_config(motion_steps=2, temporal_steps=2, tensorboard=False)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", progress=Shown())
    assert Shown.stages == ["motion"]
    assert find_states(tmp_path / "run")[0][:2] == (0, 2)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    done = train(None, tmp_path / "run", resume=True)
    assert set(done["results"]["stages"]) == {"motion", "temporal"}


def test_a_run_killed_before_its_first_state_still_starts_from_the_initial_weights(
    whole, tmp_path, small_config, monkeypatch
):
    _, expected, start = whole
    started = []

    def killed(network, *arguments):
        started.append(network.get_weights())
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "run_stages", killed)
    config = small_config()
    config["model"]["initial"] = str(start)
    for again in (False, True):
        with pytest.raises(KeyboardInterrupt):
            train(None if again else config, tmp_path / "run", resume=again)
    for weights in started:
        assert_equal_weights(weights, expected)


def test_a_finished_run_resumed_changes_nothing(whole, tmp_path):
    _, expected, run = whole
    folder = shutil.copytree(run, tmp_path / "run")
    before = json.loads((folder / "results.json").read_text())
    again = train(None, folder, resume=True)
    assert_equal_weights(again["network"].get_weights(), expected)
    assert again["results"]["final"] == before["final"]


# === What a run leaves ===


def test_files_of_a_run(whole):
    config, expected, folder = whole
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "results.json", "log.csv", "model.keras"} <= names
    assert not any(name.endswith(".tmp") or name.startswith(".") for name in names)
    record = json.loads((folder / "config.json").read_text())
    # Every value that holds is written, also those that the recipe leaves open.
    assert record["config"] == json.loads(json.dumps(RunOptions.of(config).to_dict()))
    assert record["config"]["stages"][0]["epoch"] == 10
    assert record["versions"]["keras"] == keras.__version__
    assert record["versions"]["backend"] == keras.backend.backend()
    assert record["command"] and "cores" in record["machine"]
    results = json.loads((folder / "results.json").read_text())
    assert set(results) == {"name", "seconds", "stages", "final", "intervals", "test"}
    assert set(results["seconds"]) == {"motion", "temporal", "measuring"}
    motion = results["stages"]["motion"]
    assert motion["ratio"] == pytest.approx(
        motion["end_point_error"] / motion["zero_flow_error"]
    )
    assert results["test"] == "8 held-out synthetic clips, 2 frames of 16x16"
    assert results["final"]["tested"] == 8
    assert 0 <= results["final"]["temporal_accuracy"] <= 1
    again = load_model(folder)
    assert_equal_weights(again.get_weights(), expected)
    # Whoever goes on with it finds no part frozen by the last stage.
    assert again.motion.trainable and again.temporal.trainable
    assert len(again.class_names) == 12


def test_log_has_a_row_a_term_and_epoch(whole):
    _, _, folder = whole
    rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    assert rows[0] == ["stage", "step", "seconds", "term", "value"]
    steps = [int(row[1]) for row in rows if row[0] == "motion" and row[3] == "photometric"]
    assert steps == list(range(10, 61, 10))
    assert all(np.isfinite(float(row[4])) for row in rows[1:])
    assert {row[3] for row in rows if row[0] == "temporal"} == {
        "loss",
        "action",
        "accuracy",
        "learning_rate",
    }


def test_a_folder_in_use_is_refused(tmp_path, small_config):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files already; give another --out"):
        train(small_config(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="is a file; give a folder"):
        RunFolder(tmp_path / "thesis.txt")
    with pytest.raises(UserError, match="cannot be written"):
        RunFolder(tmp_path / "thesis.txt" / "run")
    with pytest.raises(UserError, match=r"no run to resume here \(no config.json\)"):
        train(None, tmp_path, resume=True)
    (tmp_path / "config.json").write_text("{broken")
    with pytest.raises(UserError, match="config.json: is damaged"):
        train(None, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": {"num_frames": 1}}, "at least 2 frames"),
        ({"data": {"kind": "film"}}, "data.kind takes.*'film'"),
        ({"data": {"image_size": [20, 20]}}, "multiples of 8"),
        ({"model": {"motion": "gone.keras"}}, "gone.keras: no such model file"),
        ({"model": {"temporal": "resnet51"}}, "Unknown backbone 'resnet51'"),
        ({"model": {"adapter": {"scale": 4}}}, "model.adapter: no option 'scale'"),
        (
            {"model": {"adapter": {"levels": 256}, "branched": True}},
            "does not fit: .adapter.*branched=True",
        ),
        ({"stages": [{"lr_multipliers": {"spatial": 1}}]}, "stage 'motion': .*'spatial'"),
        (
            {"stages": [{"gradient_acumulation_steps": 4}]},
            "no option 'gradient_acumulation_steps'; did you mean 'gradient_acc",
        ),
        ({"stages": [{"freeze": ["motion/conv9*"]}]}, "freeze names 'motion/conv9.'"),
        ({"stages": [{"streams": ["sound"]}]}, "stage 'motion': streams takes .*'sound'"),
        ({"stages": [{"train": ["spatial"]}]}, "stage 'motion': it trains 'spatial'"),
        ({"stages": [{"epoch": 0}]}, "epoch takes a whole number from 1; received 0"),
        ({"stages": [{"steps": 1.5}]}, "steps takes a whole number from 1; received 1.5"),
        ({"stages": [{"learning_rate": "high"}]}, "learning_rate takes a number from 0"),
        (
            {"stages": [{"jit_compile": "False"}]},
            "jit_compile takes True or False or 'a",
        ),
        ({"seed": -1}, "recipe: seed takes a whole number from 0; received -1"),
        (
            {"dtype_policy": "mixed_floaty"},
            "dtype_policy takes 'float32', 'mixed",
        ),
        (
            {"dtype_polcy": "float32"},
            "no option 'dtype_polcy'; did you mean 'dtype_policy'",
        ),
    ],
)
def test_values_that_do_not_fit_are_user_errors(tmp_path, small_config, changes, text):
    config = small_config()
    for part, values in changes.items():
        if part == "stages":
            config["stages"][0].update(values[0])
        elif isinstance(values, dict):
            config[part].update(values)
        else:
            config[part] = values
    with pytest.raises(UserError, match=text):
        train(config, tmp_path / "run")


def test_a_recipe_that_lacks_a_value_is_reported_and_whole_floats_count(small_config):
    config = small_config()
    config["stages"][0]["steps"] = 2e2
    assert repr(RunOptions.of(config).stages[0].steps) == "200"
    del config["batch_size"]
    with pytest.raises(UserError, match="recipe: batch_size is missing"):
        train(config, "not made")
    assert not os.path.exists("not made")


def test_groups_without_a_pattern_leave_the_folder_free(tmp_path, small_config):
    config = small_config()
    changed = {"kind": "videos", "root": str(tmp_path / "gone"), "test_group": "each"}
    config["data"] = {**config["data"], **changed}
    for key in ("seed", "test_count"):
        del config["data"][key]
    with pytest.raises(UserError, match="gone"):
        train_each_group(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_policy_of_a_run_does_not_stay(tmp_path, monkeypatch):
    from h2s_keras.recipes import tiny_synthetic
    from h2s_keras.training import run

    seen = []

    def no_data(settings):
        seen.append(keras.config.dtype_policy().name)
        raise UserError("no data today")

    monkeypatch.setattr(run, "make_data", no_data)
    with pytest.raises(UserError, match="no data today"):
        train(tiny_synthetic.get_config(smoke=True), tmp_path / "run")
    assert seen == ["mixed_bfloat16"]
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("unread", [(), ("g2",), ("g0", "g1", "g2")])
def test_every_group_is_left_out_with_validation_too(tmp_path, monkeypatch, unread):
    """Validation may be a whole group, which has its turn to be tested all the same."""
    rows = ["path,class,group"]
    for number in range(12):
        (tmp_path / f"{number}.avi").write_bytes(b"")
        rows.append(f"{number}.avi,{'ab'[number % 2]},g{number // 4}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    left_out, names = [], []

    def trained(config, folder, *_):
        left_out.append(config.data.test_group)
        names.append(keras.layers.Dense(1).name)
        figures = {"fused_accuracy": 0.5, "tested": 4}
        if left_out[-1] in unread:
            return {"results": {"final": {}, "seconds": {}, "test": "no figures"}}
        return {"results": {"final": figures, "seconds": {}, "test": "x; y"}}

    monkeypatch.setattr(groups, "train", trained)
    config = videos.get_config()
    config.data.csv, config.data.group_column = str(tmp_path / "table.csv"), "group"
    config.data.clip_seconds, config.data.validation = None, 0.3
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        if len(unread) == 3:
            with pytest.raises(UserError, match="nothing is measured"):
                train_each_group(config, tmp_path / "run")
            return
        done = train_each_group(config, tmp_path / "run")["results"]
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert left_out == ["g0", "g1", "g2"]
    assert done["final"] == {"fused_accuracy": 0.5, "tested": 12 - 4 * len(unread)}
    assert done["test"].startswith("each of 3 groups left out")
    assert ("but 1, of which no video can be read" in done["test"]) == bool(unread)
    # Keras begins anew after each, so that the memory of no run is kept.
    assert names[1:] == ["dense", "dense"]
