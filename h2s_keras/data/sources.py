"""Lists of labelled videos: folders of classes, leave one group out.

A source is a plain tuple of `VideoExample` in a fixed order; nothing here decodes.
"""

import dataclasses
import os
import re

from h2s_keras.data.frame_folder import (
    VIDEO_SUFFIXES,
    is_frame_folder,
    is_video_name,
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
