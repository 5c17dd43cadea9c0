"""The folder of the page: what is in it, and what is refused."""

import hashlib
import json

import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.export import ExportedFile, export_web_page
from h2s_keras.export.web import check_clip
from h2s_keras.export.web_runtime import find_runtime


@pytest.fixture
def runtime(tmp_path):
    """A folder like the npm package, with all that is copied and more."""
    dist = tmp_path / "npm" / "dist"
    dist.mkdir(parents=True)
    (tmp_path / "npm" / "package.json").write_text('{"version": "9.8.7"}')
    for entry, loader in (
        ("ort.wasm.min.mjs", "ort-wasm-simd-threaded"),
        ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify"),
    ):
        (dist / entry).write_text(f'import("./{loader}.mjs");var a=x?"{loader}.mjs":0')
        for ending in ("mjs", "wasm"):
            (dist / f"{loader}.{ending}").write_text(loader)
    (dist / "ort.all.min.js").write_text("not needed")
    return tmp_path / "npm"


def names(paths):
    return sorted(str(path).replace("\\", "/").rpartition("/")[2] for path in paths)


NEEDED = [
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.wasm.min.mjs",
    "ort.webgpu.min.mjs",
]


def test_the_runtime_is_found_in_the_package_and_in_its_dist(runtime):
    for folder in (runtime, runtime / "dist"):
        found = find_runtime(folder)
        assert names(found["files"]) == NEEDED
        assert found["version"] == "9.8.7"
        assert (found["wasm"], found["webgpu"]) == (
            "ort.wasm.min.mjs",
            "ort.webgpu.min.mjs",
        )


def test_a_runtime_without_webgpu_serves_webassembly(runtime):
    (runtime / "dist" / "ort.webgpu.min.mjs").unlink()
    found = find_runtime(runtime)
    assert found["webgpu"] is None and names(found["files"]) == NEEDED[2:5]


def test_a_runtime_that_is_missing_or_not_whole(runtime, tmp_path):
    with pytest.raises(UserError, match="nowhere: holds no ONNX Runtime .*npm install"):
        find_runtime(tmp_path / "nowhere")
    (runtime / "dist" / "ort-wasm-simd-threaded.wasm").unlink()
    with pytest.raises(UserError, match="without ort-wasm-simd-threaded.wasm"):
        find_runtime(runtime)


def test_a_folder_in_use_is_left_alone(two_stream, runtime, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="exists and is not an empty folder"):
        export_web_page(two_stream, tmp_path / "page", runtime)
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["mine.txt"]


def test_the_check_clip_moves_right_by_a_pixel_a_frame():
    clip = check_clip(4, (24, 32))
    assert clip.shape == (1, 4, 24, 32, 3) and clip.dtype == np.uint8
    assert clip.std() > 50
    for time in (1, 2, 3):
        np.testing.assert_array_equal(clip[0, time, :, 1:], clip[0, time - 1, :, :-1])
        assert (clip[0, time] != clip[0, time - 1]).mean() > 0.15


def test_the_folder_of_a_page(coarse_to_fine, runtime, tmp_path):
    pytest.importorskip("tf2onnx", reason="needs tf2onnx, of the extra `onnx`")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    folder = tmp_path / "new" / "page"
    facts = export_web_page(coarse_to_fine, folder, runtime)
    assert facts == json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert names((folder / "runtime").iterdir()) == NEEDED
    for name in ("index.html", "style.css", "main.js", "worker.js"):
        assert (folder / name).stat().st_size > 500
    assert facts["classes"] == coarse_to_fine.class_names
    assert (facts["num_frames"], facts["image_size"]) == (4, [32, 48])
    assert (facts["frame_stride"], facts["frame_rate"]) == (2, 12.5)
    assert (facts["clips"], facts["short"], facts["decode_size"]) == (7, "hold", [32, 48])
    assert [path.name for path in folder.parent.iterdir()] == ["page"]

    content = (folder / "model.onnx").read_bytes()
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()
    session = onnxruntime.InferenceSession(content)
    assert [item.shape for item in session.get_inputs()] == [[1, 4, 32, 48, 3]]
    clip = check_clip(4, (32, 48))
    outputs = coarse_to_fine.predict_on_batch(clip)
    logits, flow = session.run(["logits", "flow"], {"clips": clip})
    np.testing.assert_allclose(logits, outputs["logits"], atol=1e-3)
    # The middle of three pairs, in pixels of the clip.
    np.testing.assert_allclose(flow[0], 2 * outputs["flow2"][0, 1], atol=1e-3)
    assert flow[..., 0].mean() > 0.5
    np.testing.assert_allclose(facts["check"]["logits"], logits[0], atol=1e-3)
    np.testing.assert_allclose(facts["check"]["mean_flow"], flow.mean((0, 1, 2)), atol=1e-3)

    # Python takes the page back: one clip at a time, as the file is.
    network = ExportedFile(folder)
    clips = np.concatenate([clip, clip[..., ::-1]])
    found = network.predict_on_batch(clips)["logits"]
    expected = coarse_to_fine.predict_on_batch(clips)["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert network.test_protocol == coarse_to_fine.test_protocol
