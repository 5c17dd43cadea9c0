"""The official lists of published datasets: UCF101, HMDB51, THUMOS14, ActivityNet."""

import functools
import json
import os
import re

from h2s_keras.data.datasets.dataset_list import (
    DatasetList,
    VideoFinder,
    check_split,
    read_lines,
)
from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.data.video.frame_folder import is_video_path
from h2s_keras.errors import FileError, UserError

_UCF101_GROUP = re.compile(r"_(g\d+)_c\d+", re.IGNORECASE)
_HMDB51_FILE = re.compile(r"(.+)_test_split([123])\.txt")
_AMBIGUOUS = "Ambiguous"  # THUMOS14 names instances of no class so.


def ucf101_list(annotations, root=None, split=1):
    """The official list of one split: 9537/3783, 9586/3734 and 9624/3696 videos.

    Labels in the files count from 1 and are lowered to 0. The spellings
    `HandstandPushups` and `HandStandPushups` are one class.

    Args:
        annotations: folder with classInd.txt and the lists ("ucfTrainTestlist").
        root: folder of the videos ("UCF-101", class folders or flat), or None to list
            without looking for videos.
        split: 1, 2 or 3.

    Returns:
        `DatasetList`; the group of an example is its source video, e.g. "g08".

    Raises:
        UserError: a list is missing or a line of it makes no sense.

    Example:

    ```python
    ucf101_list("ucfTrainTestlist", split=1).counts()["train"]      # 9537
    ```

    Reference: Soomro, Zamir and Shah 2012; the files of its web page.
    """
    check_split(split)
    labels = {}
    class_file = os.path.join(annotations, "classInd.txt")
    for number, line in enumerate(read_lines(class_file), start=1):
        parts = line.split()
        if len(parts) != 2 or not parts[0].isdigit() or int(parts[0]) != number:
            raise FileError(class_file, f"line {number}: expected '{number} ClassName'")
        labels[parts[1].lower()] = (number - 1, parts[1])
    names = tuple(name for _, name in sorted(labels.values()))
    finder = VideoFinder(root)

    def read(kind):
        path = os.path.join(annotations, f"{kind}list{split:02d}.txt")
        examples = []
        for number, line in enumerate(read_lines(path), start=1):
            listed, _, label_text = line.partition(" ")
            folder = listed.partition("/")[0].lower()
            if folder not in labels:
                raise FileError(path, f"line {number}: unknown class folder in {listed!r}")
            label = labels[folder][0]
            if label_text and label_text.strip() != str(label + 1):
                raise FileError(
                    path,
                    f"line {number}: label {label_text.strip()} for {listed}, but "
                    f"classInd.txt says {label + 1}",
                )
            group = _UCF101_GROUP.search(listed)
            examples.append(
                VideoExample(finder.find(listed), label, group and group.group(1).lower())
            )
        return tuple(examples)

    return DatasetList(f"UCF101 split {split}", names, read("train"), read("test"))


def hmdb51_list(annotations, root=None, split=1):
    """The official list of one split: 3570 training and 1530 test videos.

    A line is `video.avi N`; N is 1 for training, 2 for testing, 0 for neither.

    Args:
        annotations: folder of the files ("testTrainMulti_7030_splits").
        root: folder of the videos (class folders or flat), or None to list without
            looking for videos.
        split: 1, 2 or 3.

    Returns:
        `DatasetList`; labels are the class names in sorted order.

    Raises:
        UserError: no files of the split, or a line that makes no sense.

    Example:

    ```python
    hmdb51_list("testTrainMulti_7030_splits", split=2).counts()["test"]     # 1530
    ```

    Reference: Kuehne et al. 2011; the files of its web page.
    """
    check_split(split)
    if not os.path.isdir(annotations):
        raise UserError(f"{annotations}: no such folder; give the folder of the lists")
    found = (_HMDB51_FILE.fullmatch(name) for name in os.listdir(annotations))
    names = tuple(sorted(m.group(1) for m in found if m and m.group(2) == str(split)))
    if len(names) < 2:
        raise UserError(
            f"{annotations}: holds no files CLASS_test_split{split}.txt; give the folder "
            "testTrainMulti_7030_splits"
        )
    finder = VideoFinder(root)
    parts = {"1": [], "2": [], "0": []}
    for label, name in enumerate(names):
        path = os.path.join(annotations, f"{name}_test_split{split}.txt")
        for number, line in enumerate(read_lines(path), start=1):
            video, _, part = line.rpartition(" ")
            if part not in parts or not video:
                raise FileError(path, f"line {number}: expected 'video.avi 0|1|2'")
            path_of_video = finder.find(f"{name}/{video}")
            parts[part].append(VideoExample(path_of_video, label))
    return DatasetList(f"HMDB51 split {split}", names, tuple(parts["1"]), tuple(parts["2"]))


def thumos14_list(annotations, root=None):
    """The annotated segments: validation for training, test for testing.

    Instances of the class "Ambiguous" belong to no class and are left out. Frames outside
    all segments are background. 3007 instances in 200 and 3358 in 212 videos.

    Args:
        annotations: folder with `temporal_annotations_validation/CLASS_val.txt`,
            `temporal_annotations_test/CLASS_test.txt`.
        root: folder of the videos, or None to list without looking for videos.

    Returns:
        `DatasetList` with one example per segment (`start`, `end` in seconds).

    Raises:
        UserError: a folder is missing, the two parts name different classes, or a line
            makes no sense.

    Reference: Jiang et al. 2014; the files of the challenge's web page.
    """
    finder = VideoFinder(root)
    parts, classes = [], None
    for part, suffix in (("validation", "_val.txt"), ("test", "_test.txt")):
        folder = os.path.join(annotations, f"temporal_annotations_{part}")
        if not os.path.isdir(folder):
            raise UserError(
                f"{folder}: no such folder; give the folder that holds the temporal "
                "annotations of both parts"
            )
        names = sorted(
            name.removesuffix(suffix)
            for name in os.listdir(folder)
            if name.endswith(suffix) and not name.startswith(_AMBIGUOUS)
        )
        if classes is not None and names != classes:
            raise UserError(
                f"{folder}: its classes differ from those of the validation part; fetch "
                "the annotations again"
            )
        classes = names
        examples = []
        for label, name in enumerate(names):
            for video, start, end in _segments(os.path.join(folder, name + suffix)):
                path = finder.find(video)
                examples.append(VideoExample(path, label, video, start, end))
        parts.append(tuple(examples))
    if len(classes) < 2:
        raise UserError(f"{annotations}: holds no CLASS_val.txt files; fetch them again")
    return DatasetList("THUMOS14", tuple(classes), *parts)


def _segments(path):
    segments = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            video, start, end = line.split()
            segment = video, float(start), float(end)
        except ValueError:
            raise FileError(path, f"line {number}: expected 'video start end'") from None
        if not 0 <= segment[1] < segment[2]:
            raise FileError(path, f"line {number}: a segment ends after it starts")
        segments.append(segment)
    return segments


def activitynet_list(annotations, root=None):
    """The annotated segments: subset "training" for training, "validation" for testing.

    Args:
        annotations: activity_net.v1-2.min.json.
        root: folder of the videos (files or folders of frames), named by their identifier
            with or without the prefix `v_`, or None to list without looking for videos.

    Returns:
        `DatasetList` with one example per segment (`start`, `end` in seconds); 4819 and
        2383 videos, 100 classes in sorted order.

    Raises:
        UserError: the file is missing, no JSON, or an entry of it makes no sense.

    Reference: Caba Heilbron et al. 2015; the file of its web page.
    """
    try:
        with open(annotations, encoding="utf-8") as file:
            database = json.load(file)["database"]
    except FileNotFoundError:
        raise FileError(annotations, "no such file; give the official JSON file") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise FileError(annotations, f"is not ActivityNet's JSON file ({error})") from None
    finder = VideoFinder(root)
    rows = {"training": [], "validation": []}
    for identifier, entry in database.items():
        try:
            if entry["subset"] not in rows:
                continue  # The labels of "testing" were never published.
            for annotation in entry["annotations"]:
                start, end = (float(value) for value in annotation["segment"])
                rows[entry["subset"]].append((identifier, annotation["label"], start, end))
        except (KeyError, TypeError, ValueError):
            raise FileError(
                annotations, f"the entry {identifier!r} lacks subset, label or segment"
            ) from None
    names = tuple(sorted({row[1] for part in rows.values() for row in part}))
    labels = {name: label for label, name in enumerate(names)}

    @functools.cache
    def path_of(identifier):
        path = finder.find(f"v_{identifier}")
        if root is None or is_video_path(path):
            return path
        other = finder.find(identifier)
        return other if is_video_path(other) else path

    parts = (
        tuple(
            VideoExample(path_of(identifier), labels[name], identifier, start, end)
            for identifier, name, start, end in rows[subset]
        )
        for subset in ("training", "validation")
    )
    return DatasetList("ActivityNet v1.2", names, *parts)
