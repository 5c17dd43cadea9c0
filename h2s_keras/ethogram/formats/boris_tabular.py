"""Events that BORIS exports as a table: a row per START, STOP or POINT.

BORIS up to 7 writes a few lines about the observation before the table and calls the mark
"Status"; later it is "Behavior type", and every row names its observation.
"""

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation, file_name
from h2s_keras.ethogram.formats.states import pair_marked
from h2s_keras.ethogram.formats.text import (
    header,
    optional_number,
    records,
    seconds_of,
    table,
    time_text,
    write_table,
)

NAME = "boris_tabular"
TITLE = "BORIS tabular events (.csv, .tsv)"
ENDINGS = ()
SINGLE = False
UNLABELLED = False
SECONDS = True

_NEW = {"Observation id", "Behavior", "Behavior type", "Time"}
_OLD = {"Time", "Media file path", "Behavior", "Status"}
# Behaviour modifiers: "Modifiers" of old files, "Modifier #1" and so on of later ones.
_MODIFIER = "modifier"
_MEDIA = ("Media file name", "Media file path", "Media file")


def recognise(text):
    return _NEW <= set(header(text)) or _old_header(table(text[:20_000])[0]) is not None


def _old_header(rows):
    for line, row in enumerate(rows):
        if _OLD <= set(row):
            return line
    return None


def read(path, text):
    rows, _ = table(text)
    about, mark = {}, "Behavior type"
    if not _NEW <= set(rows[0]):
        start = _old_header(rows)
        about = {row[0]: row[1] for row in rows[:start] if len(row) > 1}
        # The lines before the table have fewer cells than it.
        rows, mark = rows[start:], "Status"
    found = {}
    events = {}
    for line, row in records(path, rows):
        row = {**about, **row}
        entry = observation_of(path, row, found).entry
        offset = optional_number(path, row.get("Time offset (s)"), "the time offset") or 0
        kind = row[mark].upper()
        if kind not in ("START", "STOP", "POINT"):
            raise FileError(
                path, f"row {line}: {mark} {row[mark]!r} is not START, STOP or POINT"
            )
        seconds = seconds_of(path, row["Time"], f"row {line}: Time") - offset
        modifiers = "|".join(
            cell for name, cell in row.items() if name.lower().startswith(_MODIFIER)
        )
        event = (seconds, row.get("Subject", ""), row["Behavior"], modifiers, kind)
        events.setdefault(entry, []).append(event)
    for entry, annotation in found.items():
        pair_marked(annotation, events[entry])
    return list(found.values()) or [Annotation(path)]


def observation_of(path, row, found):
    """The `Annotation` in the dict `found` of a row's observation, made at its first."""
    entry = row.get("Observation id", "")
    media = next((row[name] for name in _MEDIA if row.get(name)), "")
    media = "" if media == "NA" else file_name(media)
    if entry not in found:
        lengths = (row.get(name) for name in ("Media duration (s)", "Total length"))
        rate = row.get("FPS") or row.get("FPS (frame/s)")
        found[entry] = Annotation(
            path,
            video=media,
            entry=entry,
            rate=_number(rate),
            duration=_number(next((length for length in lengths if length), None)),
        )
    annotation = found[entry]
    if row.get("Source", "").count("#1:") > 1 or media not in ("", annotation.video):
        annotation.problem = FileError(
            path,
            f"{entry} shows several videos one after another, and the table does not say "
            "where each begins; give the BORIS project (.boris)",
        )
    return annotation


def _number(text):
    # Several videos have several rates and lengths; without one, the video decides.
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def write(labels):
    at = time_text(labels)
    video = file_name(labels.video or "video")
    length, rate = f"{labels.times.duration:.3f}", f"{labels.times.rate:.6g}"
    before = [video, "1970-01-01 00:00:00", "", length, "Media file(s)"]
    before += [f"player #1:{video}", "0", length, rate, "No focal subject"]
    rows = []
    for bout in labels.bouts():
        for frame, mark in ((bout.start, "START"), (bout.stop, "STOP")):
            row = [*before, bout.behavior, "", mark, at(frame), video, frame, "NA", ""]
            rows.append((frame, mark == "START", row))
    rows.sort(key=lambda row: row[:2])
    return write_table([_COLUMNS, *(row for _, _, row in rows)])


_COLUMNS = (
    "Observation id,Observation date,Description,Observation duration,Observation type,"
    "Source,Time offset (s),Media duration (s),FPS,Subject,Behavior,Behavioral category,"
    "Behavior type,Time,Media file name,Image index,Image file path,Comment"
).split(",")
