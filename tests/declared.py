"""What setup.py and tox.ini declare; as a script, pip with the lowest versions allowed.

`tox -e oldest` installs with it, before anything but Python and pip is there:

    python tests/declared.py [arguments of `pip install`]
"""

import ast
import configparser
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]


def declared_requirements():
    """{"core": requirements, name of an extra: requirements} as strings, of setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    call = next(call for call in calls if ast.unparse(call.func) == "setup")
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    core = ast.literal_eval(given["install_requires"])
    return {"core": core, **ast.literal_eval(given["extras_require"])}


def tox_requirements():
    """{name of a tox environment: requirements} of what it installs besides the extras."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini", encoding="utf-8")
    return {
        section.removeprefix("testenv:"): parser[section]["deps"].split()
        for section in parser.sections()
        if "deps" in parser[section]
    }


def benchmark_requirements():
    """Requirements of the peers that the benchmarks measure against."""
    text = (ROOT / "benchmarks" / "requirements.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def split_requirement(requirement):
    """("tensorflow", ">=2.16.1,<2.22") of "tensorflow[and-cuda]>=2.16.1,<2.22"."""
    name, bounds = re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?(.*)", requirement).groups()
    return name, bounds


def lowest_versions(*groups):
    """Constraints of pip that pin the packages of some groups to their lower bounds."""
    declared = declared_requirements()
    pinned = {}
    for requirement in (text for group in groups for text in declared[group]):
        name, bounds = split_requirement(requirement)
        pinned[name] = re.search(r">=([\w.]+)", bounds).group(1)
    return [f"{name}=={version}" for name, version in sorted(pinned.items())]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        constraints = pathlib.Path(folder, "lowest.txt")
        constraints.write_text("\n".join(lowest_versions("core", "test")) + "\n")
        pip = [sys.executable, "-m", "pip", "install", "-c", str(constraints)]
        sys.exit(subprocess.run([*pip, *sys.argv[1:]]).returncode)
