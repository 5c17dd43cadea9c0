"""ONNX files, checked with onnxruntime."""

import re

import numpy as np
import pytest
from from_clone import ROOT

from h2s_keras.errors import UserError
from h2s_keras.export import export_onnx
from h2s_keras.models import load_model


@pytest.mark.parametrize("branched", [False, True], ids=["stacked", "branched"])
def test_onnxruntime_gives_what_keras_gives(build, clips_of, answers, tmp_path, branched):
    pytest.importorskip("tf2onnx", reason="needs tf2onnx, of the extra `onnx`")
    runtime = pytest.importorskip(
        "onnxruntime", reason="needs onnxruntime, of the extra `onnx`"
    )
    model = build(branched=branched)
    path = tmp_path / "model.onnx"
    assert export_onnx(model, path) == path.stat().st_size
    session = runtime.InferenceSession(str(path))
    assert [item.name for item in session.get_inputs()] == ["clips"]
    names = [item.name for item in session.get_outputs()]
    assert sorted(names) == ["flow", "logits", "probabilities"]
    for batch in (1, 2, 5):
        clips = clips_of(batch, seed=batch)
        outputs = model.predict_on_batch(clips)
        actual = dict(zip(names, session.run(names, {"clips": clips}), strict=True))
        flow = np.transpose(outputs["flow2"], (0, 2, 3, 1, 4)) * 2
        np.testing.assert_allclose(actual["logits"], outputs["logits"], atol=1e-4)
        np.testing.assert_allclose(actual["flow"], flow, atol=1e-3)
        np.testing.assert_allclose(actual["probabilities"].sum(axis=1), 1.0, atol=1e-5)


def test_flow_found_coarse_to_fine_is_converted_with_its_warps(coarse_to_fine, tmp_path):
    pytest.importorskip("tf2onnx", reason="needs tf2onnx, of the extra `onnx`")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    export_onnx(coarse_to_fine, tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    clips = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 6, 3), dtype="uint8")
    clips = clips.repeat(8, axis=2).repeat(8, axis=3)
    outputs = coarse_to_fine.predict_on_batch(clips)
    flow = np.transpose(outputs["flow2"], (0, 2, 3, 1, 4)) * 2
    assert np.abs(flow).max() > 1  # so that there is something to warp
    for name, expected in (("logits", outputs["logits"]), ("flow", flow)):
        (actual,) = session.run([name], {"clips": clips})
        np.testing.assert_allclose(actual, expected, atol=2e-3)


def test_the_configuration_for_triton_fits_the_file(tmp_path):
    """What docs/serving.md says of names, types and sizes, beside the file itself."""
    pytest.importorskip("tf2onnx", reason="needs tf2onnx, of the extra `onnx`")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    page = (ROOT / "docs" / "serving.md").read_text("utf-8")
    config = page.partition('backend: "onnxruntime"')[2].partition("```")[0]
    declared = {
        name: (kind, tuple(map(int, sizes.split(","))))
        for name, kind, sizes in re.findall(
            r'name: "(\w+)", data_type: TYPE_(\w+), dims: \[([^]]+)\]', config
        )
    }
    export_onnx(load_model("quickstart"), tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    (given,), batch = session.get_inputs(), int(re.search(r"size: (\d+)", config)[1])
    clips = np.zeros((batch, *declared["clips"][1]), "uint8")
    answers = session.run(None, {given.name: clips})
    kinds = {"float32": "FP32", "uint8": "UINT8"}
    names = [given.name, *(item.name for item in session.get_outputs())]
    found = {
        name: (kinds[value.dtype.name], value.shape[1:])
        for name, value in zip(names, [clips, *answers], strict=True)
    }
    assert found == declared and {len(value) for value in answers} == {batch}


def test_a_missing_extra_is_named(two_stream, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'h2s_keras\[onnx\]'"):
        export_onnx(two_stream, tmp_path / "model.onnx")


def test_wrong_paths(two_stream, tmp_path):
    with pytest.raises(UserError, match="must end in .onnx"):
        export_onnx(two_stream, tmp_path / "model.pb")
    (tmp_path / "model.onnx").write_bytes(b"mine")
    with pytest.raises(UserError, match="exists already"):
        export_onnx(two_stream, tmp_path / "model.onnx")
