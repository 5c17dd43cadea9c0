"""`h2s benchmark` as a real process, on tiny inputs."""

import json
import os
import signal
import subprocess
import sys

import pytest
from cli.conftest import COMMAND

from h2s_keras.benchmarking import SUITES


def test_list_names_every_suite(h2s):
    done = h2s("benchmark", "--list")
    assert done.code == 0 and not done.error_lines
    assert [line.split()[0] for line in done.out.splitlines()] == list(SUITES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a suite, one of warp, "),
        (["speed"], "received 'speed'"),
        (["warp", "--rounds", "1"], "--rounds takes a number from 2"),
        (["warp", "--cores", "0"], "--cores takes 1 to"),
        (["warp", "--json", "{files}/a.png"], "a.png: exists already"),
        (["warp", "--json", "{files}/none/x.json"], "none: no such folder"),
    ],
)
def test_mistakes_are_one_line(h2s, files, arguments, message):
    done = h2s("benchmark", *(text.format(files=files) for text in arguments))
    assert done.code == 2 and not done.out
    (line,) = done.error_lines
    assert line.startswith("h2s: ") and message in line


# The fast set tries one suite below; compiling the networks of others takes minutes.
@pytest.mark.slow
@pytest.mark.parametrize("name", SUITES)
def test_a_suite_runs(cold_h2s, tmp_path, name, monkeypatch):
    if name.startswith("accelerator"):
        pytest.importorskip("jax")
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    file = tmp_path / "result.json"
    done = cold_h2s("benchmark", name, "--smoke", "--rounds", "2", "--json", file)
    assert done.code == 0, done.err
    result = json.loads(file.read_text())
    assert result["suite"] == name and result["smoke"] is True
    assert result["machine"]["cores"] >= 1 and result["versions"]["keras"]
    assert result["ratios"] and result["seconds"]
    for row in result["ratios"]:
        low, high = row["range"]
        assert row["runs"] == 2 and low <= row["median"] <= high
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
        [sys.executable, "-c", COMMAND, "benchmark", "warp", "--smoke", "--rounds", "2"]
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
    assert "h2s_keras[benchmark]" in done.stdout
    assert not any("grid_sample" in row["what"] for row in result["ratios"])
    assert any("map_coordinates" in row["what"] for row in result["ratios"])


@pytest.mark.long
def test_a_suite_that_is_stopped_keeps_what_it_has(tmp_path):
    file = tmp_path / "result.json"
    # A job in the background inherits that Ctrl-C is ignored; these tests may be one.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heard + COMMAND, "benchmark", "warp", "--smoke"]
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
    assert child.returncode == 130 and err.splitlines()[-1] == "h2s: stopped", err
    result = json.loads(file.read_text())
    cases = {row["case"] for row in result["ratios"]}
    assert result["stopped"] is True and 1 <= len(cases) < 6
    assert "stopped before its end" in out and result["ratios"][0]["what"] in out
