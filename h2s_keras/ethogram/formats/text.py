"""Reading and writing the text that all formats of labels are made of."""

import csv
import io
import math
import re

from h2s_keras.errors import FileError

_BOMS = (
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)


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


def time_text(labels, digits=3):
    """A function from a frame number to its time as text, exact to the frame.

    Milliseconds, as the programs write them; microseconds where frames are too short.
    """
    starts, frame_at = labels.times.starts, labels.times.frame_at
    edges = {edge for bout in labels.bouts() for edge in bout[1:]}
    if any(frame_at(round(starts[edge], digits)) != edge for edge in edges):
        digits = 6
    return lambda frame: f"{starts[frame]:.{digits}f}"
