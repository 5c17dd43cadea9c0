"""Labelled videos that a CSV file lists."""

import csv
import os
import re

from h2s_keras.data.dataset_list import DatasetList
from h2s_keras.data.sources import VideoExample
from h2s_keras.errors import FileError


def csv_source(path, root=None, group_column=None, require=True):
    """Lists the videos of a CSV file with the columns path, class [, label] [, group...].

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
        UserError: a file or column is missing, a class has two labels, a label is no
            number or the labels have gaps.

    Example:

    ```python
    examples, names = csv_source("manifest.csv")
    ```
    """
    rows, columns = _read_rows(path)
    group_column = _group_column(path, columns, group_column)
    root = os.path.dirname(os.fspath(path)) if root is None else os.fspath(root)
    class_names = _class_names(path, rows, "label" in columns)
    labels = {name: label for label, name in enumerate(class_names)}
    examples = []
    for row in rows:
        examples.append(
            VideoExample(
                os.path.join(root, row["path"]),
                labels[row["class"]],
                row[group_column] if group_column else None,
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
                    path, f"line {number}: the label {row['label']!r} is no number"
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
