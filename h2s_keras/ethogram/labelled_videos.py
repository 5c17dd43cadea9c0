"""Sets of labelled videos: found by a table or in a folder, and divided into parts."""

import csv
import dataclasses
import difflib
import os

import numpy as np

from h2s_keras.errors import FileError, UserError, what_was_meant
from h2s_keras.ethogram.formats import choose, read_annotations, resolved

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


PARTS = ("train", "validation", "test")
_DRAWS = 300
# Parts whose shares are off by less in all are good enough to stop at.
_CLOSE = 0.02


_CURES = (
    "label it in more groups, or divide the videos yourself in a column part of the table "
    "(train, validation, test)"
)


def draw_split(truth, groups, shares=(0.6, 0.2, 0.2), parts=PARTS, excused=(), seed=0):
    """Divides labelled videos into parts by their groups.

    Every behaviour is in each part, and among the divisions for which that holds one is
    taken whose parts have about the wanted shares of the labelled frames.

    Args:
        truth: `FrameLabels` of each video, with the same behaviours.
        groups: name of each video's group; a group is in one part only.
        shares: shares of the labelled frames, one per part; they need not sum to 1.
        parts: names of the parts.
        excused: behaviours that need not be in every part.
        seed: seed of the draws.

    Returns:
        List of part names, one per video.

    Raises:
        UserError: says in words why there is no such division: fewer groups than parts, or
            which behaviours are in too few groups.

    Example:
        >>> labels = [FrameLabels(f"{n}", ("x",), np.ones((9, 1))) for n in range(3)]
        >>> sorted(draw_split(labels, ["a", "b", "c"]))
        ['test', 'train', 'validation']
    """
    shares = np.asarray(shares, "float64")
    if len(shares) != len(parts) or not (shares > 0).all():
        raise UserError(f"{len(parts)} parts need as many shares above 0; got {shares}")
    if len(groups) != len(truth):
        raise UserError(f"{len(truth)} labelled videos, but {len(groups)} groups")
    names = list(dict.fromkeys(groups))
    if len(names) < len(parts):
        raise UserError(
            f"{len(parts)} parts ({', '.join(parts)}) need as many groups of videos, but "
            f"there are {len(names)}; label more videos, or leave a part out"
        )
    behaviors = truth[0].behaviors
    row, shown, frames = _counted(truth, groups, names)
    needed = [index for index, name in enumerate(behaviors) if name not in excused]
    _check_enough(shown[:, needed], [behaviors[index] for index in needed], names, parts)
    assigned = _draw(shown[:, needed] > 0, frames, shares / shares.sum(), seed)
    held = _shown_in(shown > 0, assigned, len(parts))
    missing = [
        f"{behaviors[index]!r} in {parts[part]}"
        for part, index in np.argwhere(~held)
        if index in needed
    ]
    if missing:
        raise UserError(
            f"no division of {len(names)} groups was found in which all {len(needed)} "
            f"behaviours are in each of {len(parts)} parts; the best lacks "
            f"{', '.join(missing)}; {_CURES}"
        )
    return [parts[assigned[group]] for group in row]


def draw_folds(truth, groups, folds, seed=0):
    """Divides labelled videos into folds of about as many labelled frames by their groups.

    Behaviours are in as many folds as they can be.

    Args:
        truth, groups, seed: as `draw_split`. Where all videos are of one group, each video
            counts as one.
        folds: their number at most; there are not more than groups.

    Returns:
        List of the number of each video's fold, from 0.
    """
    if len(set(groups)) < 2:
        groups = range(len(truth))
    names = list(dict.fromkeys(groups))
    row, shown, frames = _counted(truth, groups, names)
    count = min(folds, len(names))
    assigned = _draw(shown > 0, frames, np.full(count, 1 / count), seed)
    return [int(assigned[group]) for group in row]


def _counted(truth, groups, names):
    """Group number per video; frames shown (groups, behaviours), and labelled (groups,)."""
    row = np.array([names.index(group) for group in groups])
    shown = np.zeros((len(names), len(truth[0].behaviors)))
    frames = np.zeros(len(names))
    for group, labels in zip(row, truth, strict=True):
        shown[group] += (labels.matrix == 1).sum(axis=0)
        frames[group] += (labels.matrix != -1).any(axis=1).sum()
    return row, shown, frames


def _check_enough(shown, behaviors, names, parts):
    few = [
        f"{name!r} is in {count} ({', '.join(names[g] for g in np.flatnonzero(column))})"
        if count
        else f"{name!r} is in none"
        for name, column in zip(behaviors, shown.T, strict=True)
        if (count := int((column > 0).sum())) < len(parts)
    ]
    if few:
        raise UserError(
            f"a behaviour has to be in {len(parts)} groups to be in each of "
            f"{', '.join(parts)}, but of {len(names)} groups {'; '.join(few)}; {_CURES}"
        )


def _shown_in(shown, assigned, parts):
    """bool (parts, behaviours), whether any group of a part shows a behaviour."""
    return np.array([shown[assigned == part].any(axis=0) for part in range(parts)])


def _draw(shown, frames, shares, seed):
    """Part number of each group: the best of many random divisions."""
    random = np.random.default_rng(seed)
    best, assigned = None, None
    for _ in range(_DRAWS):
        candidate = _one_division(shown, frames, shares, random)
        absent = int((~_shown_in(shown, candidate, len(shares))).sum())
        held = np.bincount(candidate, frames, len(shares)) / max(frames.sum(), 1)
        worth = (absent, np.abs(held - shares).sum())
        if best is None or worth < best:
            best, assigned = worth, candidate
        if best < (0, _CLOSE):
            break
    return assigned


def _one_division(shown, frames, shares, random):
    """The rarest behaviours first, each to the parts that lack it; then by share."""
    parts = len(shares)
    candidate = np.full(len(shown), -1)
    rarity = shown.sum(axis=0) + random.random(shown.shape[1])
    for behavior in np.argsort(rarity):
        for part in random.permutation(parts):
            if shown[candidate == part, behavior].any():
                continue
            free = np.flatnonzero((candidate == -1) & shown[:, behavior])
            if len(free):
                candidate[random.choice(free)] = part
    for group in random.permutation(np.flatnonzero(candidate == -1)):
        held = np.bincount(candidate[candidate >= 0], frames[candidate >= 0], parts)
        empty = np.bincount(candidate[candidate >= 0], minlength=parts) == 0
        wanting = shares - held / max(frames.sum(), 1) + 10 * empty
        candidate[group] = int(np.argmax(wanting + 0.05 * random.random(parts)))
    return candidate
