"""Who may import whom: the table of docs/architecture.md, and no circles."""

import ast
import collections
import graphlib
import pathlib
import re

import pytest

import h2s_keras

PACKAGE = pathlib.Path(h2s_keras.__file__).parent
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "architecture.md"
BACKENDS = {"tensorflow", "torch", "jax"}


def read_table(text):
    """dict of entry of the package to the entries that it may import, lowest first.

    Every row is | `entry`, ... | what it is | what it may import: names, or "all above" |.
    """
    table, ground = {}, set()
    for row in re.findall(r"^\|(.*)\|$", text, re.MULTILINE):
        entries, _, allowed = (cell.strip() for cell in row.split("|"))
        names = set(re.findall(r"`([^`]+)`", entries))
        if not names:
            continue
        wanted = set(re.findall(r"`([^`]+)`", allowed))
        if allowed == "all above":
            wanted = set(table)
        # Of a row that is not above there is no permission.
        assert wanted <= set(table), f"{names} stand above {wanted - set(table)}"
        # Files beside the folders are the ground, which is for all.
        ground |= {name for name in names if name.endswith(".py")}
        table.update((name, wanted | ground | {name}) for name in sorted(names))
    return table


TABLE = read_table(PAGE.read_text(encoding="utf-8"))
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imported(source):
    """Full names of everything that a source imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name, modules):
    """The module that an imported name is, or lies in; None outside the package."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def graph_of(sources):
    """dict of module to the set of modules that it imports."""
    return {
        name: {module_of(found, sources) for found in imported(source)} - {None, name}
        for name, source in sources.items()
    }


GRAPH = graph_of({name: path.read_text() for name, path in MODULES.items()})


def entry_of(module):
    """The row of a module: a folder such as `ops/`, or a file beside the folders."""
    top = module.split(".")[1]
    return f"{top}/" if (PACKAGE / top).is_dir() else f"{top}.py"


def test_every_entry_of_the_package_has_a_row():
    entries = {entry_of(module) for module in GRAPH if module != "h2s_keras"}
    assert entries == set(TABLE)


@pytest.mark.parametrize("entry", TABLE)
def test_arrows_go_down_only(entry):
    members = [name for name in GRAPH if name != "h2s_keras" and entry_of(name) == entry]
    assert members
    for module in members:
        targets = {entry_of(name) for name in GRAPH[module] if name != "h2s_keras"}
        assert targets <= TABLE[entry], f"{module} imports {targets - TABLE[entry]}"
        # The package's own names stand for all floors.
        assert "h2s_keras" not in GRAPH[module], f"{module} imports the package itself"


def test_nothing_imports_in_a_circle():
    tuple(graphlib.TopologicalSorter(GRAPH).static_order())


def test_the_scan_sees_imports_inside_functions_and_circles_by_them():
    sources = {
        "h2s_keras.a": "from h2s_keras.b import value\nimport numpy",
        "h2s_keras.b": "def late():\n    from h2s_keras import a\n",
        "h2s_keras.c": "import h2s_keras.a",
    }
    graph = graph_of(sources)
    assert graph["h2s_keras.a"] == {"h2s_keras.b"}
    assert graph["h2s_keras.b"] == graph["h2s_keras.c"] == {"h2s_keras.a"}
    with pytest.raises(graphlib.CycleError):
        tuple(graphlib.TopologicalSorter(graph).static_order())


def test_a_row_gives_no_permission_upwards():
    ground = "| `errors.py` | | |\n| `ops/` | | |\n"
    table = read_table(ground + "| `layers/` | x | `ops/` |\n| `cli/` | y | all above |\n")
    assert table["layers/"] == {"errors.py", "ops/", "layers/"}
    assert table["ops/"] == {"errors.py", "ops/"} and "cli/" not in table["layers/"]
    assert table["cli/"] == {"errors.py", "ops/", "layers/", "cli/"}
    with pytest.raises(AssertionError, match="stand above"):
        read_table("| `ops/` | x | `layers/` |\n| `layers/` | y | |\n")


def heavy(floor):
    """Backends and readers of video that the files of a floor import."""
    libraries = BACKENDS | {"av", "cv2"}
    return {
        f"{path.name}: {name}"
        for path in (PACKAGE / floor).rglob("*.py")
        for name in imported(path.read_text())
        if name.split(".")[0] in libraries
    }


@pytest.mark.parametrize("floor", ["ops", "layers", "metrics", "models"])
def test_floors_that_run_on_every_backend_import_none(floor):
    assert not heavy(floor)


def test_the_scan_does_find_tensorflow_where_it_is():
    assert "clip_stream.py: tensorflow" in heavy("data/synthetic")


def test_no_two_files_have_one_name():
    """Files of `cli/` and `recipes/` are named as what a user types."""
    names = collections.Counter(
        path.name
        for path in MODULES.values()
        if path.relative_to(PACKAGE).parts[0] not in ("cli", "recipes")
    )
    del names["__init__.py"]
    assert [name for name, count in names.items() if count > 1] == []
