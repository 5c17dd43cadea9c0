"""Packages as imported, as setup.py and tox.ini declare them, and as documented."""

import ast
import pathlib
import re
import sys

import pytest
from declared import (
    ROOT,
    benchmark_requirements,
    declared_requirements,
    lowest_versions,
    split_requirement,
    tox_requirements,
)

# Distributions whose modules have another name.
MODULES = {
    "absl-py": "absl",
    "grpcio": "grpc",
    "opencv-contrib-python-headless": "cv2",
    "pillow": "PIL",
    "protobuf": "google.protobuf",
    "pytest-xdist": "xdist",
    "scikit-learn": "sklearn",
    "tensorflow-serving-api": "tensorflow_serving",
}
# Declared, and not imported by the package for a reason of its own.
NEVER_IMPORTED = {
    "grpcio": "clients of an exported model use it",
    "onnx": "tf2onnx writes with it",
    "tensorflow-serving-api": "clients of an exported model use it",
    "tf2onnx": "Keras' own export imports it",
}
# Imported by benchmarks, and not in their requirements for a reason of its own.
NEVER_REQUIRED = {
    "decord": "a peer that has no wheel for every Python",
    "torchvision": "of other_networks.py alone; a release wants one release of PyTorch",
    "tensorflow_addons": "its peer runs in the environment of `tox -e tfa`",
}


def module_of(package):
    return MODULES.get(package, package.replace("-", "_"))


def imported_modules(paths):
    """Top-level names of other people's modules that some Python files import."""
    paths = list(paths)
    own = {"h2s_keras", "h2s_keras_command", *(path.stem for path in paths)}
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module)
            elif isinstance(node, ast.Call):
                skips = ast.unparse(node.func) == "pytest.importorskip"
                if skips and isinstance(node.args[0], ast.Constant):
                    names.add(node.args[0].value)
    # Several distributions share the name `google`.
    tops = {".".join(name.split(".")[: 1 + name.startswith("google.")]) for name in names}
    return {top for top in tops if top not in own and top not in sys.stdlib_module_names}


def package_files():
    return [*(ROOT / "h2s_keras").rglob("*.py"), ROOT / "h2s_keras_command.py"]


def documented_requirements():
    """{(package, bounds, place)} of the table in docs/dependencies.md."""
    text = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    section = text.partition("\n## Packages\n")[2].partition("\n## ")[0]
    found = set()
    for line in section.splitlines():
        if not line.startswith("| ") or line.startswith("| package"):
            continue
        package, bounds, places = (cell.strip() for cell in line.split("|")[1:4])
        for place in places.split(", "):
            found.add((package, bounds.replace(" ", ""), place.replace("`", "")))
    return found


def written_requirements():
    """{(package, bounds, place)} as setup.py and tox.ini have them."""
    places = {
        ("core" if group == "core" else f"extra {group}"): requirements
        for group, requirements in declared_requirements().items()
    }
    places["benchmarks/requirements.txt"] = benchmark_requirements()
    places |= {f"tox {name}": texts for name, texts in tox_requirements().items()}
    return {
        (re.sub(r"\[.*\]", "", name), bounds, place)
        for place, texts in places.items()
        for name, bounds in map(split_requirement, texts)
    }


def test_the_documented_packages_are_the_declared_ones():
    assert documented_requirements() == written_requirements()


def test_every_import_is_declared():
    declared = {
        module_of(split_requirement(text)[0])
        for group, texts in declared_requirements().items()
        if group != "test"
        for text in texts
    }
    # Score files of MATLAB are read with SciPy where it is there; who chooses the PyTorch
    # backend installs PyTorch, at the version of `tox -e torch`.
    assert imported_modules(package_files()) - declared == {"scipy", "torch"}


def test_every_declared_package_is_imported():
    imported = imported_modules(package_files())
    for group, texts in declared_requirements().items():
        for name in (split_requirement(text)[0] for text in texts):
            if group != "test" and name not in NEVER_IMPORTED:
                assert module_of(name) in imported, f"{name} of {group} is never imported"


def test_the_benchmarks_import_what_they_require():
    files = list((ROOT / "benchmarks").rglob("*.py"))
    imported = imported_modules(files) - {"benchmarks"}
    groups = declared_requirements()
    required = {module_of(split_requirement(one)[0]) for one in benchmark_requirements()}
    # What the package itself asks for, and JAX of the suites for a GPU.
    of_package = {
        module_of(split_requirement(text)[0]) for text in [*groups["core"], *groups["jax"]]
    }
    assert imported - of_package - required == set(NEVER_REQUIRED)


def test_the_tests_import_what_they_declare():
    imported = imported_modules((ROOT / "tests").rglob("*.py"))
    declared = {
        module_of(split_requirement(text)[0]) for text in declared_requirements()["test"]
    }
    # The plug-in of pytest is an option of the commands in tox.ini.
    assert declared - imported == {"xdist"}


def test_every_range_has_both_ends_and_starts_at_a_release():
    groups = {**declared_requirements(), "benchmarks": benchmark_requirements()}
    for group, texts in groups.items():
        for text in texts:
            bounds = split_requirement(text)[1]
            assert re.fullmatch(r">=\d+(\.\d+)+,<\d+(\.\d+)*", bounds), (group, text)


def test_lowest_versions_are_the_lower_bounds():
    lowest = lowest_versions("core", "test")
    assert "av==18.0.0" in lowest and "tensorflow==2.16.1" in lowest
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in lowest)


@pytest.mark.parametrize("line", ["import yaml", "from yaml.nodes import Node"])
def test_an_undeclared_import_is_found(tmp_path, line):
    path = pathlib.Path(tmp_path, "module.py")
    path.write_text(f"import os\n\n\ndef load():\n    {line}\n")
    assert imported_modules([path]) == {"yaml"}
