"""Files are written whole or not at all, locked, and known by their checksums."""

import hashlib
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from h2s_keras import files
from h2s_keras.errors import FileError, ImageError


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("sync", [False, True])
def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path, sync):
    path = tmp_path / "results.json"
    path.write_text("old")
    with files.whole_file(path, sync=sync) as temporary:
        with open(temporary, "w") as file:
            file.write("new")
        assert path.read_text() == "old"
        assert os.path.dirname(temporary) == str(tmp_path)
        assert files.is_unfinished(os.path.basename(temporary))
    assert path.read_text() == "new" and names(tmp_path) == ["results.json"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(type(error)):
        with files.whole_file(path) as temporary:
            with open(temporary, "w") as file:
                file.write("half")
            raise error
    assert path.read_text() == "old" and names(tmp_path) == ["results.json"]


def test_a_writer_that_goes_by_the_suffix_finds_it(tmp_path):
    with files.whole_file(tmp_path / "model.keras", ".keras") as temporary:
        assert temporary.endswith(".keras")
        # Writers may also make the file anew.
        os.unlink(temporary)
        with open(temporary, "wb") as file:
            file.write(b"model")
    assert (tmp_path / "model.keras").read_bytes() == b"model"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        files.write_file(tmp_path / "file", b"content")
        os.mkdir(tmp_path / "folder", 0o700)
        files.follow_umask(tmp_path / "folder", 0o777)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "file").st_mode) == mode
    assert stat.S_IMODE(os.stat(tmp_path / "folder").st_mode) == 0o777 & ~mask


def test_what_a_killed_process_leaves_is_known_and_removed(tmp_path):
    script = (
        "import os, sys\n"
        "import h2s_keras_command  # as the command: without Keras\n"
        "from h2s_keras.files import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    open(temporary, 'w').write('half')\n"
        "    os._exit(9)\n"
    )
    path = tmp_path / "log.csv"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", script, str(path)])
    assert done.returncode == 9 and path.read_text() == "old"
    assert sum(map(files.is_unfinished, names(tmp_path))) == 1
    files.remove_unfinished(tmp_path)
    assert names(tmp_path) == ["log.csv"]


def test_errors_name_the_file_and_the_cure(tmp_path):
    with pytest.raises(FileError, match="its folder .*none does not exist; make it"):
        files.write_file(tmp_path / "none" / "file", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImageError, match="folder: cannot be written"):
        files.write_file(tmp_path / "folder", b"content", ImageError)
    assert names(tmp_path) == ["folder"]


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_a_folder_is_one_process_alone(tmp_path):
    script = (
        "import sys\n"
        "import h2s_keras_command  # as the command: without Keras\n"
        "from h2s_keras.files import alone_in\n"
        "with alone_in(sys.argv[1]):\n"
        "    print('alone')\n"
    )

    def other():
        command = [sys.executable, "-c", script, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True)

    with files.alone_in(tmp_path):
        refused = other()
    assert refused.returncode != 0 and "another process packs into it" in refused.stderr
    assert other().stdout == "alone\n"
    with files.alone_in("s3://bucket/records"):
        pass


def test_checksums_are_sha256(tmp_path):
    content = np.random.default_rng(0).bytes(files._CHUNK + 17)
    (tmp_path / "file").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert files.sha256_of(tmp_path / "file") == expected
    assert files.sha256([content[:5], content[5:]]) == expected
    array = np.arange(6, dtype="float32")
    assert files.sha256([array]) == hashlib.sha256(array.tobytes()).hexdigest()
