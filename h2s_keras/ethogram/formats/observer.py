"""The event log that The Observer exports as text: state starts and stops in seconds.

The export also has the columns of several clocks; `Time_Relative_sf`, seconds after the
start of the observation, is the one that is used.
"""

import csv

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation, file_name
from h2s_keras.ethogram.formats.states import pair_marked
from h2s_keras.ethogram.formats.text import (
    header,
    number,
    records,
    table,
    time_text,
    write_table,
)

NAME = "observer"
TITLE = "The Observer event log (.txt)"
ENDINGS = ()
SINGLE = False
UNLABELLED = False
SECONDS = True

_TIME = "Time_Relative_sf"
_MARKS = {"state start": "START", "state stop": "STOP", "point": "POINT"}


def recognise(text):
    columns = header(text)
    return {"Behavior", "Event_Type"} <= set(columns) and any(
        name.startswith("Time_Relative") for name in columns
    )


def read(path, text):
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


def write(labels):
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
