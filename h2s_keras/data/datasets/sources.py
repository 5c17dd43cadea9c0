"""Lists of labelled videos: folders of classes, leave one group out.

A source is a plain tuple of `VideoExample` in a fixed order; nothing here decodes.
"""

import collections
import dataclasses
import os
import re
import warnings

from h2s_keras.data.datasets.dataset_list import DatasetList
from h2s_keras.data.video.frame_folder import (
    VIDEO_SUFFIXES,
    is_frame_folder,
    is_video_name,
)
from h2s_keras.errors import FileError, LeftOutWarning, UserError


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
    r"""Lists a folder of class folders: `root/class[/any]/video.avi`.

    A video may also be a folder of frames, `root/class[/any]/video/img_00001.jpg`. Classes
    are the folder names in sorted order. Hidden files are passed over. Videos in deeper
    folders and files without a video suffix are left out with a `LeftOutWarning` that
    counts them. A link whose target is gone is listed as a video, which is then missing.

    Args:
        root: the folder.
        group_pattern: regular expression searched in each file's name; its first group
            is the example's group, e.g. `r"_g(\d+)_"` for UCF101.

    Returns:
        `(examples, class_names)`: a tuple of `VideoExample`, sorted by class and path, and
        a tuple of str.

    Raises:
        UserError: no such folder, fewer than two classes, a class without videos, a class
            folder that is a link to nowhere, a bad pattern or a file that does not match.

    Example:

    ```python
    examples, names = class_folder_source("gestures", group_pattern=r"P(\d)T\d")
    train, test = leave_one_group_out(examples, "2")
    ```
    """
    listed = class_folder_list(root, group_pattern)
    return listed.train, listed.class_names


def class_folder_list(root, group_pattern=None):
    """`class_folder_source` as a `DatasetList` that also names what was left out."""
    root = os.fspath(root)
    if not os.path.isdir(root):
        raise FileError(root, "no such folder; give the one that holds the class folders")
    entries = [entry for entry in os.scandir(root) if entry.name[0] != "."]
    lost = [entry.path for entry in entries if not os.path.exists(entry.path)]
    if lost:
        raise FileError(
            min(lost),
            f"is a link to {os.readlink(min(lost))}, which is not there; mount its disk or "
            "remove the link",
        )
    names = sorted(entry.name for entry in entries if entry.is_dir())
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
    examples, deeper = [], []
    others = sorted(entry.path for entry in entries if not entry.is_dir())
    for label, name in enumerate(names):
        folder = os.path.join(root, name)
        found = videos_below(folder, depth=1)
        deeper += found.deeper
        others += found.others
        if not found.videos:
            raise FileError(
                folder,
                "this class folder holds no videos (by suffix: "
                f"{' '.join(sorted(VIDEO_SUFFIXES))}; or folders of numbered images)"
                + (f", only deeper ones ({found.deeper[0]})" if found.deeper else "")
                + "; add some or remove the folder",
            )
        for path in found.videos:
            examples.append(VideoExample(path, label, group_of(path, pattern)))
    warn_of_left_out(root, others, deeper)
    left_out = (*deeper, *others)
    return DatasetList(root, tuple(names), tuple(examples), (), left_out)


def unlabelled_source(root):
    """Lists all videos below a folder, at any depth, for what needs no labels.

    A video may also be a folder of frames; `root` itself may be a video. Hidden files are
    passed over, files without a video suffix left out with a `LeftOutWarning`.

    Args:
        root: the folder.

    Returns:
        tuple of `VideoExample` of label 0, sorted by path.

    Raises:
        UserError: no such folder, or no videos in it.

    Example:

    ```python
    examples = unlabelled_source("camera")
    ```
    """
    root = os.fspath(root)
    if os.path.isfile(root) or is_frame_folder(root):
        return (VideoExample(root, 0),)
    if not os.path.isdir(root):
        raise FileError(root, "no such folder; give one with videos, at any depth")
    found = videos_below(root)
    if not found.videos:
        raise FileError(
            root,
            "holds no videos (by suffix: "
            f"{' '.join(sorted(VIDEO_SUFFIXES))}; or folders of numbered images)",
        )
    warn_of_left_out(root, found.others)
    return tuple(VideoExample(path, 0) for path in found.videos)


@dataclasses.dataclass
class FoundVideos:
    """What lies below a folder: sorted paths, without hidden files.

    Attributes:
        videos: video files, folders of frames, and links whose target is gone: whoever
            reads such a link says that it is missing.
        deeper: the same in folders below those that were asked for.
        others: files without a video suffix.
    """

    videos: list
    deeper: list
    others: list


def videos_below(folder, depth=None):
    """Finds the videos below a folder; links are followed, each folder is visited once.

    Args:
        folder: the folder.
        depth: how many folders below it belong to the layout; None for all.

    Returns:
        `FoundVideos`.
    """
    found, seen = FoundVideos([], [], []), set()

    def visit(place, level):
        real = os.path.realpath(place)
        if real in seen:
            return
        seen.add(real)
        videos = found.videos if depth is None or level <= depth else found.deeper
        entries = [entry for entry in os.scandir(place) if entry.name[0] != "."]
        # A folder comes before the links to it.
        for entry in sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name)):
            if entry.is_dir() and not is_frame_folder(entry.path):
                visit(entry.path, level + 1)
            elif (
                entry.is_dir()
                or not os.path.exists(entry.path)
                or is_video_name(entry.name)
            ):
                videos.append(entry.path)
            else:
                found.others.append(entry.path)

    visit(folder, 0)
    return FoundVideos(sorted(found.videos), sorted(found.deeper), sorted(found.others))


def warn_of_left_out(root, others, deeper=()):
    """Warns of what lies among the videos of a folder and is not used."""
    reasons = []
    if deeper:
        reasons.append(
            f"{_number(deeper, 'video')} in folders deeper than CLASS/FOLDER (the first is "
            f"{deeper[0]})"
        )
    if others:
        suffixes = collections.Counter(
            os.path.splitext(path)[1].lower() or "none" for path in others
        )
        counts = ", ".join(f"{name} {count}" for name, count in suffixes.most_common(4))
        reasons.append(
            f"{_number(others, 'file')} without the suffix of a video ({counts}; the first "
            f"is {others[0]})"
        )
    if reasons:
        warnings.warn(
            f"{root}: left out: {' and '.join(reasons)}", LeftOutWarning, stacklevel=3
        )


def _number(things, word):
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


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
        examples: list of `VideoExample`, each with a group.
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
