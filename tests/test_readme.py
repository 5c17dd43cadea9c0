"""The README's picture and commands do what they say.

The quickstart command runs in small for all tests of the command line (cli/conftest.py);
all other lines run in data/test_docs.py.
"""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def quickstart_command():
    (command,) = (block.strip() for block in blocks("bash") if "h2s quickstart" in block)
    return command


@pytest.mark.slow
def test_the_quickstart_command_to_the_letter(tmp_path):
    """Clone, fresh environment, whole quickstart: the promises of the recipe hold."""
    import json

    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    }
    subprocess.run(
        ["bash", "-c", quickstart_command()], cwd=clone, check=True, env=environment
    )
    results = json.loads((clone / "quickstart" / "results.json").read_text())
    final = results["final"]
    assert results["stages"]["motion"]["ratio"] <= 0.35
    assert final["temporal_motion_accuracy"] >= 0.95
    assert abs(final["temporal_accuracy"] - 1 / 3) < 0.12
    assert final["spatial_appearance_accuracy"] >= 0.95
    assert abs(final["spatial_accuracy"] - 1 / 4) < 0.08
    assert final["spatial_motion_accuracy"] <= 0.35
    assert final["fused_accuracy"] >= 0.90
    assert sum(results["seconds"].values()) <= 600


def test_the_test_command_is_the_one_of_ci():
    (command,) = (block.strip() for block in blocks("bash") if "tox" in block)
    assert "tox -e fast" in (ROOT / ".ci" / "run").read_text() and "\n" not in command
    assert "[testenv:fast]" in (ROOT / "tox.ini").read_text()


def test_the_picture_and_the_links_exist():
    targets = re.findall(r"\]\((?!https)([^)]+)\)", README)
    assert "docs/images/recognition.gif" in targets
    assert (ROOT / "docs/images/recognition.gif").stat().st_size < 2e6
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert not missing
