"""Text lists of videos as the neighbours write them: `path label`, `path frames label`."""

import os
import re

from h2s_keras.data.datasets.dataset_list import (
    DatasetList,
    VideoFinder,
    listed_below,
    path_here,
    read_lines,
)
from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.data.video.frame_folder import find_frames, is_frame_folder, is_video_path
from h2s_keras.errors import FileError, UserError


def list_source(train_list, test_list=None, root=None, classes=None):
    """Reads lists with a line `path label` or `path frames label` for each video.

    The second form is that of TSN and its heirs: `path` is a folder of frames and `frames`
    how many of them to use. Whether labels count from 0 or from 1 is found out from all
    labels of both lists: by the lowest, above which every number must occur. With `classes`
    labels may be missing: by a 0, by the highest, or by the numbers in that file.
    Whether frame files count from 0 or 1 is found out in each folder (`find_frames`).

    Args:
        train_list: the text file.
        test_list: another one, or None.
        root: folder that the paths are relative to; that of the list by default. As lists
            often carry the paths of other machines, a video is also found by its name and
            as many folders above it as fit.
        classes: text file with a class a line, in the order of the labels, with or without
            a number in front (as UCF101's classInd.txt); None names a class by the folder
            that all its videos lie in, or by its number.

    Returns:
        `DatasetList`.

    Raises:
        UserError: a list is missing or empty, a line has another form, labels have gaps or
            may count from 0 as well as from 1, a path fits several videos or two paths fit
            one, or a folder holds fewer frames than its line says.

    Example:

    ```python
    listed = list_source("train.txt", "test.txt", root="frames", classes="classes.txt")
    ```
    """
    tables = {"train": _read_table(train_list)}
    tables["test"] = _read_table(test_list) if test_list else []
    labels = [label for table in tables.values() for *_, label in table]
    names, base = _class_names(train_list, tables, labels, classes)
    parts, taken = {}, {}
    for part, path in (("train", train_list), ("test", test_list)):
        find = _finder(path, root, taken) if path else None
        parts[part] = tuple(
            _example(find(listed), frames, label - base, path, number)
            for number, listed, frames, label in tables[part]
        )
    name = os.path.basename(os.fspath(train_list))
    return DatasetList(name, names, parts["train"], parts["test"])


def _read_table(path):
    """(line number, path, frames or None, label) of each line; all of one form."""
    lines = read_lines(path)
    if not lines:
        raise FileError(path, "lists no videos; give lines 'path label'")
    matches = [re.fullmatch(r"(.*\S)\s+(\d+)\s+(\d+)", line) for line in lines]
    if all(matches):
        return [
            (number, match.group(1), int(match.group(2)), int(match.group(3)))
            for number, match in enumerate(matches, start=1)
        ]
    table = []
    for number, line in enumerate(lines, start=1):
        match = re.fullmatch(r"(.*\S)\s+(\d+)", line)
        if match is None:
            raise FileError(
                path, f"line {number}: expected 'path label' or 'path frames label'"
            )
        table.append((number, match.group(1), None, int(match.group(2))))
    return table


def _class_names(path, tables, labels, classes):
    """(names, number of the first label)."""
    lowest, highest = min(labels), max(labels)
    if classes is not None:
        names, first = _read_classes(classes)
        base = 0 if lowest == 0 else 1 if highest == len(names) else first
        if highest - (base or 0) >= len(names):
            raise FileError(
                path, f"has the label {highest}, but {classes} names {len(names)} classes"
            )
        if base is None:
            raise FileError(
                path,
                f"its labels go from {lowest} to {highest}, which may count from 0 or from "
                f"1; put its number before each class in {classes} to say which",
            )
        return names, base
    gap = next((n for n in range(lowest, highest) if n not in set(labels)), None)
    if lowest > 1 or gap is not None:
        raise FileError(
            path,
            f"its labels go from {lowest} to {highest} "
            + (f"and leave out {gap}" if gap is not None else "and leave out 0 and 1")
            + "; give the file of class names (classes) to say what they mean",
        )
    if lowest == highest:
        raise FileError(path, f"lists one class only ({lowest}); two or more are needed")
    folders = {}
    for table in tables.values():
        for _, listed, _, label in table:
            above = os.path.basename(os.path.dirname(listed.replace("\\", "/")))
            folders.setdefault(label, set()).add(above)
    one = [folders[label].pop() for label in range(lowest, highest + 1)]
    known = not any(folders.values()) and len(set(one)) == len(one) and all(one)
    names = one if known else [f"class {label}" for label in range(lowest, highest + 1)]
    return tuple(names), lowest


def _read_classes(path):
    """(names, number before the first of them or None)."""
    lines = read_lines(path)
    numbered = [re.fullmatch(r"(\d+)[\s,]+(.+)", line) for line in lines]
    if not all(numbered):
        return tuple(lines), None
    numbers = [int(match.group(1)) for match in numbered]
    first = numbers[0]
    if first > 1 or numbers != list(range(first, first + len(lines))):
        raise FileError(path, "its numbers are not 0, 1, 2 ... or 1, 2, 3 ...; mend them")
    return tuple(match.group(2) for match in numbered), first


def _finder(path, root, taken):
    """A function of a listed path; `taken` remembers what was found for both lists."""
    root = os.path.dirname(os.path.abspath(path)) if root is None else os.fspath(root)
    finder = None

    def find(listed):
        nonlocal finder
        joined = listed_below(root, listed)
        if is_video_path(joined):
            return joined
        if finder is None:
            finder = VideoFinder(root)
        found = finder.find(path_here(listed).lstrip("/"))
        return found if is_video_path(found) else joined

    def find_once(listed):
        found, joined = find(listed), os.path.normpath(os.path.join(root, listed))
        other = taken.setdefault(os.path.normpath(found), joined)
        if other != joined:
            raise FileError(
                path, f"{joined} and {other} are both found as {found}; mend the list"
            )
        return found

    return find_once


def _example(path, frames, label, table, number):
    if frames is not None and is_frame_folder(path):
        folder = find_frames(path)
        if frames > folder.count or frames < 1:
            raise FileError(
                table,
                f"line {number}: says {frames} frames, but {path} holds {folder.count} "
                f"({folder.pattern} from number {folder.first}); extract them again",
            )
    return VideoExample(path, label, frames=frames)


def check_lists(settings):
    """`list_source` from the values of a recipe."""
    if not settings.get("train_list"):
        raise UserError("kind list needs train_list, a file with lines 'path label'")
    return list_source(
        settings["train_list"],
        settings.get("test_list"),
        settings.get("root"),
        settings.get("classes"),
    )
