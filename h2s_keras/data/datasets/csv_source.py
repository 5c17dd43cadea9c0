"""Labelled videos that a CSV file lists."""

import csv
import math
import os
import re

from h2s_keras.data.datasets.dataset_list import DatasetList, listed_below
from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.errors import FileError

_SEGMENT = ("start", "end")
# Columns that say something of a video in other lists, by their names without marks, and
# what to do about them here.
_MEANT = (
    (
        r"(t|time|clip|segment|seg)?(start|begin|from|onset|end|stop|to|until|offset)"
        r"(s|sec|secs|second|seconds|ms|time|stamp|timestamp|frame|frames|index|idx)?",
        "a segment is given in seconds by the columns start and end",
    ),
    (
        r"(class|label|category|target|action)"
        r"(s|es|name|names|label|id|ids|index|idx|number|num|no)?",
        "the class is named by the column class, its number by label",
    ),
    (
        r"split|subset|part|partition|fold|set|usage|train|test|istrain|istest",
        "all lines of a CSV file are used alike; write one for each part, or name this "
        "column as group_column and leave a group out with test_group",
    ),
    (
        r"(num|n|nr|total)?frames?(count)?|weights?|sampleweights?|clipweights?",
        "a CSV file cannot say that",
    ),
)


def csv_source(path, root=None, group_column=None, require=True):
    """Lists the videos of a CSV file: path, class [, label] [, group] [, start, end].

    `start` and `end` are seconds of the segment of a video that shows the class, by the
    video's time stamps; a line that leaves both empty stands for the whole video. Other
    columns are passed over, unless their names look as if they were meant (`start_frame`,
    `stop`, `class_id`, `split`).

    Args:
        path: the CSV file, UTF-8, with a header line.
        root: folder that the paths are relative to; the file's own folder by default.
        group_column: name of the column with the group; by default the only column whose
            name begins with "group", if there is one.
        require: whether every file must be there.

    Returns:
        `(examples, class_names)` as `class_folder_source`, in the order of the file. Labels
        are those of the column `label` (1-based ones are lowered to 0-based), or the
        classes in sorted order.

    Raises:
        UserError: a file or column is missing, a column looks meant and is not known, a
            class has two labels, a label is not a number, the labels have gaps, or a
            segment does not end after it starts.

    Example:

    ```python
    examples, names = csv_source("manifest.csv")
    ```
    """
    rows, columns = _read_rows(path)
    group_column = _group_column(path, columns, group_column)
    _check_columns(path, columns, group_column)
    root = os.path.dirname(os.fspath(path)) if root is None else os.fspath(root)
    class_names = _class_names(path, rows, "label" in columns)
    labels = {name: label for label, name in enumerate(class_names)}
    examples = []
    for number, row in enumerate(rows, start=2):
        examples.append(
            VideoExample(
                listed_below(root, row["path"]),
                labels[row["class"]],
                row[group_column] if group_column else None,
                *(_segment(path, number, row) if "start" in columns else ()),
            )
        )
    if require:
        listed = DatasetList(os.fspath(path), class_names, tuple(examples), ())
        listed.require_videos()
    return tuple(examples), class_names


def _read_rows(path):
    if not os.path.isfile(path):
        raise FileError(path, "no such file; give a CSV list with the columns path,class")
    try:
        # File names may be no UTF-8, the names of columns must.
        options = {"encoding": "utf-8-sig", "errors": "surrogateescape"}
        with open(path, newline="", **options) as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            "".join(columns).encode()
            rows = list(reader)
    except (UnicodeError, csv.Error, OSError) as error:
        raise FileError(path, f"cannot be read as a UTF-8 CSV file ({error})") from None
    for column in ("path", "class"):
        if column not in columns:
            raise FileError(
                path, f"has no column {column!r}, only {', '.join(columns) or 'nothing'}"
            )
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values() or not row["path"] or not row["class"]:
            raise FileError(path, f"line {number} has not {len(columns)} filled columns")
    if not rows:
        raise FileError(path, "lists no videos; add lines below the header")
    return rows, columns


def _check_columns(path, columns, group_column):
    """Refuses columns that look meant, but are not understood."""
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise FileError(path, f"has two columns {twice!r}; remove one of them")
    known = ("path", "class", "label", *_SEGMENT, group_column)
    for name in columns:
        plain = re.sub(r"[\W_]", "", name.lower())
        for pattern, advice in _MEANT:
            if name not in known and re.fullmatch(pattern, plain):
                raise FileError(
                    path,
                    f"the column {name!r} is not understood: {advice}; rename or remove it",
                )
    lone = set(_SEGMENT) & set(columns)
    if len(lone) == 1:
        raise FileError(
            path,
            f"has the column {lone.pop()!r} alone; a segment needs start and end, seconds",
        )


def _segment(path, number, row):
    """(start, end) in seconds, or (None, None) of a line that leaves both empty."""
    texts = [row[name].strip() for name in _SEGMENT]
    if not any(texts):
        return None, None
    try:
        start, end = map(float, texts)
    except ValueError:
        start = end = math.nan
    if not 0 <= start < end < math.inf:
        raise FileError(
            path,
            f"line {number}: start and end are seconds with 0 <= start < end, or both "
            f"empty; received {texts[0]!r} and {texts[1]!r}",
        )
    return start, end


def _group_column(path, columns, wanted):
    if wanted is not None:
        if wanted not in columns:
            raise FileError(path, f"has no column {wanted!r}, only {', '.join(columns)}")
        return wanted
    found = [column for column in columns if column.startswith("group")]
    if len(found) > 1:
        raise FileError(path, f"has the group columns {', '.join(found)}; name one of them")
    return found[0] if found else None


def _class_names(path, rows, with_labels):
    names = sorted({row["class"] for row in rows})
    if with_labels:
        label_of = {}
        for number, row in enumerate(rows, start=2):
            if not re.fullmatch(r"[0-9]+", row["label"]):
                raise FileError(
                    path, f"line {number}: the label {row['label']!r} is not a number"
                )
            label = int(row["label"])
            if label_of.setdefault(row["class"], label) != label:
                raise FileError(
                    path, f"line {number}: class {row['class']} has two labels; mend one"
                )
        lowest = min(label_of.values())
        expected = list(range(lowest, lowest + len(names)))
        if lowest > 1 or sorted(label_of.values()) != expected:
            raise FileError(
                path,
                f"its {len(names)} classes have the labels {sorted(label_of.values())}; "
                "use each of 0 to the number of classes - 1 once, or leave the column out",
            )
        names = sorted(names, key=label_of.get)
    if len(names) < 2:
        raise FileError(path, f"lists one class only ({names[0]}); two or more are needed")
    return tuple(names)
