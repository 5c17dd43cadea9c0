"""ActivityNet's JSON: the duration and segments of videos in seconds, stops exclusive."""

import json
import os

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation, Interval, file_name
from h2s_keras.ethogram.formats.text import number, optional_number, time_text

NAME = "activitynet"
TITLE = "ActivityNet segments (.json)"
ENDINGS = ()
SINGLE = False
UNLABELLED = False
SECONDS = True


def recognise(content):
    return isinstance(content, dict) and isinstance(content.get("database"), dict)


def read(path, content):
    found = []
    for video, entry in content["database"].items():
        try:
            segments = [
                (segment["label"], *segment["segment"]) for segment in entry["annotations"]
            ]
            if any(len(segment) != 3 for segment in segments):
                raise ValueError
            duration = entry.get("duration")
        except (AttributeError, KeyError, TypeError, ValueError):
            raise FileError(
                path,
                f'{video} needs "annotations", each with "label" and "segment" '
                "(start, stop)",
            ) from None
        found.append(
            Annotation(
                path,
                video=file_name(video),
                behaviors=tuple(dict.fromkeys(segment[0] for segment in segments)),
                intervals=[
                    Interval(name, number(path, start, video), number(path, stop, video))
                    for name, start, stop in segments
                ],
                duration=optional_number(path, duration, f"{video}: duration"),
            )
        )
    if not found:
        raise FileError(path, "holds the segments of no video")
    return found


def write(labels):
    at = time_text(labels)
    video = os.path.splitext(file_name(labels.video or "video"))[0]
    segments = [
        {"label": bout.behavior, "segment": [float(at(bout.start)), float(at(bout.stop))]}
        for bout in labels.bouts()
    ]
    entry = {
        "duration": round(labels.times.duration, 6),
        "subset": "training",
        "annotations": segments,
    }
    return json.dumps({"database": {video: entry}}) + "\n"
