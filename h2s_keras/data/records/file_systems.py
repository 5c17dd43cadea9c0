"""Folders on a disk or in an object store, through TensorFlow's file systems.

Plain paths and `gs://` are known to every TensorFlow; `s3://`, `az://` and `hdfs://` come
with tensorflow-io, whose last release is built for TensorFlow 2.16 (extra `io`).
"""

import contextlib
import errno
import os

from h2s_keras.errors import FileError, UserError
from h2s_keras.files import PART, is_remote, new_temporary, replace_file, sha256_of


def join(folder, name):
    """A name inside a folder, with the separator of the folder's file system."""
    folder = os.fspath(folder)
    return (
        folder.rstrip("/") + "/" + name if is_remote(folder) else os.path.join(folder, name)
    )


def require_file_system(path):
    """Makes the file system of a path ready.

    Raises:
        UserError: nothing here knows it; the text names the extra and what it needs.

    Example:

    ```python
    require_file_system("s3://bucket/records")
    ```
    """
    if not is_remote(path):
        return
    import tensorflow as tf

    scheme = os.fspath(path).partition("://")[0]
    if _knows(tf, scheme):
        return
    with contextlib.suppress(ImportError, NotImplementedError, AttributeError):
        import tensorflow_io  # noqa: F401  (importing it registers its file systems)
    if not _knows(tf, scheme):
        raise UserError(
            f"{path}: TensorFlow {tf.__version__} here knows no {scheme}:// files; s3://, "
            "az:// and hdfs:// come with tensorflow-io, built for TensorFlow 2.16 only: "
            "pip install 'h2s_keras[io]' in an environment of its own, or copy the folder "
            "to a disk"
        )


def _knows(tf, scheme):
    # Looking is surer than tf.io.gfile.get_registered_schemes, which lists schemes whose
    # libraries are still to be loaded.
    try:
        tf.io.gfile.exists(f"{scheme}:///")
    except tf.errors.UnimplementedError:
        return False
    except tf.errors.OpError:
        pass
    return True


@contextlib.contextmanager
def file_errors(path):
    """Turns errors about a file, TensorFlow's and Python's, into one clear line."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.NotFoundError:
        raise FileError(path, "no such file or folder; check the name") from None
    except (tf.errors.PermissionDeniedError, tf.errors.UnauthenticatedError):
        raise FileError(path, "may not be used; check permissions or credentials") from None
    except (tf.errors.OpError, OSError) as error:
        text = getattr(error, "strerror", None) or getattr(error, "message", None)
        text = (text or type(error).__name__).splitlines()[0]
        full = isinstance(error, tf.errors.ResourceExhaustedError) or (
            getattr(error, "errno", None) == errno.ENOSPC
        )
        cure = "; free some space and run the same command again" if full else ""
        raise FileError(path, f"cannot be read or written ({text}){cure}") from None


def exists(path):
    """Whether there is a file or a folder."""
    import tensorflow as tf

    with file_errors(path):
        return tf.io.gfile.exists(os.fspath(path))


def file_size(path):
    """Bytes of a file, or None where there is none."""
    import tensorflow as tf

    try:
        with file_errors(path):
            return tf.io.gfile.stat(os.fspath(path)).length
    except FileError:
        if exists(path):
            raise
        return None


def names_in(folder):
    """Sorted names in a folder; none where there is no such folder."""
    import tensorflow as tf

    folder = os.fspath(folder)
    with file_errors(folder):
        # An object store has no folders, only names that begin alike.
        if not (is_remote(folder) or tf.io.gfile.isdir(folder)):
            return []
        try:
            names = tf.io.gfile.listdir(folder)
        except tf.errors.NotFoundError:
            return []
    return sorted(name.rstrip("/") for name in names)


def make_folder(folder):
    """Makes a folder and those above it."""
    import tensorflow as tf

    if is_remote(folder):
        return
    with file_errors(folder):
        tf.io.gfile.makedirs(os.fspath(folder))


def remove(path):
    """Removes a file, if it is there."""
    import tensorflow as tf

    with file_errors(path), contextlib.suppress(tf.errors.NotFoundError):
        tf.io.gfile.remove(os.fspath(path))


def read_bytes(path):
    """The content of a file."""
    import tensorflow as tf

    with file_errors(path), tf.io.gfile.GFile(os.fspath(path), "rb") as file:
        return file.read()


def write_whole(path, content):
    """Writes bytes so that a reader sees the old file or the new one, never half of it."""
    local = temporary_file(path)
    try:
        with file_errors(path), open(local, "wb") as file:
            file.write(content)
        publish(local, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(local)


def temporary_file(path):
    """Name of a new, empty local file from which `publish` makes `path`.

    It lies beside a local file, so that renaming is atomic.
    """
    folder = None if is_remote(path) else os.path.dirname(os.path.abspath(path))
    with file_errors(path):
        return new_temporary(folder)


def publish(local, path):
    """Gives a finished local file its final name, once its bytes are safely there.

    On a disk it is synced and renamed; to an object store it is uploaded under a
    temporary name and renamed there.
    """
    import tensorflow as tf

    path = os.fspath(path)
    if is_remote(path):
        with file_errors(path):
            tf.io.gfile.copy(local, path + PART, overwrite=True)
            tf.io.gfile.rename(path + PART, path, overwrite=True)
        os.unlink(local)
        return
    with file_errors(path):
        replace_file(local, path, sync=True)


def checksum_of(path):
    """`files.sha256_of` of a file on a disk or in an object store."""
    import tensorflow as tf

    with file_errors(path):
        return sha256_of(path, tf.io.gfile.GFile)
