"""Labels in JSON: FERAL, CalMS21 and ActivityNet.

FERAL holds per video a class number per frame, class 0 being "other", or in its multi-label
form a list of 0 and 1 per frame, the background being a row of zeros. CalMS21 holds per
annotator and sequence a class number per frame; that of "other" differs from file to file,
and the vocabulary says it. ActivityNet holds durations and segments in seconds, stops
exclusive.
"""

import json
import os

import numpy as np

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation, Interval, file_name
from h2s_keras.ethogram.formats.text import Format, number, optional_number, time_text
from h2s_keras.ethogram.labels import is_background


def matrix_of_classes(path, where, values, classes):
    """(behaviours, int8 (frames, behaviours)) of a list of class numbers.

    Args:
        path, where: the file and the place in it, for errors.
        values: class number of each frame.
        classes: dict of class number to name; names of the background are left out.
    """
    for frame, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int) or value not in classes:
            known = ", ".join(f"{number} {name}" for number, name in classes.items())
            raise FileError(
                path, f"{where}: frame {frame} is of class {value!r}; classes are {known}"
            )
    kept = {number: name for number, name in classes.items() if not is_background(name)}
    values = np.asarray(values, "int64")
    columns = [values == number for number in kept]
    matrix = np.stack(columns, axis=1) if columns else np.zeros((len(values), 0))
    return tuple(kept.values()), matrix.astype("int8")


def classes_of(labels):
    """Class number of each frame of labels without overlaps: 0 for the background."""
    numbers = np.arange(1, len(labels.behaviors) + 1)
    return ((labels.matrix == 1) * numbers).sum(axis=1).tolist()


def _recognise_feral(content):
    return isinstance(content, dict) and {"class_names", "labels"} <= set(content)


def _read_feral(path, content):
    try:
        classes = {int(number): name for number, name in content["class_names"].items()}
        videos = list(content["labels"].items())
    except (AttributeError, TypeError, ValueError):
        raise FileError(
            path, 'needs "class_names" (number to name) and "labels" (video to list)'
        ) from None
    found = []
    for video, values in videos:
        if not isinstance(values, list) or not values:
            raise FileError(path, f"{video}: the labels are a list of one entry per frame")
        if content.get("is_multilabel"):
            names, matrix = _multi(path, video, values, classes)
        else:
            names, matrix = matrix_of_classes(path, video, values, classes)
        found.append(
            Annotation(
                path,
                video=file_name(video),
                behaviors=names,
                vocabulary=True,
                matrix=matrix,
                frames=len(matrix),
            )
        )
    if not found:
        raise FileError(path, "holds the labels of no video")
    return found


def _multi(path, video, values, classes):
    for frame, row in enumerate(values):
        if not isinstance(row, list) or len(row) != len(classes):
            size = len(row) if isinstance(row, list) else "no list of"
            raise FileError(
                path,
                f"{video}: frame {frame} has {size} values, but there are "
                f"{len(classes)} classes",
            )
        if any(value not in (0, 1) for value in row):
            raise FileError(path, f"{video}: frame {frame} has values other than 0 and 1")
    order = sorted(classes)
    kept = [column for column, key in enumerate(order) if not is_background(classes[key])]
    names = tuple(classes[order[column]] for column in kept)
    return names, np.array(values, "int8")[:, kept]


def _write_feral(labels):
    video = file_name(labels.video or "video")
    multiple = bool(len(labels.overlaps()))
    names = labels.behaviors if multiple else ("other", *labels.behaviors)
    values = labels.matrix.tolist() if multiple else classes_of(labels)
    content = {
        "is_multilabel": multiple,
        "class_names": {str(number): name for number, name in enumerate(names)},
        "labels": {video: values},
        "splits": {"train": [video], "val": [], "test": [], "inference": []},
    }
    return json.dumps(content) + "\n"


FERAL = Format(
    name="feral",
    title="FERAL labels (.json)",
    suffix="json",
    recognise=_recognise_feral,
    read=_read_feral,
    write=_write_feral,
)


def _recognise_calms21(content):
    return isinstance(content, dict) and any(
        isinstance(sequence, dict) and "annotations" in sequence
        for sequences in content.values()
        if isinstance(sequences, dict)
        for sequence in sequences.values()
    )


def _read_calms21(path, content):
    found = []
    for annotator, sequences in content.items():
        if not isinstance(sequences, dict):
            raise FileError(path, f"{annotator!r} holds no sequences")
        for name, sequence in sequences.items():
            found.append(_sequence(path, annotator, name, sequence, len(content)))
    return found


def _sequence(path, annotator, name, sequence, annotators):
    try:
        vocabulary = sequence["metadata"]["vocab"].items()
        classes = {int(number): behavior for behavior, number in vocabulary}
        values = list(sequence["annotations"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise FileError(
            path, f'{name} needs "annotations" and "metadata" with "vocab" (name to number)'
        ) from None
    if not values:
        raise FileError(path, f"{name} has no labelled frame")
    names, matrix = matrix_of_classes(path, name, values, dict(sorted(classes.items())))
    return Annotation(
        path,
        video=file_name(name),
        entry=name if annotators == 1 else f"{annotator}/{name}",
        behaviors=names,
        vocabulary=True,
        matrix=matrix,
        frames=len(matrix),
    )


def _write_calms21(labels):
    video = os.path.splitext(file_name(labels.video or "video"))[0]
    names = ("other", *labels.behaviors)
    vocabulary = {name: number for number, name in enumerate(names)}
    sequence = {"annotations": classes_of(labels), "metadata": {"vocab": vocabulary}}
    return json.dumps({"annotator-id_0": {video: sequence}}) + "\n"


CALMS21 = Format(
    name="calms21",
    title="CalMS21 sequences (.json)",
    suffix="json",
    recognise=_recognise_calms21,
    read=_read_calms21,
    write=_write_calms21,
    single=True,
)


def _recognise_activitynet(content):
    return isinstance(content, dict) and isinstance(content.get("database"), dict)


def _read_activitynet(path, content):
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


def _write_activitynet(labels):
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


ACTIVITYNET = Format(
    name="activitynet",
    title="ActivityNet segments (.json)",
    suffix="json",
    recognise=_recognise_activitynet,
    read=_read_activitynet,
    write=_write_activitynet,
    seconds=True,
)
