"""DeepEthogram's CSV: a row per frame, a column per behaviour, 1, 0 or -1.

The first column is the frame's number, the second, "background", is 1 where no behaviour
is shown. The only format here that can hold frames that are not labelled.
"""

import numpy as np

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation
from h2s_keras.ethogram.formats.text import table, write_table
from h2s_keras.ethogram.labels import is_background

NAME = "deepethogram"
TITLE = "DeepEthogram labels (.csv)"
ENDINGS = ("_labels.csv", ".csv")
SINGLE = False
UNLABELLED = True
SECONDS = False

_VALUES = {"-1": -1, "0": 0, "1": 1}


def recognise(text):
    rows, _ = table("\n".join(text.splitlines()[:2]))
    if len(rows) != 2 or len(rows[0]) < 2 or len(rows[0]) != len(rows[1]):
        return False
    return all(_value(cell) is not None for cell in rows[1][1:])


def read(path, text):
    rows, _ = table(text)
    columns = rows[0]
    # A table without the column of numbers begins with a behaviour.
    indexed = not columns[0] or columns[0].lower() in ("frame", "index", "unnamed: 0")
    names = columns[1:] if indexed else columns
    matrix = np.empty((len(rows) - 1, len(names)), "int8")
    if not len(matrix):
        raise FileError(path, "has a header and no frames below it")
    for line, row in enumerate(rows[1:]):
        if len(row) != len(columns):
            raise FileError(
                path, f"frame {line} has {len(row)} cells, but the header {len(columns)}"
            )
        cells = row[1:] if indexed else row
        for column, cell in enumerate(cells):
            value = _value(cell)
            if value is None:
                raise FileError(
                    path,
                    f"frame {line} of {names[column]!r} is {cell!r}; labels are "
                    "1 (shown), 0 (not shown) and -1 (not labelled)",
                )
            matrix[line, column] = value
    found = Annotation(path, vocabulary=True)
    if indexed:
        _check_numbers(found, [row[0] for row in rows[1:]])
    backgrounds = [column for column, name in enumerate(names) if is_background(name)]
    kept = [column for column in range(len(names)) if column not in backgrounds]
    found.behaviors = tuple(names[column] for column in kept)
    found.matrix = matrix[:, kept]
    for column in backgrounds:
        _check_background(path, names[column], matrix[:, column], found.matrix)
    found.frames = len(matrix)
    return [found]


def write(labels):
    matrix = np.column_stack([background(labels.matrix), labels.matrix]).tolist()
    rows = [["", "background", *labels.behaviors]]
    rows += ([frame, *row] for frame, row in enumerate(matrix))
    return write_table(rows)


def background(matrix):
    """1 where no behaviour is shown, 0 where one is, -1 where that is not known."""
    shown = (matrix == 1).any(axis=1)
    known = (matrix == 0).all(axis=1)
    return np.where(shown, 0, np.where(known, 1, -1))


def _value(cell):
    return _VALUES.get(cell[:-2] if cell.endswith(".0") else cell)


def _check_numbers(found, cells):
    first = cells[0].removesuffix(".0")
    if first not in ("0", "1"):
        raise FileError(found.path, f"its first frame is {cells[0]!r}; frames count from 0")
    for line, cell in enumerate(cells):
        if cell.removesuffix(".0") != str(line + int(first)):
            raise FileError(
                found.path,
                f"frame {cell} stands where frame {line + int(first)} is expected; every "
                "frame has one row, in order",
            )
    if first == "1":
        found.notes.append("its frames count from 1; its first row is the first frame")


def _check_background(path, name, given, matrix):
    wrong = np.flatnonzero(given != background(matrix))
    # Who marks the background alone as not labelled, or not at all, leaves a doubt.
    if len(wrong):
        frame = wrong[0]
        raise FileError(
            path,
            f"frame {frame} has {name} {given[frame]}, but its behaviours make it "
            f"{background(matrix)[frame]} ({len(wrong)} such frames); {name} is 1 where no "
            "behaviour is shown, -1 where that was not labelled; correct it, or remove the "
            "column",
        )
