"""Sets of labelled videos: a table, or a folder of videos with their labels beside them."""

import csv
import dataclasses
import difflib
import os

from h2s_keras.errors import FileError, UserError, what_was_meant
from h2s_keras.ethogram.annotation_files import choose, read_annotations, resolved
from h2s_keras.ethogram.split import PARTS

_COLUMNS = ("video", "labels", "group", "part")


@dataclasses.dataclass(frozen=True)
class LabelledVideo:
    """A video, where its labels are, and what it must not be parted from.

    Attributes:
        video: path of the video.
        labels: path of the file of labels, or None for a video that is not labelled.
        group: videos of one group, such as an animal, are never in different parts of a
            split. Without groups, every video is one.
        part: "train", "validation" or "test" where the table says, else None.
    """

    video: str
    labels: str | None
    group: str
    part: str | None = None


def find_videos(path):
    """The videos of a data set.

    Args:
        path: a CSV table with the columns video, labels and, if wanted, group and part
            (train, validation or test), whose paths are relative to the table; an empty
            cell of labels means a video without. Or a folder of videos in which the labels
            of `NAME.mp4` are in the file whose name begins with `NAME.`, `NAME_` or
            `NAME-`; of several, `NAME_labels.csv`.

    Returns:
        List of `LabelledVideo`, in the order of the table or of the names.

    Raises:
        UserError: one line that says which file or column is missing, or cannot be told
            apart.

    Example:

    ```python
    videos = find_videos("videos.csv")
    ```
    """
    path = os.fspath(path)
    found = _of_folder(path) if os.path.isdir(path) else _of_table(path)
    places = {}
    for one in found:
        place = os.path.realpath(one.video)
        if place in places:
            raise FileError(path, f"lists {one.video} twice; remove one")
        places[place] = one
    if not any(one.labels for one in found):
        raise FileError(path, f"has {len(found)} videos and labels of none of them")
    return found


def _of_table(path):
    if not os.path.exists(path):
        raise FileError(path, "no such file; give a table video,labels or a folder")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = list(reader)
    except (UnicodeError, csv.Error, OSError) as error:
        raise FileError(path, f"cannot be read as a UTF-8 CSV table ({error})") from None
    for column in columns:
        near = difflib.get_close_matches(column.strip().lower(), _COLUMNS, 1, 0.75)
        if column not in _COLUMNS and near:
            raise FileError(path, f"has a column {column!r}; did you mean {near[0]!r}?")
    for column in _COLUMNS[:2]:
        if column not in columns:
            raise FileError(
                path, f"has no column {column!r}, only {', '.join(columns) or 'nothing'}"
            )
    if not rows:
        raise FileError(path, "lists no videos; add lines below the header")
    folder, found = os.path.dirname(path), []
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values() or not row["video"]:
            raise FileError(path, f"line {line} has not {len(columns)} cells with a video")
        if "group" in row and not row["group"]:
            raise FileError(path, f"line {line} has no group; give every video one")
        if row.get("part") not in (None, *PARTS) and row["labels"]:
            raise FileError(
                path, f"line {line}: a part is {', '.join(PARTS)}; got {row['part']!r}"
            )
        video = os.path.join(folder, row["video"])
        labels = os.path.join(folder, row["labels"]) if row["labels"] else None
        for place in filter(None, (video, labels)):
            if not os.path.exists(place):
                raise FileError(path, f"line {line}: there is no {place}")
        group, part = row.get("group") or row["video"], row.get("part") or None
        found.append(LabelledVideo(video, labels, group, part))
    return found


def _of_folder(path):
    from h2s_keras.data.video.frame_folder import is_video_name

    names = sorted(os.listdir(path))
    stems = {}
    for name in filter(is_video_name, names):
        stem = os.path.splitext(name)[0]
        if stem in stems:
            raise FileError(
                path, f"has {stems[stem]} and {name}, whose labels cannot be told apart"
            )
        stems[stem] = name
    if not stems:
        raise FileError(path, "holds no videos; give a folder of videos or a table")
    beside = {stem: [] for stem in stems}
    for name in names:
        if is_video_name(name) or os.path.isdir(os.path.join(path, name)):
            continue
        # Of "mouse" and "mouse_1", the labels "mouse_1_labels.csv" are of the longer one.
        owners = [s for s in stems if name.startswith(tuple(s + mark for mark in "._-"))]
        if owners:
            beside[max(owners, key=len)].append(name)
    found = []
    for stem, name in stems.items():
        labels = _labels_beside(path, stem, beside[stem])
        found.append(LabelledVideo(os.path.join(path, name), labels, stem))
    return found


def _labels_beside(path, stem, names):
    if f"{stem}_labels.csv" in names:
        return os.path.join(path, f"{stem}_labels.csv")
    places = []
    for name in names:
        place = os.path.join(path, name)
        try:
            read_annotations(place)
        except UserError:
            if len(names) == 1:
                raise
        else:
            places.append(place)
    if len(places) > 1:
        raise FileError(
            path,
            f"has {len(places)} files of labels of {stem} "
            f"({', '.join(map(os.path.basename, places))}); keep one, or list them in a "
            "table",
        )
    return places[0] if places else None


def load_labels(videos, behaviors=None, notes=None):
    """Labels of the videos of a data set, all with the same behaviours in one order.

    Every video is decoded once, for the times and the number of its frames.

    Args:
        videos: list of `LabelledVideo`.
        behaviors: the wanted names in order, or None for all that occur. Where they are
            given, a behaviour that a file's own list lacks is not labelled in its video.
        notes: list that gets what was decided while reading, in words.

    Returns:
        list of `FrameLabels`, or None for a video without labels.

    Raises:
        UserError: one line; labels that do not fit their video, or lists of behaviours
            that differ, with both numbers.
    """
    chosen = [
        one.labels and choose(read_annotations(one.labels), one.labels, one.video)
        for one in videos
    ]
    names = behaviors if behaviors is not None else _common_names(chosen)
    loaded = []
    for one, annotation in zip(videos, chosen, strict=True):
        if annotation is None:
            loaded.append(None)
            continue
        said = []
        loaded.append(resolved(annotation, one.video, said, behaviors=tuple(names)))
        if notes is not None:
            notes.extend(f"{one.labels}: {note}" for note in said)
    return loaded


def _common_names(chosen):
    chosen = [annotation for annotation in chosen if annotation is not None]
    names = {}
    for annotation in chosen:
        for name in annotation.behaviors:
            names.setdefault(name, annotation)
    for annotation in chosen:
        missing = [name for name in names if name not in annotation.behaviors]
        if annotation.vocabulary and missing:
            other = names[missing[0]]
            guess = what_was_meant(missing[0], list(annotation.behaviors))
            hint = f" ({guess})" if guess.startswith("did you") else ""
            raise FileError(
                annotation.path,
                f"lists {len(annotation.behaviors)} behaviours, without {missing[0]!r} of "
                f"{other.path}, which makes {len(names)}{hint}; rename it, or name the "
                "behaviours that are wanted",
            )
    return tuple(names)
