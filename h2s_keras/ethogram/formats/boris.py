"""BORIS projects (.boris): every observation with its events, videos and frame rates.

State events carry no mark: of one subject, behaviour and set of modifiers the first event
starts a bout and the next stops it. Times include the observation's time offset; videos
that a player shows one after another count on.
"""

import json

from h2s_keras.errors import FileError, what_was_meant
from h2s_keras.ethogram.annotation import Annotation, file_name
from h2s_keras.ethogram.formats.states import pair_by_order
from h2s_keras.ethogram.formats.text import number, optional_number, time_text

NAME = "boris"
TITLE = "BORIS project (.boris)"
ENDINGS = (".boris",)
SINGLE = False
UNLABELLED = False
SECONDS = True


def recognise(content):
    return isinstance(content, dict) and {"behaviors_conf", "observations"} <= set(content)


def read(path, content):
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


def write(labels):
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
