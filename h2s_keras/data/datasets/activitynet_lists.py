"""ActivityNet v1.2 from its official JSON file."""

import functools
import json

from h2s_keras.data.datasets.dataset_list import DatasetList, VideoFinder
from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.data.video.frame_folder import is_video_path
from h2s_keras.errors import FileError


def activitynet_list(annotations, root=None):
    """The annotated segments: subset "training" for training, "validation" for testing.

    Args:
        annotations: activity_net.v1-2.min.json.
        root: folder of the videos (files or folders of frames), named by their identifier
            with or without the prefix `v_`, or None to list without looking for videos.

    Returns:
        `DatasetList` with one example a segment (`start`, `end` in seconds); 4819 and
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
