"""LiteRT, ONNX and OpenVINO files and pages, written and taken back."""

import json
import shutil

import numpy as np
import pytest
from warm_process import run_warm

import h2s_keras
from h2s_keras.errors import UserError
from h2s_keras.export import ExportedFile, export_lite, export_onnx, export_openvino

PACKAGES = {
    "litert": ("ai_edge_litert",),
    "litert_8bit": ("ai_edge_litert",),
    "onnx": ("tf2onnx", "onnxruntime"),
    "openvino": ("openvino",),
}
NAMES = {"onnx": "m.onnx", "openvino": "m.xml"}


def need(kind):
    for package in PACKAGES[kind]:
        pytest.importorskip(package, reason=f"needs {package}, of the extra {kind}")


@pytest.mark.parametrize("kind", PACKAGES)
def test_what_export_writes_predict_takes_back(build, video, tmp_path, kind):
    """The same probabilities as the network of the same streams in Keras."""
    need(kind)
    lite = kind.startswith("litert")
    model = build(spatial=None if lite else "tiny")
    model.save(tmp_path / "model.keras")
    path = tmp_path / NAMES.get(kind, "m.tflite")
    arguments = ("--model", tmp_path / "model.keras", "--format", kind, "--out", path)
    done = run_warm(("export", *arguments, "--json"), tmp_path)
    assert done.code == 0, done.err
    files = [path, *([tmp_path / "m.bin"] if kind == "openvino" else [])]
    assert json.loads(done.out)["bytes"] == sum(file.stat().st_size for file in files)

    scores = []
    for saved in (tmp_path / "model.keras", path):
        classifier = h2s_keras.VideoClassifier.from_saved(saved, clips_per_video=10)
        scores.append(classifier.scores(video))
    expected, found = scores
    assert expected.max() > 0.3  # not the same for any video
    tolerance = 0.05 if kind == "litert_8bit" else 1e-4
    np.testing.assert_allclose(found, expected, atol=tolerance)
    assert kind != "litert_8bit" or np.abs(found - expected).max() > 1e-6

    done = run_warm(("predict", video, "--model", path, "--json"), tmp_path)
    assert done.code == 0, done.err
    (best, *_) = json.loads(done.out)["predictions"]
    assert best["class"] == classifier.class_names[expected.argmax()]


def test_a_fixed_batch_is_filled_up(two_stream, clips_of, tmp_path):
    need("litert")
    export_lite(two_stream, tmp_path / "m.tflite", batch_size=3)
    found = ExportedFile(tmp_path / "m.tflite").predict_on_batch(clips_of(5))["logits"]
    expected = two_stream.predict_on_batch(clips_of(5))["temporal_logits"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_file_keeps_what_its_network_knows(coarse_to_fine, tmp_path):
    need("openvino")
    export_openvino(coarse_to_fine, tmp_path / "m.xml", classes=["a", "b", "c", "d"])
    network = ExportedFile(tmp_path / "m.xml")
    assert network.class_names == ["a", "b", "c", "d"]
    for name in ("num_frames", "image_size", "frame_stride", "frame_rate"):
        assert getattr(network, name) == getattr(coarse_to_fine, name)
    assert network.test_protocol == coarse_to_fine.test_protocol
    clips = np.random.default_rng(1).integers(0, 256, (3, 4, 32, 48, 3), dtype="uint8")
    outputs, expected = network.predict_on_batch(clips), coarse_to_fine(clips)
    np.testing.assert_allclose(outputs["logits"], expected["logits"], atol=2e-3)
    flow = np.transpose(expected["flow2"], (0, 2, 3, 1, 4)) * 2
    np.testing.assert_allclose(outputs["flow"], flow, atol=2e-3)


@pytest.fixture
def lite_file(two_stream, tmp_path):
    need("litert")
    export_lite(two_stream, tmp_path / "m.tflite")
    return tmp_path / "m.tflite"


def test_files_that_do_not_belong_together(lite_file, tmp_path):
    shutil.copy(lite_file, tmp_path / "alone.tflite")
    with pytest.raises(UserError, match=r"alone.tflite.json: no such file"):
        ExportedFile(tmp_path / "alone.tflite")
    described = tmp_path / "m.tflite.json"
    facts = json.loads(described.read_text())
    content = bytearray(lite_file.read_bytes())
    content[-100] ^= 1
    lite_file.write_bytes(content)
    with pytest.raises(UserError, match=r"m.tflite: is not what was exported"):
        ExportedFile(lite_file)
    del facts["num_frames"]
    described.write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"m.tflite.json: is damaged"):
        ExportedFile(lite_file)


def test_a_missing_package_is_named(lite_file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(UserError, match=r"pip install 'h2s_keras\[litert\]'"):
        h2s_keras.VideoClassifier.from_saved(lite_file)


def test_wrong_paths_and_runtimes(two_stream, lite_file, tmp_path):
    with pytest.raises(UserError, match="must end in .xml"):
        export_openvino(two_stream, tmp_path / "m.bin")
    (tmp_path / "m.bin").write_bytes(b"mine")
    with pytest.raises(UserError, match="m.bin: exists already"):
        export_openvino(two_stream, tmp_path / "m.xml")
    with pytest.raises(UserError, match="takes a .keras model"):
        h2s_keras.VideoClassifier.from_saved(lite_file, runtime="litert")


def test_a_network_without_class_names(build, tmp_path):
    need("onnx")
    model = build(classes=4)
    export_onnx(model, tmp_path / "m.onnx")
    with pytest.raises(UserError, match="has no class names"):
        h2s_keras.VideoClassifier.from_saved(tmp_path / "m.onnx")
