"""UCF101 from its official files: classInd.txt, trainlist0N.txt, testlist0N.txt."""

import os
import re

from h2s_keras.data.datasets.dataset_list import (
    DatasetList,
    VideoFinder,
    check_split,
    read_lines,
)
from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.errors import FileError

_GROUP = re.compile(r"_(g\d+)_c\d+", re.IGNORECASE)


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
            group = _GROUP.search(listed)
            examples.append(
                VideoExample(finder.find(listed), label, group and group.group(1).lower())
            )
        return tuple(examples)

    return DatasetList(f"UCF101 split {split}", names, read("train"), read("test"))
