import json

import keras
import pytest

from h2s_keras.options import DataOptions, RunOptions
from h2s_keras.training import devices as module
from h2s_keras.training.devices import (
    device_line,
    find_devices,
    library_versions,
    nvidia_gpus,
    run_header,
    unused_gpu,
)
from h2s_keras.training.run_folder import RunFolder


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """`nvidia_smi(text, code)` writes the only command on the path; there is no /proc."""
    monkeypatch.setattr(module.glob, "glob", lambda pattern: [])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def make(text, code=0):
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
        path.chmod(0o755)

    return make


def test_a_gpu_that_is_not_used_is_named_with_the_cure(nvidia_smi, monkeypatch):
    assert nvidia_gpus() == [] and unused_gpu(["CPU (2 cores)"]) is None
    nvidia_smi("NVIDIA-SMI has failed", 9)
    assert nvidia_gpus() == []
    nvidia_smi("NVIDIA T4\\nNVIDIA T4\\n")
    assert nvidia_gpus() == ["NVIDIA T4", "NVIDIA T4"]
    line = unused_gpu(["CPU (2 cores)"])
    assert "NVIDIA T4 is there, but" in line and "\n" not in line
    if keras.backend.backend() == "tensorflow":
        assert 'pip install "h2s_keras[gpu]"' in line
    assert unused_gpu(["GPU:0 NVIDIA T4"]) is None
    # Hidden on purpose.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert unused_gpu(["CPU (2 cores)"]) is None


def test_gpus_of_the_kernel_driver(tmp_path, monkeypatch):
    path = tmp_path / "information"
    path.write_text("Model: \t\t NVIDIA H200\nIRQ:   12\nGPU UUID: \t x:y\n")
    monkeypatch.setattr(module.glob, "glob", lambda pattern: [str(path)])
    assert nvidia_gpus() == ["NVIDIA H200"]


def test_the_line_of_devices():
    name = keras.backend.backend()
    assert device_line(["CPU (2 cores)"]) == f"device: CPU (2 cores); backend {name}"
    line = device_line(["GPU:0 T4", "GPU:1 T4"], "mixed_float16")
    assert line == f"device: GPU:0 T4 and 1 more; backend {name}; precision mixed_float16"


class Data:
    """Videos of a group that was left out, as `VideoData` names them."""

    class_names = tuple("abcdefgh")
    train, test = range(18), range(9)


def test_the_header_of_a_run(monkeypatch):
    config = RunOptions(data=DataOptions(test_group="3"))
    monkeypatch.setattr(module, "nvidia_gpus", lambda: [])
    devices = ["CPU (2 cores)"]
    assert run_header(config, Data, devices) == [
        "18 videos of 8 classes (a, b, c, d, e, f, ...) to train on, 9 to test on (group "
        "'3' left out)",
        device_line(devices, "float32"),
    ]

    class WithValidation(Data):
        validation, validates = range(4), True

    line = run_header(config, WithValidation, devices)[0]
    assert line.endswith("to train on, 4 to choose by, 9 to test on (group '3' left out)")
    monkeypatch.setattr(module, "nvidia_gpus", lambda: ["NVIDIA T4"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "NVIDIA T4 is there" in run_header(config, Data, devices)[-1]


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="mirrored replicas are TensorFlow's"
)
def test_one_mirrored_replica_is_reported(monkeypatch):
    import tensorflow as tf

    config = RunOptions(strategy="mirrored", data=DataOptions())
    for count in (1, 2):
        logical = [f"CPU:{number}" for number in range(count)]
        monkeypatch.setattr(
            tf.config, "list_logical_devices", lambda kind, found=logical: found
        )
        text = " ".join(run_header(config, Data, ["CPU (2 cores)"]))
        assert ("found one device alone (CPU:0)" in text) == (count == 1)


def test_what_a_run_computed_on_stands_in_its_folder(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.write_config({"name": "x"})
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["devices"] == find_devices()
    assert {"h2s_keras", "keras", "numpy", "av", "python"} <= set(record["versions"])
    assert record["versions"]["backend"] == keras.backend.backend()


def test_versions_are_those_that_are_installed():
    found = library_versions()
    assert found["keras"] == keras.__version__ and all(found.values())
