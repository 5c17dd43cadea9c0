"""CalMS21's JSON: per annotator and sequence a class number per frame, with a vocabulary.

The number of "other" differs from file to file; the vocabulary says it.
"""

import json
import os

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation, file_name
from h2s_keras.ethogram.formats.single import classes_of, matrix_of_classes

NAME = "calms21"
TITLE = "CalMS21 sequences (.json)"
ENDINGS = ()
SINGLE = True
UNLABELLED = False
SECONDS = False


def recognise(content):
    return isinstance(content, dict) and any(
        isinstance(sequence, dict) and "annotations" in sequence
        for sequences in content.values()
        if isinstance(sequences, dict)
        for sequence in sequences.values()
    )


def read(path, content):
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


def write(labels):
    video = os.path.splitext(file_name(labels.video or "video"))[0]
    names = ("other", *labels.behaviors)
    vocabulary = {name: number for number, name in enumerate(names)}
    sequence = {"annotations": classes_of(labels), "metadata": {"vocab": vocabulary}}
    return json.dumps({"annotator-id_0": {video: sequence}}) + "\n"
