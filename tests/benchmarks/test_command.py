"""`python -m benchmarks` as a real process, on tiny inputs."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from from_clone import COMMAND, ROOT, run_cold

from benchmarks import STUDIES, SUITES
from benchmarks.__main__ import main


def test_the_list_and_the_page_name_every_suite(capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == [*SUITES, *STUDIES] and not said.err
    page = (ROOT / "benchmarks" / "README.md").read_text()
    for name, about in {**SUITES, **STUDIES}.items():
        assert f"| `{name}` | {about} |" in page


def test_every_file_of_a_suite_is_listed():
    files = {path.stem for path in (ROOT / "benchmarks" / "suites").glob("[a-z]*.py")}
    assert files == set(SUITES)


def test_listing_needs_no_keras():
    code = f"{COMMAND}; print({{'keras', 'tensorflow'}} & set(sys.modules))"
    code = code.replace("sys.exit(main())", "main()")
    done = run_cold("list", code=code)
    assert done.code == 0 and done.out.splitlines()[-1] == "set()", done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["speed"], "received 'speed'"),
        (["warp", "--rounds", "1"], "--rounds takes a number from 2"),
        (["warp", "--cores", "0"], "--cores takes 1 to"),
        (["warp", "--json", "{files}/a.png"], "a.png: exists already"),
        (["warp", "--json", "{files}/none/x.json"], "none: no such folder"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, arguments, message):
    (tmp_path / "a.png").write_text("mine")
    assert main([text.format(files=tmp_path) for text in arguments]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("benchmarks: ") and message in line and not said.out


def write_pair(folder):
    """A pair of frames, the second moved by two pixels, with its flow."""
    from h2s_keras.data import write_flow, write_png

    folder.mkdir()
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype("uint8")
    for number in (0, 1):
        frame = np.roll(picture, 2 * number, axis=1)
        write_png(folder / f"frame1{number}.png", frame)
    flow = np.zeros((64, 64, 2), "float32")
    flow[..., 0] = 2.0
    write_flow(folder / "flow10.flo", flow)


def inputs_of(name, folder):
    """What a suite needs beside the options that all have."""
    if name == "full_size_step":
        return ["--batch", "2"]
    if name == "formats":
        from h2s_keras.models import HiddenTwoStreamBuilder

        builder = HiddenTwoStreamBuilder(12, 3, (32, 32)).motion("tiny")
        builder.temporal("tiny").build().save(folder / "model.keras")
        return [folder / "model.keras"]
    if name in ("flow_baselines", "loss_gradients"):
        pair = folder / "pairs" / "one"
        pair.parent.mkdir()
        write_pair(pair)
        if name == "loss_gradients":
            return [pair / "frame10.png", pair / "frame11.png"]
        pytest.importorskip("cv2")
        return ["tiny_synthetic", folder / "pairs"]
    return []


# It reads the kernels of a GPU, and there is none to test on.
RUN_HERE = [name for name in SUITES if name != "accelerator_profile"]


# The fast set tries one suite below; compiling the networks of others takes minutes.
@pytest.mark.slow
@pytest.mark.parametrize("name", RUN_HERE)
def test_a_suite_runs(tmp_path, name, monkeypatch):
    if name.startswith("accelerator") or name == "warp_kernel":
        pytest.importorskip("jax")
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    file = tmp_path / "result.json"
    inputs = inputs_of(name, tmp_path)
    done = run_cold(name, *inputs, "--smoke", "--rounds", "2", "--json", file)
    assert done.code == 0, done.err
    result = json.loads(file.read_text())
    assert result["suite"] == name and result["smoke"] is True
    assert result["machine"]["cores"] >= 1 and result["versions"]["keras"]
    assert result["ratios"] or result["values"] or result["tables"]
    for row in result["ratios"]:
        low, high = row["range"]
        assert row["runs"] in (1, 2) and low <= row["median"] <= high
        assert row["what"] in done.out
    for times in result["seconds"].values():
        assert all(one["median"] > 0 for one in times.values())


PEERS_GONE = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "kornia", "cv2"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Gone())
"""


@pytest.mark.long
def test_a_missing_peer_is_named(tmp_path):
    """Without PyTorch, Kornia and OpenCV the suite still runs, and says what it lacked."""
    # Python runs this file in the child too, where the peers would be imported.
    (tmp_path / "sitecustomize.py").write_text(PEERS_GONE)
    file = tmp_path / "result.json"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "warp", "--smoke", "--rounds", "2"]
        + ["--json", str(file)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    for name in ("grid_sample", "kornia"):
        assert "torch" in result["missing_peers"][name]
        assert f"missing peer {name}: " in done.stdout
    assert "benchmarks/requirements.txt" in done.stdout
    assert not any("grid_sample" in row["what"] for row in result["ratios"])
    assert any("map_coordinates" in row["what"] for row in result["ratios"])


@pytest.mark.long
def test_a_suite_that_is_stopped_keeps_what_it_has(tmp_path):
    file = tmp_path / "result.json"
    # A job in the background inherits that Ctrl-C is ignored; these tests may be one.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heard + COMMAND, "warp", "--smoke"]
    child = subprocess.Popen(
        [*command, "--rounds", "2", "--json", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A terminal's Ctrl-C reaches the peers as well.
        start_new_session=True,
    )
    for line in child.stderr:
        if "time of " in line:
            break
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130 and err.splitlines()[-1] == "benchmarks: stopped", err
    result = json.loads(file.read_text())
    cases = {row["case"] for row in result["ratios"]}
    assert result["stopped"] is True and 1 <= len(cases) < 6
    assert "stopped before its end" in out and result["ratios"][0]["what"] in out
