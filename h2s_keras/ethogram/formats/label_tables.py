"""Labels in tables: DeepEthogram, V-TRACE and The Observer.

DeepEthogram has a row per frame and a column per behaviour of 1, 0 or -1. The first column
is the frame's number, the second, "background", is 1 where no behaviour is shown. It is the
only format here that can hold frames that are not labelled. V-TRACE has bouts in seconds,
stops exclusive. The Observer exports state starts and stops, with the columns of several
clocks; `Time_Relative_sf`, seconds after the start of the observation, is the one used.
"""

import csv

import numpy as np

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation, Interval, file_name
from h2s_keras.ethogram.formats.text import (
    Format,
    header,
    number,
    pair_marked,
    records,
    seconds_of,
    table,
    time_text,
    write_table,
)
from h2s_keras.ethogram.labels import is_background

_VALUES = {"-1": -1, "0": 0, "1": 1}


def _recognise_deepethogram(text):
    rows, _ = table("\n".join(text.splitlines()[:2]))
    if len(rows) != 2 or len(rows[0]) < 2 or len(rows[0]) != len(rows[1]):
        return False
    return all(_value(cell) is not None for cell in rows[1][1:])


def _read_deepethogram(path, text):
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


def _write_deepethogram(labels):
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


DEEPETHOGRAM = Format(
    name="deepethogram",
    title="DeepEthogram labels (.csv)",
    recognise=_recognise_deepethogram,
    read=_read_deepethogram,
    write=_write_deepethogram,
    endings=("_labels.csv", ".csv"),
    unlabelled=True,
)


_COLUMNS = ("labelId", "timestamp", "endTimestamp")


def _recognise_vtrace(text):
    return set(_COLUMNS) <= set(header(text))


def _read_vtrace(path, text):
    rows, _ = table(text)
    found = Annotation(path)
    for line, row in records(path, rows):
        name, start, stop = (row[column] for column in _COLUMNS)
        found.intervals.append(
            Interval(
                name,
                seconds_of(path, start, f"row {line}: timestamp"),
                seconds_of(path, stop, f"row {line}: endTimestamp"),
            )
        )
    found.behaviors = tuple(dict.fromkeys(bout.behavior for bout in found.intervals))
    return [found]


def _write_vtrace(labels):
    at = time_text(labels)
    rows = [[bout.behavior, at(bout.start), at(bout.stop)] for bout in labels.bouts()]
    return write_table([_COLUMNS, *rows])


VTRACE = Format(
    name="vtrace",
    title="V-TRACE bouts (.vtrace.csv)",
    recognise=_recognise_vtrace,
    read=_read_vtrace,
    write=_write_vtrace,
    endings=(".vtrace.csv", "_vtrace.csv"),
    seconds=True,
)


_TIME = "Time_Relative_sf"
_MARKS = {"state start": "START", "state stop": "STOP", "point": "POINT"}


def _recognise_observer(text):
    columns = header(text)
    return {"Behavior", "Event_Type"} <= set(columns) and any(
        name.startswith("Time_Relative") for name in columns
    )


def _read_observer(path, text):
    rows, _ = table(text)
    if _TIME not in rows[0]:
        raise FileError(path, f"has no column {_TIME}; export the seconds, too")
    events = {}
    for line, row in records(path, rows):
        kind = row["Event_Type"].lower().replace("state point", "point")
        if kind not in _MARKS:
            raise FileError(
                path,
                f"row {line}: the event type {row['Event_Type']!r} is not one "
                "of State start, State stop, Point",
            )
        # Fractions may be written with the comma of the computer's language.
        seconds = number(path, row[_TIME].replace(",", "."), f"row {line}: {_TIME}")
        event = (seconds, row.get("Subject", ""), row["Behavior"], "", _MARKS[kind])
        events.setdefault(row.get("Observation", ""), []).append(event)
    found = []
    for entry, marked in events.items():
        annotation = Annotation(path, entry=file_name(entry))
        pair_marked(annotation, marked)
        found.append(annotation)
    return found or [Annotation(path)]


def _write_observer(labels):
    at = time_text(labels)
    entry = file_name(labels.video or "observation")
    rows = []
    for bout in labels.bouts():
        for frame, kind in ((bout.start, "State start"), (bout.stop, "State stop")):
            rows.append((frame, ["", at(frame), entry, bout.behavior, kind]))
    # A stop stands before the start of the same moment.
    rows.sort(key=lambda row: (row[0], row[1][4] == "State start"))
    columns = [
        "Date_Time_Absolute_dmy_hmsf",
        _TIME,
        "Observation",
        "Behavior",
        "Event_Type",
    ]
    cells = [columns, *(row for _, row in rows)]
    return write_table(cells, ";", csv.QUOTE_ALL)


OBSERVER = Format(
    name="observer",
    title="The Observer event log (.txt)",
    suffix="txt",
    recognise=_recognise_observer,
    read=_read_observer,
    write=_write_observer,
    seconds=True,
)
