"""A run that is cut and goes on: alone in its folder, with its own time and one log."""

import csv
import json
import os
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from h2s_keras.errors import UserError
from h2s_keras.training import stages as stages_module
from h2s_keras.training import train, train_each_group
from h2s_keras.training.callbacks import CsvLog, cut_log
from h2s_keras.training.run_folder import RunFolder
from h2s_keras.training.state import find_states, read_state, save_state, saved_seconds

# === Alone in its folder ===

HOLD = """
import sys, time
from h2s_keras.training.run_folder import RunFolder
with RunFolder(sys.argv[1]).alone():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_gone(small_config, tmp_path):
    folder = tmp_path / "run"
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout.readline() == "held\n"
        for start in (train, train_each_group):
            with pytest.raises(UserError, match="run: another process trains here; wait"):
                start(small_config(), folder)
        (folder / "config.json").write_text(json.dumps({"config": {}}))
        with pytest.raises(UserError, match="another process trains here"):
            train(None, folder, resume=True)
        # A process's own folder lies inside and is another.
        with RunFolder(folder / "process-1").alone():
            pass
    finally:
        first.kill()  # As kill -9: what it held is free.
        first.wait()
        first.stdout.close()
    with RunFolder(folder, resume=True).alone():
        pass


def test_a_run_that_failed_holds_nothing(small_config, tmp_path):
    for _ in range(2):
        config = small_config()
        config["data"]["image_size"] = 20
        with pytest.raises(UserError, match="multiples of 8"):
            train(config, tmp_path / "run")


# === Its time ===


class Clock:
    """Stands for the module `time` of the stages: every look at it is a second later."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        self.now += 1.0
        return self.now


class CutAfter(keras.callbacks.Callback):
    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        self.epochs -= 1
        if self.epochs < 0:
            raise KeyboardInterrupt

    def close(self):
        pass


def cutting(epochs):
    return types.SimpleNamespace(
        stage=lambda name, steps, *_: CutAfter(epochs), message=lambda text: None
    )


def log_rows(folder):
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def tensorboard_steps(folder):
    """(steps from which TensorBoard is told to start again, steps that it is told of)"""
    starts, steps = [], []
    for path in sorted((folder / "tensorboard" / "motion").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            if event.HasField("session_log"):
                assert event.session_log.status == tf.compat.v1.SessionLog.START
                starts.append(event.step)
            steps += [event.step for v in event.summary.value if v.tag == "photometric"]
    return starts, sorted(steps)


def test_time_and_log_of_a_cut_run_are_those_of_a_whole_one(
    small_config, tmp_path, monkeypatch
):
    """It is cut in the second of three epochs, between the log and the state."""
    clock, folder = Clock(), tmp_path / "run"
    monkeypatch.setattr(stages_module, "time", clock)
    config = small_config(motion_steps=6)
    config["stages"] = [{**config["stages"][0], "epoch": 2, "jit_compile": False}]
    with pytest.raises(KeyboardInterrupt):
        train(config, folder, progress=cutting(1))
    assert find_states(folder)[0][:2] == (0, 2)
    assert {row["step"] for row in log_rows(folder)} == {"2", "4"}
    trained = saved_seconds(find_states(folder)[0][2])
    assert 2 <= trained < 15
    clock.now += 10_000.0  # A night lies between.
    done = train(None, folder, resume=True)
    rows = log_rows(folder)
    steps = [int(row["step"]) for row in rows if row["term"] == "photometric"]
    assert steps == [2, 4, 6]
    # TensorBoard drops what is at step 3 or later in what was written before.
    assert tensorboard_steps(folder) == ([3], [2, 4, 4, 6])
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    assert trained < seconds[-1] <= done["results"]["seconds"]["motion"] < 40
    # And nothing is added where nothing is left to train.
    again = train(None, folder, resume=True)
    last = saved_seconds(find_states(folder)[0][2])
    assert again["results"]["seconds"]["motion"] == pytest.approx(last, abs=0.05)
    assert len(log_rows(folder)) == len(rows)


# === Its log ===


def read(path):
    with open(path) as file:
        return file.read().splitlines()


def test_rows_beyond_the_state_are_dropped(tmp_path):
    path = str(tmp_path / "log.csv")
    cut_log(path, ["a", "b"], 0, 10)
    assert not os.path.exists(path)
    position = types.SimpleNamespace(step=0)
    for stage, step in (("a", 10), ("a", 20), ("b", 10), ("b", 20)):
        position.step = step
        CsvLog(path, stage, position, lambda: 1.0).on_epoch_end(0, {"loss": 1.0, "x": 2.0})
    whole = read(path)
    cut_log(path, ["a", "b"], 1, 20)
    assert read(path) == whole
    with open(path, "a") as file:
        file.write("b,30,1.0,lo")  # Killed while it wrote.
    cut_log(path, ["a", "b"], 1, 20)
    assert read(path) == whole
    cut_log(path, ["a", "b"], 1, 10)
    assert read(path) == whole[:7]
    cut_log(path, ["a", "b"], 0, 10)
    assert read(path) == whole[:3] and whole[0] == "stage,step,seconds,term,value"
    assert os.listdir(tmp_path) == ["log.csv"]


# === Its states ===


def test_a_copy_of_a_state_beside_it_is_left_alone(network, tmp_path):
    network.optimizer = keras.optimizers.SGD(0.1)
    network.optimizer.build(network.trainable_variables)
    path = save_state(tmp_path, 1, 500, network, 12.5)
    for name in ("state-01-00000500-backup.npz", "state-best.npz", "state-01-x.npz"):
        (tmp_path / name).write_bytes(b"mine")
    assert find_states(tmp_path) == [(1, 500, path)]
    assert saved_seconds(path) == 12.5
    expected = [*network.variables, *network.optimizer.variables]
    for array, variable in zip(read_state(path), expected, strict=True):
        np.testing.assert_array_equal(array, keras.ops.convert_to_numpy(variable.value))
