"""Frames of one class each, as numbers: what FERAL and CalMS21 files hold."""

import numpy as np

from h2s_keras.errors import FileError
from h2s_keras.ethogram.labels import is_background


def matrix_of_classes(path, where, values, classes):
    """(behaviours, int8 (frames, behaviours)) of a list of class numbers.

    Args:
        path, where: the file and the place in it, for errors.
        values: class number of each frame.
        classes: dict of class number to name; names of the background are left out.
    """
    for frame, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int) or value not in classes:
            known = ", ".join(f"{number} {name}" for number, name in classes.items())
            raise FileError(
                path, f"{where}: frame {frame} is of class {value!r}; classes are {known}"
            )
    kept = {number: name for number, name in classes.items() if not is_background(name)}
    values = np.asarray(values, "int64")
    columns = [values == number for number in kept]
    matrix = np.stack(columns, axis=1) if columns else np.zeros((len(values), 0))
    return tuple(kept.values()), matrix.astype("int8")


def classes_of(labels):
    """Class number of each frame of labels without overlaps: 0 for the background."""
    numbers = np.arange(1, len(labels.behaviors) + 1)
    return ((labels.matrix == 1) * numbers).sum(axis=1).tolist()
