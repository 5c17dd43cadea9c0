"""What all tests share: the folder of real files, where there is one."""

import fcntl
import os
import pathlib
import shutil

import pytest


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """`made_once(name, make)`: a folder that one worker fills and all of them read."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def get(name, make):
        folder, done = root / name, root / f"{name}.done"
        with open(root / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return get


@pytest.fixture
def real_data():
    """`real_data(*parts)`: a path below the folder of real files, or a skip."""

    def find(*parts):
        folder = os.environ.get("H2S_KERAS_DATA")
        if not folder:
            pytest.skip("needs real files: set H2S_KERAS_DATA to their folder")
        path = pathlib.Path(folder).joinpath(*parts)
        if not path.exists():
            pytest.skip(f"no real file {'/'.join(parts)} in H2S_KERAS_DATA")
        return str(path)

    return find


@pytest.fixture
def call(work, monkeypatch, capsys):
    """Runs a command line in the test file's own `work` folder: (code, stdout, stderr)."""
    from h2s_keras.cli.main import build_parser

    monkeypatch.chdir(work)

    def run(line):
        arguments = build_parser().parse_args(line.split())
        code = arguments.run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
