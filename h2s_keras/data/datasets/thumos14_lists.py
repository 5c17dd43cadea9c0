"""THUMOS14 from its official files: temporal annotations of 20 detection classes."""

import os

from h2s_keras.data.datasets.dataset_list import DatasetList, VideoFinder, read_lines
from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.errors import FileError, UserError

AMBIGUOUS = "Ambiguous"


def thumos14_list(annotations, root=None):
    """The annotated segments: validation for training, test for testing.

    Instances of the class "Ambiguous" belong to no class and are left out. Frames outside
    all segments are background. 3007 instances in 200 and 3358 in 212 videos.

    Args:
        annotations: folder with `temporal_annotations_validation/CLASS_val.txt`,
            `temporal_annotations_test/CLASS_test.txt`.
        root: folder of the videos, or None to list without looking for videos.

    Returns:
        `DatasetList` with one example a segment (`start`, `end` in seconds).

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
            if name.endswith(suffix) and not name.startswith(AMBIGUOUS)
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
