"""Texts of Caltech's programs, which count frames from 1 and include the stops.

Bento (.annot) holds bouts per channel and behaviour, in frames, or in seconds where any
number has a decimal point or the header has start and stop times; frame n is then at
n / rate seconds, so that the first is not at 0. Rows of the Caltech Behavior Annotator
follow each other without gaps, so that every frame has one behaviour or "other".
"""

import re

from h2s_keras.errors import FileError, UserError, what_was_meant
from h2s_keras.ethogram.annotation import Annotation, Interval, file_name
from h2s_keras.ethogram.formats.text import Format, number
from h2s_keras.ethogram.labels import Bout, is_background


def _recognise_bento(text):
    return text.lstrip().startswith("Bento annotation file")


def _read_bento(path, text):
    lines = [line.strip() for line in text.splitlines()]
    head = {}
    for line in lines:
        if line.startswith("List of"):
            break
        key, colon, value = line.partition(":")
        if colon:
            head[key.strip()] = value.strip()
    rate = head.get("Annotation framerate")
    rate = number(path, rate, "the frame rate") if rate else None
    movies = head.get("Movie file(s)", "").split()
    found = Annotation(
        path,
        video=file_name(movies[0]) if len(movies) == 1 else "",
        vocabulary=True,
        rate=rate,
    )
    listed = []
    if "List of annotations:" in lines:
        for line in lines[lines.index("List of annotations:") + 1 :]:
            if not line or line.endswith("----------"):
                break
            listed.append(line)
    rows, channels, behavior = [], set(), None
    for count, line in enumerate(lines, start=1):
        if re.search(r"-{5,}$", line):
            channels.add(line.rstrip("-"))
            behavior = None
        elif line.startswith(">"):
            behavior = line[1:]
        elif behavior is not None and line and not line.startswith("Start"):
            cells = line.split()
            if len(cells) < 2:
                raise FileError(path, f"line {count}: expected start, stop and duration")
            start, stop = (number(path, cell, f"line {count}") for cell in cells[:2])
            rows.append((behavior, start, stop, any("." in cell for cell in cells)))
    if len(channels) > 1:
        found.notes.append(f"the bouts of its {len(channels)} channels were joined")
    found.behaviors = tuple(dict.fromkeys([*listed, *(row[0] for row in rows)]))
    seconds = "Annotation start time" in head or any(row[3] for row in rows)
    _lengths(found, head)
    if not seconds:
        found.unit = "frames"
        found.intervals = [Interval(name, a - 1, b) for name, a, b, _ in rows]
        return [found]
    if rate is None:
        raise FileError(
            path, "gives seconds without an annotation framerate; add that line"
        )
    found.origin, found.inclusive = 1 / rate, True
    found.intervals = [Interval(*row[:3]) for row in rows]
    return [found]


def _lengths(found, head):
    first, last = head.get("Annotation start frame"), head.get("Annotation stop frame")
    if first is None and found.rate:
        times = head.get("Annotation start time"), head.get("Annotation stop time")
        # A start time of 0 is meant as the first frame's, which is at 1 / rate.
        first, last = (
            None
            if value is None
            else max(1, round(number(found.path, value, "a time") * found.rate))
            for value in times
        )
    if first is None or last is None:
        return
    first, last = (int(number(found.path, value, "a frame")) for value in (first, last))
    if not 1 <= first <= last:
        raise FileError(
            found.path, f"is labelled from frame {first} to {last}; frames count from 1"
        )
    found.frames = last
    if first > 1:
        found.labelled = (first - 1, last)
        found.notes.append(
            f"only frames {first} to {last} (counted from 1) are labelled; the "
            "others are -1"
        )


def _write_bento(labels):
    rate = labels.times.rate
    lines = [
        "Bento annotation file",
        f"Movie file(s):  {file_name(labels.video)} ",
        "",
        "Stimulus name: ",
        "Annotation start frame: 1",
        f"Annotation stop frame: {labels.frames}",
        f"Annotation framerate: {rate:.6f}",
        "",
        "List of channels:",
        "Ch1",
        "",
        "List of annotations:",
        *labels.behaviors,
        "",
        "Ch1----------",
    ]
    for name in labels.behaviors:
        lines += [f">{name}", "Start\t Stop\t Duration "]
        for _, start, stop in labels.bouts(name):
            seconds = (start + 1) / rate, stop / rate, (stop - start) / rate
            # A decimal point in each row tells seconds from frames.
            lines.append("\t".join(f"{value:.6f}" for value in seconds))
        lines.append("")
    return "\n".join(lines) + "\n"


BENTO = Format(
    name="bento",
    title="Bento annotations (.annot)",
    recognise=_recognise_bento,
    read=_read_bento,
    write=_write_bento,
    endings=(".annot",),
    seconds=True,
)


_HEAD = "Caltech Behavior Annotator"


def _recognise_caltech(text):
    return text.lstrip().startswith(_HEAD)


def _read_caltech(path, text):
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


def _write_caltech(labels):
    for name in labels.behaviors:
        if len(name.split()) != 1:
            raise UserError(
                f"the name {name!r} has a space, which ends a name in caltech "
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


CALTECH = Format(
    name="caltech",
    title="Caltech Behavior Annotator (.txt)",
    suffix="txt",
    recognise=_recognise_caltech,
    read=_read_caltech,
    write=_write_caltech,
    single=True,
)
