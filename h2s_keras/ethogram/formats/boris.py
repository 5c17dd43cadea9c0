"""BORIS: projects, and the tabular and aggregated events that it exports.

Projects (.boris) hold every observation with its events, videos and frame rates. State
events carry no mark: of one subject, behaviour and set of modifiers the first event starts
a bout and the next stops it. Times include the observation's time offset; videos that a
player shows one after another count on.

Tabular events have a row per START, STOP or POINT. BORIS up to 7 writes a few lines about
the observation before the table and calls the mark "Status"; later it is "Behavior type",
and every row names its observation. Aggregated events have a row per bout.
"""

import json

from h2s_keras.errors import FileError, what_was_meant
from h2s_keras.ethogram.annotation import Annotation, Interval, file_name
from h2s_keras.ethogram.formats.text import (
    Format,
    header,
    number,
    optional_number,
    pair_by_order,
    pair_marked,
    records,
    seconds_of,
    table,
    time_text,
    write_table,
)


def _recognise_project(content):
    return isinstance(content, dict) and {"behaviors_conf", "observations"} <= set(content)


def _read_project(path, content):
    try:
        kinds = {
            entry["code"]: entry["type"].lower().startswith("state")
            for entry in content["behaviors_conf"].values()
        }
        observations = list(content["observations"].items())
        found = []
        for entry, observation in observations:
            found.extend(_observation(path, entry, observation, kinds))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise FileError(
            path, f"is not a whole BORIS project ({type(error).__name__}: {error})"
        ) from None
    if not found:
        raise FileError(path, "is a BORIS project without an observation of a video")
    return found


def _observation(path, entry, observation, kinds):
    states = tuple(name for name, lasts in kinds.items() if lasts)
    if observation.get("type", "MEDIA").upper() != "MEDIA":
        return []
    players = observation["file"]
    videos = next((players[player] for player in sorted(players) if players[player]), [])
    info = observation.get("media_info", {})
    rates, lengths = info.get("fps", {}), info.get("length", {})
    offset = optional_number(path, observation.get("time offset"), f"{entry}: time offset")
    events = []
    for event in observation["events"]:
        seconds = number(path, event[0], f"{entry}: the time of an event")
        subject, code, modifiers = (str(value or "") for value in event[1:4])
        if code not in kinds:
            raise FileError(
                path,
                f"{entry}: the behaviour {code!r} at {seconds:g} s is not among the "
                f"{len(kinds)} of the project; {what_was_meant(code, list(kinds))}",
            )
        events.append((seconds - (offset or 0), subject, code, modifiers))
    whole = Annotation(path, entry=entry, behaviors=states, vocabulary=True)
    pair_by_order(whole, events, set(states))
    annotations, begin = [], 0.0
    for index, video in enumerate(videos):
        length = optional_number(path, lengths.get(video), f"{entry}: length of {video}")
        part = Annotation(
            path,
            video=file_name(video),
            entry=entry if len(videos) == 1 else f"{entry}:{file_name(video)}",
            behaviors=states,
            vocabulary=True,
            rate=optional_number(path, rates.get(video), f"{entry}: rate of {video}"),
            duration=length,
            notes=list(whole.notes),
            problem=whole.problem,
        )
        if len(videos) > 1 and length is None:
            length = 0.0
            part.problem = FileError(
                path,
                f"{entry} shows {len(videos)} videos one after another, but the length of "
                f"{file_name(video)} is missing; open and save the observation in BORIS",
            )
        end = float("inf") if index == len(videos) - 1 else begin + length
        for bout in whole.intervals:
            start, stop = max(bout.start, begin), min(bout.stop, end)
            if start < stop or bout.start == bout.stop == start:
                part.intervals.append(bout._replace(start=start - begin, stop=stop - begin))
        annotations.append(part)
        begin = end
    return annotations


def _write_project(labels):
    at = time_text(labels)
    video = file_name(labels.video or "video")
    events = []
    for bout in labels.bouts():
        for frame in (bout.start, bout.stop):
            events.append([float(at(frame)), "", bout.behavior, "", "", frame])
    events.sort(key=lambda event: event[0])
    # BORIS wants a key per behaviour; a letter of its name, or whatever is free.
    keys, free = [], list("abcdefghijklmnopqrstuvwxyz0123456789")
    for name in labels.behaviors:
        wanted = [letter for letter in name.lower() if letter in free]
        keys.append((wanted or free or [""])[0])
        if keys[-1]:
            free.remove(keys[-1])
    conf = {
        str(index): {
            "type": "State event",
            "key": key,
            "code": name,
            "description": "",
            "category": "",
            "modifiers": "",
            "excluded": "",
            "coding map": "",
        }
        for index, (name, key) in enumerate(zip(labels.behaviors, keys, strict=True))
    }
    date = "1970-01-01T00:00:00"
    observation = {
        "file": {"1": [video]},
        "type": "MEDIA",
        "date": date,
        "description": "",
        "time offset": 0.0,
        "events": events,
        "independent_variables": {},
        "media_info": {
            "length": {video: round(labels.times.duration, 6)},
            "fps": {video: round(labels.times.rate, 6)},
            "hasVideo": {video: True},
            "hasAudio": {video: False},
            "offset": {"1": 0.0},
        },
    }
    project = {
        "time_format": "hh:mm:ss",
        "project_date": date,
        "project_name": video,
        "project_description": "",
        "project_format_version": "7.0",
        "subjects_conf": {},
        "behaviors_conf": conf,
        "observations": {video: observation},
        "behavioral_categories": [],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }
    return json.dumps(project, indent=1) + "\n"


BORIS = Format(
    name="boris",
    title="BORIS project (.boris)",
    recognise=_recognise_project,
    read=_read_project,
    write=_write_project,
    endings=(".boris",),
    seconds=True,
)


_NEW = {"Observation id", "Behavior", "Behavior type", "Time"}
_OLD = {"Time", "Media file path", "Behavior", "Status"}
# Behaviour modifiers: "Modifiers" of old files, "Modifier #1" and so on of later ones.
_MODIFIER = "modifier"
_MEDIA = ("Media file name", "Media file path", "Media file")


def _recognise_tabular(text):
    return _NEW <= set(header(text)) or _old_header(table(text[:20_000])[0]) is not None


def _old_header(rows):
    for line, row in enumerate(rows):
        if _OLD <= set(row):
            return line
    return None


def _read_tabular(path, text):
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


def _write_tabular(labels):
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
    return write_table([_TABULAR_COLUMNS, *(row for _, _, row in rows)])


_TABULAR_COLUMNS = (
    "Observation id,Observation date,Description,Observation duration,Observation type,"
    "Source,Time offset (s),Media duration (s),FPS,Subject,Behavior,Behavioral category,"
    "Behavior type,Time,Media file name,Image index,Image file path,Comment"
).split(",")


BORIS_TABULAR = Format(
    name="boris_tabular",
    title="BORIS tabular events (.csv, .tsv)",
    recognise=_recognise_tabular,
    read=_read_tabular,
    write=_write_tabular,
    seconds=True,
)


def _recognise_aggregated(text):
    return {"Behavior", "Start (s)", "Stop (s)"} <= set(header(text))


def _read_aggregated(path, text):
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


def _write_aggregated(labels):
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
    return write_table([_AGGREGATED_COLUMNS, *rows])


_AGGREGATED_COLUMNS = (
    "Observation id,Observation date,Description,Observation type,Source,Time offset (s),"
    "Coding duration,Media duration (s),FPS (frame/s),Subject,Observation duration by "
    "subject by observation,Behavior,Behavioral category,Behavior type,Start (s),Stop (s),"
    "Duration (s),Media file name,Image index start,Image index stop,Image file path start,"
    "Image file path stop,Comment start,Comment stop"
).split(",")


BORIS_AGGREGATED = Format(
    name="boris_aggregated",
    title="BORIS aggregated events (.csv, .tsv)",
    recognise=_recognise_aggregated,
    read=_read_aggregated,
    write=_write_aggregated,
    seconds=True,
)
