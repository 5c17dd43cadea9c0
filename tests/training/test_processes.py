"""Two processes on the loopback make the steps of one, and stop and resume together."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.training.processes import Processes
from h2s_keras.training.state import find_states, read_state

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None,
    reason="many processes train through JAX, which is not installed (tox -e jax)",
)
RECIPE = '''
"""A run of seconds."""

def get_config(smoke=False):
    size = {"num_frames": 2, "image_size": (16, 16), "seed": 1, "test_count": 8}
    stage = {"steps": STEPS, "epoch": 2, "learning_rate": 5e-3, "optimizer": "sgd",
             "schedule": "constant", "flow_loss": {}, "global_clipnorm": 1.0}
    return {
        "name": "processes", "seed": 1, "data": {"kind": "synthetic", **size},
        "model": {"motion": "tiny", "temporal": "tiny", "temporal_dropout": 0.0},
        "batch_size": 4,
        # Temporal first: a stage then starts from weights that are equal to the last bit.
        "stages": [
            {**stage, "name": "temporal", "streams": ["temporal"],
             "train": ["temporal"], "flow_loss": None},
            {**stage, "name": "motion", "streams": ["motion"]},
        ],
    }
'''

PLAIN = "import h2s_keras_command; h2s_keras_command.main()"
# The same with a batch normalisation in the temporal stream, whose moments are the batch's.
NORMALISED = """
from h2s_keras.layers import SynchronizedBatchNormalization
from h2s_keras.models import backbones
plain = backbones._tiny
normal = SynchronizedBatchNormalization
backbones._SMALL["tiny"] = lambda inputs: normal(momentum=0.5)(plain(inputs))
"""


def start(*arguments, program=PLAIN):
    return subprocess.Popen(
        [sys.executable, "-c", program, "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def end(*processes):
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *output) for p, output in zip(processes, outputs, strict=True)]


def together(*arguments, program=PLAIN):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    options = ("--processes", 2, "--coordinator", address, "--process")
    return [start(*arguments, *options, process, program=program) for process in (0, 1)]


@pytest.fixture
def recipe(tmp_path):
    def write(steps):
        path = tmp_path / "recipe.py"
        path.write_text(RECIPE.replace("STEPS", str(steps)))
        return path

    return write


def final_state(folder):
    stage, step, path = find_states(folder)[0]
    return (stage, step), read_state(path)


@needs_jax
@pytest.mark.parametrize("program", [PLAIN, NORMALISED + PLAIN])
def test_two_processes_against_one(recipe, tmp_path, program):
    path = recipe(5)
    alone, *pair = end(
        start(path, "--out", tmp_path / "one", program=program),
        *together(path, "--out", tmp_path / "two", program=program),
    )
    for code, _, errors in (alone, *pair):
        assert code == 0, errors
    assert "temporal_accuracy" in pair[0][1] and pair[1][1] == ""
    place, one = final_state(tmp_path / "one")
    for folder in (tmp_path / "two", tmp_path / "two" / "process-1"):
        assert final_state(folder)[0] == place == (1, 5)
        for mine, theirs in zip(one, final_state(folder)[1], strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5, rtol=0)
    begun = read_state(find_states(tmp_path / "one")[1][2])
    # The control: one step moves the weights far more than the processes differ.
    assert max(np.abs(a - b).max() for a, b in zip(one, begun, strict=True)) > 1e-4
    results = [
        json.loads((tmp_path / name / "results.json").read_text())
        for name in ("one", "two")
    ]
    assert results[0]["final"] == pytest.approx(results[1]["final"], rel=1e-4)


@needs_jax
def test_ctrl_c_on_one_host_stops_both_and_both_resume(recipe, tmp_path):
    path, out = recipe(1000), tmp_path / "run"
    processes = together(path, "--out", out)
    # Told on a line of progress, so that both are in the middle of training.
    watchdog = threading.Timer(200, processes[0].kill)
    watchdog.start()
    for line in processes[0].stderr:
        if line.startswith("stage 1 of 2: temporal "):
            break
    watchdog.cancel()
    processes[1].send_signal(signal.SIGINT)
    results = end(*processes)
    assert [code for code, _, _ in results] == [130, 130], results
    assert "--resume" in results[1][2]
    (_, step), _ = final_state(out)
    assert final_state(out / "process-1")[0] == (0, step) and 0 < step < 1000
    config = json.loads((out / "config.json").read_text())
    for folder in (out, out / "process-1"):
        for stage in config["config"]["stages"]:
            stage["steps"] = step + 2
        (folder / "config.json").write_text(json.dumps(config))
    for code, _, errors in end(*together("--resume", "--out", out)):
        assert code == 0, errors
    assert final_state(out)[0] == final_state(out / "process-1")[0] == (1, step + 2)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((2, 2, "127.0.0.1:1"), "--process must be 0 to 1"),
        ((2, 0, None), "--coordinator must be ADDRESS:PORT"),
        ((2, 0, "nowhere"), "--coordinator must be ADDRESS:PORT"),
    ],
)
def test_wrong_numbers(arguments, text, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(UserError, match=text):
        Processes(*arguments)


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    with pytest.raises(UserError, match="set KERAS_BACKEND=jax"):
        Processes(2, 0, "127.0.0.1:1")
