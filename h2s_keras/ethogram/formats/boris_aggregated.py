"""Aggregated events that BORIS exports: a row per bout with Start (s) and Stop (s)."""

from h2s_keras.ethogram.annotation import Annotation, Interval, file_name
from h2s_keras.ethogram.formats.boris_tabular import observation_of
from h2s_keras.ethogram.formats.text import (
    header,
    optional_number,
    records,
    seconds_of,
    table,
    time_text,
    write_table,
)

NAME = "boris_aggregated"
TITLE = "BORIS aggregated events (.csv, .tsv)"
ENDINGS = ()
SINGLE = False
UNLABELLED = False
SECONDS = True


def recognise(text):
    return {"Behavior", "Start (s)", "Stop (s)"} <= set(header(text))


def read(path, text):
    rows, _ = table(text)
    found, points = {}, {}
    for line, row in records(path, rows):
        annotation = observation_of(path, row, found)
        if row.get("Behavior type", "STATE").upper() == "POINT":
            points[annotation.entry] = points.get(annotation.entry, 0) + 1
            continue
        offset = optional_number(path, row.get("Time offset (s)"), "the time offset") or 0
        start, stop = (
            seconds_of(path, row[column], f"row {line}: {column}") - offset
            for column in ("Start (s)", "Stop (s)")
        )
        annotation.intervals.append(
            Interval(row["Behavior"], start, stop, row.get("Subject", ""))
        )
        numbers = [row.get(f"Image index {end}") for end in ("start", "stop")]
        annotation.frame_numbers.append(
            tuple(
                optional_number(path, cell, f"row {line}: Image index") for cell in numbers
            )
        )
    for annotation in found.values():
        names = (bout.behavior for bout in annotation.intervals)
        annotation.behaviors = tuple(dict.fromkeys(names))
        if count := points.get(annotation.entry):
            annotation.notes.append(
                f"{count} point event{'s' * (count > 1)} without duration left out"
            )
    return list(found.values()) or [Annotation(path)]


def write(labels):
    at = time_text(labels)
    video = file_name(labels.video or "video")
    length, rate = f"{labels.times.duration:.3f}", f"{labels.times.rate:.6g}"
    before = [video, "1970-01-01 00:00:00", "", "Media file(s)", f"player #1:{video}"]
    before += ["0.000", length, length, rate, "No focal subject", length]
    starts = labels.times.starts
    rows = [
        [*before, bout.behavior, "", "STATE", at(bout.start), at(bout.stop)]
        + [f"{starts[bout.stop] - starts[bout.start]:.3f}", video, bout.start, bout.stop]
        + ["NA", "NA", "", ""]
        for bout in labels.bouts()
    ]
    return write_table([_COLUMNS, *rows])


_COLUMNS = (
    "Observation id,Observation date,Description,Observation type,Source,Time offset (s),"
    "Coding duration,Media duration (s),FPS (frame/s),Subject,Observation duration by "
    "subject by observation,Behavior,Behavioral category,Behavior type,Start (s),Stop (s),"
    "Duration (s),Media file name,Image index start,Image index stop,Image file path start,"
    "Image file path stop,Comment start,Comment stop"
).split(",")
