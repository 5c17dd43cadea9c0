"""FERAL's JSON: per video a class number per frame, or a list of 0 and 1 per frame.

In its multi-label form every class is a behaviour and the background is a row of zeros; in
its single-label form class 0 is "other".
"""

import json

import numpy as np

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation, file_name
from h2s_keras.ethogram.formats.single import classes_of, matrix_of_classes
from h2s_keras.ethogram.labels import is_background

NAME = "feral"
TITLE = "FERAL labels (.json)"
ENDINGS = ()
SINGLE = False
UNLABELLED = False
SECONDS = False


def recognise(content):
    return isinstance(content, dict) and {"class_names", "labels"} <= set(content)


def read(path, content):
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


def write(labels):
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
