"""Bento's .annot: bouts per channel and behaviour, frames counted from 1, stops included.

Bouts are in frames, or in seconds where any number has a decimal point or the header has
start and stop times; frame n is then at n / rate seconds, so that the first is not at 0.
"""

import re

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation, Interval, file_name
from h2s_keras.ethogram.formats.text import number

NAME = "bento"
TITLE = "Bento annotations (.annot)"
ENDINGS = (".annot",)
SINGLE = False
UNLABELLED = False
SECONDS = True


def recognise(text):
    return text.lstrip().startswith("Bento annotation file")


def read(path, text):
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


def write(labels):
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
