"""HMDB51 from its official files: CLASS_test_splitN.txt."""

import os
import re

from h2s_keras.data.datasets.dataset_list import (
    DatasetList,
    VideoFinder,
    check_split,
    read_lines,
)
from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.errors import FileError, UserError

_NAME = re.compile(r"(.+)_test_split([123])\.txt")


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
    found = (_NAME.fullmatch(name) for name in os.listdir(annotations))
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
