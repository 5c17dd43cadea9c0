"""Untrimmed videos as a dataset lists them: scored whole, or segment by segment.

The recognition tasks of THUMOS14 and ActivityNet ask which actions an untrimmed video
shows, so the published figures are of whole videos; one that shows several actions has
several classes. A segment may have several, too: every cliff dive of THUMOS14 is listed as
a dive once more.
"""

import dataclasses

import numpy as np

UNTRIMMED = ("videos", "segments")
PROTOCOLS = {
    "videos": "whole untrimmed videos",
    "segments": "annotated segments, each taken for a video",
}


def untrimmed_examples(examples, num_classes, unit="videos"):
    """Gathers examples that are segments by what is to be scored, with all its classes.

    Args:
        examples: `VideoExample`s with `start` and `end`.
        num_classes: how many classes there are.
        unit: "videos": one example for each video, without its segments; "segments": one
            for each segment.

    Returns:
        (examples, labels): a list, and int (examples,) or, where an example has several
        classes, bool (examples, num_classes).

    Example:
        >>> rows = [VideoExample("a.mp4", 0, None, 1.0, 2.0),
        ...         VideoExample("a.mp4", 1, None, 1.0, 2.0)]
        >>> untrimmed_examples(rows, 2, "segments")[1]
        array([[ True,  True]])

    Source: the evaluation kits TH14evalkit (classification) and ActivityNet's.
    """
    if unit not in UNTRIMMED:
        raise ValueError(f"unit must be one of {UNTRIMMED}; received {unit!r}.")
    gathered = {}
    for example in examples:
        if unit == "videos":
            example = dataclasses.replace(example, start=None, end=None)
        key = (example.path, example.start, example.end)
        gathered.setdefault(key, (example, set()))[1].add(example.label)
    kept = [example for example, _ in gathered.values()]
    classes = [labels for _, labels in gathered.values()]
    if all(len(labels) == 1 for labels in classes):
        return kept, np.array([example.label for example in kept])
    matrix = np.zeros((len(kept), num_classes), bool)
    for row, labels in enumerate(classes):
        matrix[row, sorted(labels)] = True
    return kept, matrix
