"""Files on a disk: written whole or not at all, locked, and their checksums.

The only place for each of the three; folders in an object store are in
`h2s_keras.data.records.file_systems`.
"""

import contextlib
import hashlib
import os
import tempfile

from h2s_keras.errors import FileError

PREFIX, PART = ".h2s-", ".part"
_CHUNK = 1 << 22
_LARGEST = 1 << 31  # bytes of a file that is read whole


def is_remote(path):
    """Whether a path is an address, as of an object store (s3://...) or hub (hf://...)."""
    return "://" in os.fspath(path)


def new_file(path, *endings):
    """Checks the name of a file before the work that fills it.

    Args:
        path: name of a file that does not exist, in a folder that does.
        *endings: one of these the name must have, such as ".png"; none given: any.

    Returns:
        `path` as str.

    Raises:
        FileError: the name cannot be taken.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    if endings and not path.endswith(endings):
        raise FileError(path, f"its name must end in {' or '.join(endings)}; rename it")
    if os.path.exists(path):
        raise FileError(path, "exists already; give another name")
    if not os.path.isdir(folder):
        raise FileError(path, f"its folder {folder} does not exist; make it")
    if not os.access(folder, os.W_OK):
        raise FileError(path, f"its folder {folder} may not be written to")
    return path


# === Written whole or not at all ===


@contextlib.contextmanager
def whole_file(path, suffix=PART, sync=False):
    """Writes a file so that a reader sees the old one or the new one, never half of it.

    Args:
        path: name of the file; an older one is replaced when the block ends, and kept
            where it raises.
        suffix: suffix of the temporary name, for writers that go by it.
        sync: wait until the bytes are on the disk, so that a crash of the machine leaves
            no half file either.

    Yields:
        name of an empty file in the same folder, to write to.

    Example:

    ```python
    with whole_file("model.keras", ".keras") as temporary:
        model.save(temporary)
    ```
    """
    path = os.fspath(path)
    temporary = new_temporary(os.path.dirname(path) or ".", suffix)
    try:
        yield temporary
        replace_file(temporary, path, sync)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def new_temporary(folder=None, suffix=PART):
    """Name of a new, empty file; `is_unfinished` knows it."""
    handle, temporary = tempfile.mkstemp(prefix=PREFIX, suffix=suffix, dir=folder)
    os.close(handle)
    return temporary


def replace_file(temporary, path, sync=False):
    """Gives a finished file of `new_temporary` its final name and its permissions."""
    follow_umask(temporary)
    if sync:
        sync_to_disk(temporary)
    os.replace(temporary, path)
    if sync:
        sync_to_disk(os.path.dirname(os.path.abspath(path)))


def follow_umask(path, mode=0o666):
    """Gives what mkstemp made private the permissions that the user expects.

    Args:
        path: a file, or a folder with the mode 0o777.
        mode: before the umask is taken off.
    """
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, mode & ~mask)


def sync_to_disk(path):
    """Waits until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_unfinished(name):
    """Whether a name is that of a file which a killed process left half written."""
    return name.startswith(PREFIX)


def remove_unfinished(folder):
    """Removes what a killed process left half written; it may be of full size.

    Args:
        folder: in which nobody else writes.
    """
    for name in os.listdir(folder):
        if is_unfinished(name):
            os.unlink(os.path.join(folder, name))


def write_file(path, content, error_class=FileError):
    """Writes a file whole or not at all.

    Args:
        path: name of the file; an older one is replaced.
        content: bytes.
        error_class: subclass of `FileError` to raise.
    """
    folder = os.path.dirname(os.fspath(path)) or "."
    try:
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            file.write(content)
    except FileNotFoundError:
        raise error_class(path, f"its folder {folder} does not exist; make it") from None
    except OSError as error:
        raise error_class(path, f"cannot be written ({error.strerror})") from None


def read_file(path, error_class=FileError):
    """Reads a whole regular file.

    Args:
        path: name of the file.
        error_class: subclass of `FileError` to raise.

    Returns:
        bytes, never empty.
    """
    try:
        if os.path.isdir(path):
            raise error_class(path, "is a folder; give a file")
        # Opening a pipe or a device could wait for ever.
        if os.path.exists(path) and not os.path.isfile(path):
            raise error_class(path, "is not a regular file; copy it to one")
        size = os.path.getsize(path)
        if size > _LARGEST:
            raise error_class(path, f"has {size} bytes, more than {_LARGEST}; shrink it")
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise error_class(path, "no such file; check the name") from None
    except OSError as error:
        raise error_class(path, f"cannot be read ({error.strerror})") from None
    if not content:
        raise error_class(path, "is empty (0 bytes); fetch or save it again")
    return content


# === Folders ===


@contextlib.contextmanager
def alone_in(folder):
    """Keeps others out of a folder who ask for it, until this block or process ends.

    An object store, Windows, and a network file system without such locks let everybody in.

    Raises:
        FileError: another process is at work in the folder.
    """
    if is_remote(folder) or os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise FileError(folder, "another process packs into it; wait for its end") from None
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(handle)


def missing_folders(folder):
    """`folder` and those above it that do not exist, the innermost first."""
    missing, place = [], os.path.abspath(folder)
    while not os.path.exists(place):
        missing.append(place)
        place = os.path.dirname(place)
    return missing


@contextlib.contextmanager
def removed_if_unused(folders):
    """Removes those of `folders` that are still empty where what is done fails.

    Args:
        folders: `missing_folders`, from before they were made.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in folders:
                os.rmdir(folder)
        raise


# === Checksums ===


def sha256_of(path, opener=open):
    """Hexadecimal SHA-256 of a file's bytes, read in pieces.

    Args:
        path: path of the file.
        opener: function as `open`, for files that are not on a disk.
    """
    with opener(os.fspath(path), "rb") as file:
        return sha256(iter(lambda: file.read(_CHUNK), b""))


def sha256(parts):
    """Hexadecimal SHA-256 of bytes, or contiguous arrays, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
