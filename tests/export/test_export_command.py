"""`h2s export` as a real process."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from warm_process import run_warm

from h2s_keras.export.serving_files import readme
from h2s_keras.recipes.videos import get_config

H2S = shutil.which("h2s", path=os.path.dirname(sys.executable)) or "h2s"


def h2s(*arguments):
    return subprocess.run(
        [H2S, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def model_file(two_stream, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "model.keras"
    two_stream.save(path)
    return path


def test_from_a_run_folder_to_a_served_version(model_file, tmp_path):
    out = tmp_path / "models" / "h2s"
    done = h2s("export", "--model", model_file.parent, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["path"] == str(out / "1") and facts["classes"][0] == "jump"
    assert (out / "1" / "saved_model.pb").exists() and (out / "README.md").exists()

    arguments = ("export", "--model", model_file, "--out", out, "--version", 1)
    again = run_warm(arguments, tmp_path)
    assert again.code == 2 and again.out == ""
    (line,) = [text for text in again.err.splitlines() if text.startswith("h2s:")]
    assert "exists already" in line and "Traceback" not in again.err


def test_class_names_from_a_file_and_the_table(build, tmp_path):
    build(spatial=None, classes=4).save(tmp_path / "model.keras")
    (tmp_path / "names.txt").write_text("a\nb\n\nc\nd é\n", encoding="utf-8")
    arguments = (
        *("export", "--model", tmp_path / "model.keras", "--out", tmp_path / "m"),
        *("--classes", tmp_path / "names.txt", "--top_k", 2, "--batch_sizes", 1, 4),
    )
    done = run_warm(arguments, tmp_path)
    assert done.code == 0, done.err
    assert "m/1: serving_default, predict_jpeg, motion" in done.out
    assert "allowed_batch_sizes: 4" in (tmp_path / "m" / "batching.config").read_text()


def test_the_page_on_serving_cuts_the_frames_that_its_recipe_takes():
    data = get_config().data
    facts = {
        **{"name": "h2s", "model_version": 1, "classes": ["a", "b"], "top_k": 2},
        **{"num_frames": data.num_frames, "image_size": data.image_size},
        # A second of 30 frames a second: 15 steps of 2 frames.
        **{"frame_stride": 2, "frame_rate": 30.0, "written_by": {"h2s_keras": "0"}},
        "test_protocol": {"clips": data.clips_per_video, "short": data.short},
        "signatures": {"motion": {"outputs": {"flow": {"shape": [-1, 48, 48]}}}},
    }
    (command,) = (line for line in readme(facts).splitlines() if "ffmpeg" in line)
    text = readme(facts)
    assert "$(seq 0 2 30)" in text and "min(start + 2 * n, len(files) - 1)" in text
    assert "for n in range(16)" in text and "range(10)" in text
    page = pathlib.Path(__file__).parents[2] / "docs" / "serving.md"
    page = page.read_text(encoding="utf-8")
    assert command in page.splitlines() and "[:31:2]" in page


def test_help_has_an_example_and_is_quick():
    done = h2s("export", "--help")
    assert done.returncode == 0
    assert "Example: h2s export --model h2s_runs/mine --out models/h2s" in done.stdout


def test_a_missing_model_is_reported(tmp_path):
    done = h2s("export", "--model", tmp_path / "none", "--out", tmp_path / "m")
    assert done.returncode == 2
    assert "none: no such model file" in done.stderr
    assert not (tmp_path / "m").exists()


def test_an_option_of_another_format_is_refused(tmp_path):
    arguments = ("export", "--model", "quickstart", "--out", tmp_path / "m")
    done = run_warm((*arguments, "--format", "web", "--top_k", 3), tmp_path)
    assert done.code == 2
    assert "--top_k goes with --format savedmodel, not web" in done.err
    done = run_warm((*arguments, "--runtime", tmp_path), tmp_path)
    assert done.code == 2
    assert "--runtime goes with --format web, not savedmodel" in done.err
    assert not (tmp_path / "m").exists()


def test_a_page_needs_the_runtime_of_browsers(tmp_path):
    arguments = ("export", "--model", "quickstart", "--format", "web")
    done = run_warm((*arguments, "--out", tmp_path / "page"), tmp_path, cwd=tmp_path)
    assert done.code == 2 and "npm install onnxruntime-web" in done.err
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("kind", ["litert", "litert_8bit"])
def test_a_litert_file_by_its_format(model_file, tmp_path, kind):
    path = tmp_path / "model.tflite"
    arguments = ("export", "--model", model_file, "--format", kind, "--out", path)
    done = run_warm((*arguments, "--json"), tmp_path)
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"path": str(path), "bytes": path.stat().st_size}
    assert path.read_bytes()[4:8] == b"TFL3"
