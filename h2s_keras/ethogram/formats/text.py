"""What formats of labels share: their description, text, tables, times, state events."""

import csv
import dataclasses
import io
import itertools
import math
import re
from collections.abc import Callable

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Interval

_BOMS = (
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of files of labels.

    Attributes:
        name: by which users choose it.
        title: for errors and tables.
        recognise: from content (text, or what JSON holds) to whether it is of this format.
        read: from (path, content) to a list of `Annotation`, one per video.
        write: from `FrameLabels` to text.
        endings: of file names that are written in it without being asked.
        suffix: of other names of its files.
        single: one behaviour per frame.
        unlabelled: it can hold frames that are not labelled.
        seconds: it needs the times of frames.
    """

    name: str
    title: str
    recognise: Callable
    read: Callable
    write: Callable
    endings: tuple = ()
    suffix: str = "csv"
    single: bool = False
    unlabelled: bool = False
    seconds: bool = False


def read_text(path):
    """The text of a file in UTF-8, or in UTF-16 as The Observer exports it."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise FileError(path, "no such file; give a file of labels") from None
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror.lower()})") from None
    if not content.strip():
        raise FileError(path, "is empty; give a file of labels")
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeError:
        raise FileError(
            path, "is not text in UTF-8 or UTF-16; give a file of labels"
        ) from None


def table(text):
    """(rows of cells, delimiter) of a text with commas, semicolons or tabs.

    The delimiter is the one that the first lines use most; empty lines are left out.
    """
    head = "\n".join(text[:20_000].splitlines()[:20])
    delimiter = max(",;\t", key=head.count)
    # Line ends within quotes, as in comments, belong to their cell.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows = [[cell.strip() for cell in row] for row in reader]
    return [row for row in rows if any(row)], delimiter


def header(text):
    """Cells of the first line of a table."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    rows, _ = table(line)
    return rows[0] if rows else []


def records(path, rows):
    """(line, dict of column to cell) of each row below the first.

    Raises:
        FileError: a column is named twice, or a row has more or fewer cells.
    """
    columns = rows[0]
    named = [name for name in columns if name]
    for number, name in enumerate(named):
        if name in named[:number]:
            raise FileError(path, f"has two columns {name!r}; remove one")
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(columns):
            raise FileError(
                path, f"row {line} has {len(row)} cells, but the header {len(columns)}"
            )
        yield line, dict(zip(columns, row, strict=True))


def write_table(rows, delimiter=",", quoting=csv.QUOTE_MINIMAL):
    """Rows of cells as text with Unix line ends."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerows(rows)
    return out.getvalue()


def number(path, text, what):
    """A finite number from a cell, or a FileError that says `what` it should be."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise FileError(path, f"{what} is {text!r}, which is not a number")
    return value


def optional_number(path, text, what):
    """A number, or None for an empty cell and for NA."""
    if text is None or str(text).strip() in ("", "NA", "None"):
        return None
    return number(path, text, what)


def seconds_of(path, text, what):
    """Seconds from "83.2", "1:23.2" or "0:01:23.2"."""
    found = re.fullmatch(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", str(text))
    if not found:
        return number(path, text, what)
    hours, minutes, seconds = found.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


def time_text(labels):
    """A function from a frame number to its time as text, exact to the frame.

    Milliseconds, as the programs write them; microseconds where frames are too short.
    """
    starts, frame_at = labels.times.starts, labels.times.frame_at
    edges = {edge for bout in labels.bouts() for edge in bout[1:]}
    exact = all(frame_at(round(starts[edge], 3)) == edge for edge in edges)
    digits = 3 if exact else 6
    return lambda frame: f"{starts[frame]:.{digits}f}"


def pair_marked(found, events):
    """Adds the bouts of events that are marked START, STOP or POINT.

    Args:
        found: the `Annotation` to fill.
        events: (seconds, subject, behaviour, modifiers, mark) each.

    A START or STOP without its other half is the annotation's `problem`.
    """
    _pair(found, events)


def pair_by_order(found, events, states):
    """As `pair_marked`, of events that are not marked: the first starts, the next stops.

    Args:
        found: the `Annotation` to fill.
        events: (seconds, subject, behaviour, modifiers) each.
        states: names of the behaviours that have a duration.
    """
    running, marked = set(), []
    for event in sorted(events, key=lambda event: event[0]):
        key = event[1:4]
        if event[2] not in states:
            mark = "POINT"
        elif key in running:
            running.remove(key)
            mark = "STOP"
        else:
            running.add(key)
            mark = "START"
        marked.append((*event, mark))
    _pair(found, marked)


def _pair(found, events):
    open_bouts, points = {}, 0
    events = sorted(events, key=lambda event: event[0])
    for seconds, moment in itertools.groupby(events, key=lambda event: event[0]):
        marks = {}
        for _, *key, mark in moment:
            if mark == "POINT":
                points += 1
            else:
                marks.setdefault(tuple(key), []).append(mark)
        for key, left in marks.items():
            # At one moment a running bout stops before the next starts, whatever the order.
            while left:
                mark = "STOP" if key in open_bouts else "START"
                if mark not in left:
                    since = open_bouts.get(key, seconds)
                    found.problem = _unpaired(found, key[1], left[0], since, mark)
                    return
                left.remove(mark)
                if mark == "START":
                    open_bouts[key] = seconds
                else:
                    start = open_bouts.pop(key)
                    found.intervals.append(Interval(key[1], start, seconds, key[0]))
    for (_, behavior, _), seconds in open_bouts.items():
        found.problem = _unpaired(found, behavior, "START", seconds, "STOP")
    found.intervals.sort(key=lambda interval: interval.start)
    if points:
        found.notes.append(
            f"{points} point events have no duration and were left out"
            if points > 1
            else "1 point event has no duration and was left out"
        )
    if not found.behaviors:
        found.behaviors = tuple(dict.fromkeys(bout.behavior for bout in found.intervals))


def _unpaired(found, behavior, mark, seconds, other):
    where = f"{found.entry}: " if found.entry else ""
    return FileError(
        found.path,
        f"{where}the {mark} of {behavior!r} at {seconds:g} s has no {other}; correct the "
        "state events in the program that wrote them",
    )
