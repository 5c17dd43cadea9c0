"""Text of the Caltech Behavior Annotator: frames counted from 1, stops included.

Rows follow each other without gaps, so that every frame has one behaviour or "other".
"""

import re

from h2s_keras.errors import FileError, UserError, what_was_meant
from h2s_keras.ethogram.annotation import Annotation, Interval
from h2s_keras.ethogram.labels import Bout, is_background

NAME = "caltech"
TITLE = "Caltech Behavior Annotator (.txt)"
ENDINGS = ()
SINGLE = True
UNLABELLED = False
SECONDS = False

_HEAD = "Caltech Behavior Annotator"


def recognise(text):
    return text.lstrip().startswith(_HEAD)


def read(path, text):
    found = Annotation(path, vocabulary=True, unit="frames")
    names, rows, part = [], [], ""
    streams, complete, end = 0, True, 0
    for count, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line.startswith("Configuration file"):
            part = "names"
        elif re.match(r"S\d+:", line):
            part, end, streams = "rows", 0, streams + 1
        elif line and part == "names":
            names.append(line.split()[0])
        elif line and part == "rows" and not line.startswith("---"):
            cells = line.split()
            if len(cells) != 3 or not (cells[0].isdigit() and cells[1].isdigit()):
                raise FileError(
                    path, f"line {count}: expected first frame, last frame, name"
                )
            first, last, name = int(cells[0]), int(cells[1]), cells[2]
            if name not in names:
                raise FileError(
                    path,
                    f"line {count}: {name!r} is not among its {len(names)} behaviours; "
                    + what_was_meant(name, names),
                )
            if first < 1 or last < first or first <= end:
                raise FileError(
                    path,
                    f"line {count}: frames {first} to {last} follow frame "
                    f"{end}; frames count from 1 and rows do not overlap",
                )
            complete = complete and first == end + 1
            end = last
            found.frames = max(found.frames or 0, last)
            if not is_background(name):
                rows.append(Interval(name, first - 1, last))
    if not streams:
        raise FileError(path, "has no stream of labels (a line S1:)")
    found.behaviors = tuple(name for name in names if not is_background(name))
    found.intervals = rows
    if not complete:
        # With gaps, the last row need not end with the video.
        found.frames = None
        found.notes.append(
            "frames between its rows were taken for frames without behaviour"
        )
    if streams > 1:
        found.notes.append(f"its {streams} streams were joined")
    return [found]


def write(labels):
    for name in labels.behaviors:
        if len(name.split()) != 1:
            raise UserError(
                f"the name {name!r} has a space, which ends a name in {NAME} "
                "files; rename it"
            )
    used, lines = {"o"}, []
    for name in labels.behaviors:
        letters = [*name.lower(), *"abcdefghijklmnopqrstuvwxyz0123456789"]
        key = next((letter for letter in letters if letter not in used), "?")
        used.add(key)
        lines.append(f"{name} {key}")
    rows, end = [], 0
    for bout in [*labels.bouts(), Bout("", labels.frames, labels.frames)]:
        if bout.start > end:
            rows.append(f"\t{end + 1}\t{bout.start}\tother")
        if bout.stop > bout.start:
            rows.append(f"\t{bout.start + 1}\t{bout.stop}\t{bout.behavior}")
        end = bout.stop
    head = [f"{_HEAD} - Annotation File", "", "Configuration file:", "other o", *lines, ""]
    head += ["S1:\tstart\tend\ttype", "-" * 29]
    return "\n".join([*head, *rows]) + "\n"
