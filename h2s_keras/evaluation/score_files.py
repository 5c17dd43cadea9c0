"""Files of scores and labels of any origin: .npz, .npy, .mat and lists of text."""

import warnings

import numpy as np

from h2s_keras.errors import FileError, LabelsWarning

_MATRIX_KEYS = ("scores", "score", "data", "fused")


def read_arrays(path):
    """Arrays by name of an .npz, .npy (as "scores") or .mat file, never pickled objects.

    Raises:
        FileError: missing, damaged, or holding Python objects; .mat without SciPy.
    """
    return _read_mat(path) if str(path).lower().endswith(".mat") else _read_numpy(path)


def load_labels(path, classes):
    """Labels of videos, 0-based.

    Args:
        path: our .npz; .npy or .mat of ints (videos,) or of 0/1 (videos, classes); or a
            text file whose lines end in the label, as `name label` or `name,label` (a
            header line is passed over).
        classes: how many there are. Labels from 1 to `classes` are lowered by one.

    Warns:
        LabelsWarning: neither 0 nor `classes` is among the labels of a file of others.

    Returns:
        int64 (videos,) or bool (videos, classes).

    Raises:
        UserError: the file cannot be read or a label does not exist.
    """
    path, ours = str(path), False
    suffix = path.rsplit(".", 1)[-1].lower()
    if suffix in ("npz", "npy", "mat"):
        arrays = read_arrays(path)
        ours = "about" in arrays
        found = arrays.get("labels", arrays.get("label"))
        if found is None and len(arrays) == 1:
            found = next(iter(arrays.values()))
        if found is None:
            raise FileError(path, f"has no array 'labels', only {', '.join(arrays)}")
        labels = np.asarray(found)
        if labels.ndim == 2 and 1 not in labels.shape:
            if labels.shape[1] != classes or not np.isin(labels, (0, 1)).all():
                raise FileError(path, f"labels {labels.shape} are not 0/1 x {classes}")
            return labels.astype(bool)
        labels = labels.ravel()
    else:
        labels = _text_labels(path)
    numbers = labels.dtype.kind in "biuf"
    if len(labels) == 0 or not numbers or not np.all(labels == np.round(labels)):
        raise FileError(path, "holds no whole numbers as labels")
    labels = labels.astype("int64")
    if labels.min() >= 1 and labels.max() == classes:
        labels = labels - 1
    elif 1 <= labels.min() and labels.max() < classes and not ours:
        warnings.warn(
            f"{path}: labels from {labels.min()} to {labels.max()} of {classes} classes "
            "are read as counted from 0; if they count from 1, lower each by one",
            LabelsWarning,
            stacklevel=2,
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise FileError(
            path,
            f"has labels from {labels.min()} to {labels.max()}, but the scores have "
            f"{classes} classes",
        )
    return labels


def _read_numpy(path):
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"scores": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        raise FileError(path, "no such file; check the name") from None
    except Exception as error:
        if "allow_pickle" in str(error) or "pickle" in str(error).lower():
            raise FileError(
                path,
                "holds pickled Python objects, which could run anything; save the plain "
                "matrix again (np.save(name, np.stack(scores)))",
            ) from None
        raise FileError(path, f"cannot be read as a NumPy file ({error})") from None


def _read_mat(path):
    try:
        from scipy.io import loadmat
    except ImportError:
        raise FileError(path, "reading .mat needs SciPy: pip install scipy") from None
    try:
        values = loadmat(path)
    except FileNotFoundError:
        raise FileError(path, "no such file; check the name") from None
    except NotImplementedError:
        raise FileError(path, "is a MATLAB 7.3 file; save it again with -v7") from None
    except Exception as error:
        raise FileError(path, f"cannot be read as a .mat file ({error})") from None
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    }


def only_matrix(path, arrays):
    """The one matrix float32 (videos, classes) among arrays, or a FileError."""
    found = {
        name: value
        for name, value in arrays.items()
        if value.ndim == 2 and value.dtype.kind in "fiu" and value.shape[1] > 1
    }
    for name in _MATRIX_KEYS:
        if name in found:
            found = {name: found[name]}
    if len(found) != 1:
        raise FileError(
            path,
            f"must hold one matrix (videos, classes); it holds {len(found)}: "
            f"{', '.join(found) or 'none'}",
        )
    matrix = next(iter(found.values())).astype("float32")
    if not np.isfinite(matrix).all():
        raise FileError(path, "holds scores that are not finite numbers")
    return matrix


def _text_labels(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.replace(",", " ").split() for line in file if line.strip()]
    except FileNotFoundError:
        raise FileError(path, "no such file; check the name") from None
    except UnicodeDecodeError:
        raise FileError(path, "is no text file of labels") from None
    labels = []
    for number, words in enumerate(lines, start=1):
        try:
            labels.append(int(words[-1]))
        except ValueError:
            if number > 1:
                raise FileError(
                    path, f"line {number} does not end in a label: {words[-1]!r}"
                ) from None
    return np.array(labels, "int64")
