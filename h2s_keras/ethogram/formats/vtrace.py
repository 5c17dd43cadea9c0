"""V-TRACE's CSV: labelId,timestamp,endTimestamp in seconds; stops are exclusive."""

from h2s_keras.ethogram.annotation import Annotation, Interval
from h2s_keras.ethogram.formats.text import (
    header,
    records,
    seconds_of,
    table,
    time_text,
    write_table,
)

NAME = "vtrace"
TITLE = "V-TRACE bouts (.vtrace.csv)"
ENDINGS = (".vtrace.csv", "_vtrace.csv")
SINGLE = False
UNLABELLED = False
SECONDS = True

_COLUMNS = ("labelId", "timestamp", "endTimestamp")


def recognise(text):
    return set(_COLUMNS) <= set(header(text))


def read(path, text):
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


def write(labels):
    at = time_text(labels)
    rows = [[bout.behavior, at(bout.start), at(bout.stop)] for bout in labels.bouts()]
    return write_table([_COLUMNS, *rows])
