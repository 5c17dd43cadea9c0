"""Lists of labelled videos: folders of classes, CSV lists, leave one group out.

A source is a plain tuple of `VideoExample` in a fixed order; nothing here decodes.
"""

import csv
import dataclasses
import os
import re

from h2s_keras.data.frame_folder import (
    VIDEO_SUFFIXES,
    is_frame_folder,
    is_video_name,
    is_video_path,
)
from h2s_keras.errors import FileError, UserError


@dataclasses.dataclass(frozen=True)
class VideoExample:
    """One labelled video.

    Attributes:
        path: the file, or the folder of frames.
        label: class number, counted from 0.
        group: what must not be on both sides of a split (person, scene), or None.
        start, end: seconds of the segment that shows the class in an untrimmed video;
            None for the whole video.
        frames: use only the first so many frames, or None for all.
    """

    path: str
    label: int
    group: str | None = None
    start: float | None = None
    end: float | None = None
    frames: int | None = None


def class_folder_source(root, group_pattern=None):
    """Lists a folder of class folders: `root/class[/any]/video.avi`.

    A video may also be a folder of frames, `root/class[/any]/video/img_00001.jpg`. Classes
    are the folder names in sorted order. Hidden files and files without a video suffix are
    passed over.

    Args:
        root: the folder.
        group_pattern: regular expression searched in each file's name; its first group
            is the example's group, e.g. `r"_g(\\d+)_"` for UCF101.

    Returns:
        `(examples, class_names)`: a tuple of `VideoExample`, sorted by class and path, and
        a tuple of str.

    Raises:
        UserError: no such folder, fewer than two classes, a class without videos, a bad
            pattern or a file that does not match it.

    Example:

    ```python
    examples, names = class_folder_source("gestures", group_pattern=r"P(\\d)T\\d")
    train, test = leave_one_group_out(examples, "2")
    ```
    """
    root = os.fspath(root)
    if not os.path.isdir(root):
        raise FileError(root, "no such folder; give the one that holds the class folders")
    names = sorted(
        entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != "."
    )
    if not names:
        raise FileError(
            root, "holds no class folders; put each class's videos in a folder of its name"
        )
    if len(names) == 1:
        raise FileError(
            root,
            f"holds one class folder only ({names[0]}), but two or more are needed; did "
            "you mean the folder above or below?",
        )
    pattern = compiled_pattern(group_pattern)
    examples = []
    for label, name in enumerate(names):
        files = _videos_below(os.path.join(root, name))
        if not files:
            raise FileError(
                os.path.join(root, name),
                "this class folder holds no videos (by suffix: "
                f"{' '.join(sorted(VIDEO_SUFFIXES))}; or folders of numbered images); add "
                "some or remove the folder",
            )
        for path in files:
            examples.append(VideoExample(path, label, group_of(path, pattern)))
    return tuple(examples), tuple(names)


def _videos_below(folder, depth=1):
    found = []
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if is_frame_folder(entry.path):
                found.append(entry.path)
            elif depth:
                found += _videos_below(entry.path, depth - 1)
        elif entry.is_file() and is_video_name(entry.name):
            found.append(entry.path)
    return sorted(found)


def compiled_pattern(group_pattern):
    if group_pattern is None:
        return None
    try:
        pattern = re.compile(group_pattern)
    except re.error as error:
        raise UserError(f"the group pattern {group_pattern!r} is broken: {error}") from None
    if pattern.groups < 1:
        raise UserError(
            f"the group pattern {group_pattern!r} has no parentheses; put them around the "
            "part of the file name that is the group"
        )
    return pattern


def group_of(path, pattern):
    if pattern is None:
        return None
    match = pattern.search(os.path.basename(path))
    if match is None or match.group(1) is None:
        raise FileError(
            path,
            f"its name does not match the group pattern {pattern.pattern!r}",
        )
    return match.group(1)


def leave_one_group_out(examples, group):
    """Splits by group: all others for training, one for testing.

    Args:
        examples: `VideoExample`s, each with a group.
        group: the group to test on; compared as text.

    Returns:
        `(train, test)`, two tuples that keep the order.

    Raises:
        UserError: examples without a group, an unknown group, or no other group.

    Example:

    ```python
    train, test = leave_one_group_out(examples, "2")
    ```
    """
    lost = next((example for example in examples if example.group is None), None)
    if lost is not None:
        raise FileError(lost.path, "has no group; give a group pattern or a group column")
    known = sorted({example.group for example in examples}, key=natural_order)
    if str(group) not in known:
        raise UserError(f"no group {group!s}; the known groups are {', '.join(known)}")
    if len(known) == 1:
        raise UserError(f"all examples are of group {group!s}; nothing is left to train on")
    train = tuple(example for example in examples if example.group != str(group))
    test = tuple(example for example in examples if example.group == str(group))
    return train, test


def natural_order(text):
    """Sort key by which "2" comes before "10"; None before everything."""
    text = "" if text is None else text
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"([0-9]+)", text)
        if part
    ]


def csv_source(path, root=None, group_column=None):
    """Lists the videos of a CSV file with the columns path, class [, label] [, group...].

    Args:
        path: the CSV file, UTF-8, with a header line.
        root: folder that the paths are relative to; the file's own folder by default.
        group_column: name of the column with the group; by default the only column whose
            name begins with "group", if there is one.

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
    missing = [example.path for example in examples if not is_video_path(example.path)]
    if missing:
        raise FileError(
            missing[0],
            f"no such file, listed in {path} ({len(missing)} of {len(examples)} are "
            "missing); fetch them or set the root folder",
        )
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
