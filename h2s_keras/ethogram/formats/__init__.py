"""Labels in the twelve formats that are read and written, recognised by their content.

What is written is read back and compared frame by frame.
"""

import csv
import dataclasses
import json
import os

import numpy as np

from h2s_keras.errors import FileError, UserError, what_was_meant
from h2s_keras.ethogram.annotation import resolve, same_rate, same_video
from h2s_keras.ethogram.formats.boris import BORIS, BORIS_AGGREGATED, BORIS_TABULAR
from h2s_keras.ethogram.formats.caltech import BENTO, CALTECH
from h2s_keras.ethogram.formats.elan import ELAN
from h2s_keras.ethogram.formats.label_json import ACTIVITYNET, CALMS21, FERAL
from h2s_keras.ethogram.formats.label_tables import DEEPETHOGRAM, OBSERVER, VTRACE
from h2s_keras.ethogram.formats.text import read_text
from h2s_keras.files import write_file

_JSON = (BORIS, FERAL, ACTIVITYNET, CALMS21)
# In the order in which they are tried; a plain table of 0 and 1 comes last.
_TEXT = (
    BENTO,
    CALTECH,
    ELAN,
    VTRACE,
    BORIS_AGGREGATED,
    BORIS_TABULAR,
    OBSERVER,
    DEEPETHOGRAM,
)
FORMATS = {
    kind.name: kind
    for kind in (
        DEEPETHOGRAM,
        BORIS,
        BORIS_TABULAR,
        BORIS_AGGREGATED,
        VTRACE,
        FERAL,
        CALMS21,
        BENTO,
        CALTECH,
        OBSERVER,
        ELAN,
        ACTIVITYNET,
    )
}


def format_named(name):
    """The `Format` of a name.

    Raises:
        UserError: no such format; the text lists all.
    """
    if name not in FORMATS:
        raise UserError(f"no format {name!r}; {what_was_meant(name, list(FORMATS))}")
    return FORMATS[name]


def file_ending(name):
    """How names of files in a format end that are called after a video, as _feral.json."""
    kind = format_named(name)
    return kind.endings[0] if kind.endings else f"_{name}.{kind.suffix}"


def recognise(path):
    """(`Format`, content) of a file.

    Raises:
        FileError: missing, no text, damaged JSON, or none of the formats.
    """
    text = read_text(path)
    if text.lstrip()[:1] in ("{", "["):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FileError(path, f"is damaged JSON ({error})") from None
        candidates = _JSON
    else:
        content, candidates = text, _TEXT
    for kind in candidates:
        if kind.recognise(content):
            return kind, content
    titles = ", ".join(kind.title for kind in FORMATS.values())
    raise FileError(path, f"is in none of the formats of labels that are read: {titles}")


def format_for(path):
    """The format that a file of this name is written in.

    Raises:
        UserError: the name ends like several formats, or like none.
    """
    name = str(path).lower()
    endings = ((len(end), end, kind) for kind in FORMATS.values() for end in kind.endings)
    for _, end, kind in sorted(endings, key=lambda entry: -entry[0]):
        if name.endswith(end):
            return kind
    raise UserError(
        f"{path}: the name does not say the format; give one of {', '.join(FORMATS)}"
    )


def read_annotations(path):
    """What a file says about each of its videos, a list of `Annotation`.

    Raises:
        FileError: missing, damaged, or in no format that is read.
    """
    path = os.fspath(path)
    try:
        kind, content = recognise(path)
        found = kind.read(path, content)
    except csv.Error as error:
        raise FileError(path, f"is damaged as a table ({error})") from None
    for annotation in found:
        for number, name in enumerate(annotation.behaviors):
            if name in annotation.behaviors[:number]:
                raise FileError(path, f"names the behaviour {name!r} twice; rename one")
            if not name or len(name.splitlines()) != 1:
                raise FileError(path, f"names a behaviour {name!r}; give it a plain name")
    return found


def read_labels(path, video=None, entry=None, notes=None, **known):
    """Reads the labels of one video from a file in any of the formats.

    Args:
        path: the file; its format is found out by its content.
        video: path or name of the video. Where the file at that path exists, its frames
            and time stamps decide which frame a time means, and how many there are.
        entry: the video or observation to take from a file that has several, or whose
            video has another name.
        notes: list that gets what was decided or left out while reading, in words.
        **known: `times`, `frames`, `rate`, `behaviors`, `subject` as for
            `annotation.resolve`.

    Returns:
        `FrameLabels`.

    Raises:
        UserError: one line that says what does not fit, with both numbers or names.

    Example:

    ```python
    labels = read_labels("mouse1.boris", "mouse1.mp4")
    ```
    """
    chosen = choose(read_annotations(path), path, video, entry)
    return resolved(chosen, video, notes, **known)


def choose(found, path, video=None, entry=None):
    """The one `Annotation` of a file that is of a video, or that an entry names.

    Raises:
        UserError: none, or more than one.
    """
    if entry is not None:
        fitting = [one for one in found if entry in (one.entry, one.video)]
    elif video is not None:
        # A file that names no video is of whichever its user says.
        fitting = [one for one in found if not one.video or same_video(one.video, video)]
    else:
        fitting = found
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(one.name for one in (fitting or found)[:10])
    wanted = f" of {entry or os.path.basename(os.fspath(video))}" if entry or video else ""
    if not fitting:
        raise FileError(
            path, f"has no labels{wanted}, but of {names}; name one of these as the entry"
        )
    raise FileError(path, f"has {len(fitting)} sets of labels{wanted} ({names}); name one")


def resolved(annotation, video=None, notes=None, times=None, **known):
    """`FrameLabels` of an `Annotation`; the video is read for its times if it is there."""
    if times is None and video is not None and os.path.exists(video):
        from h2s_keras.ethogram.times import video_times

        rate = known.pop("rate", None)
        times = video_times(video, rate)
        if rate is not None and not same_rate(rate, times.rate):
            raise FileError(
                video,
                f"has {times.rate:g} frames per second, but {rate:g} was given; leave it "
                "out",
            )
    name = None if video is None else os.path.basename(os.fspath(video))
    labels = resolve(annotation, video=name, times=times, **known)
    if notes is not None:
        notes.extend(annotation.notes)
    return labels


def write_labels(labels, path, format=None, lossy=False):
    """Writes labels to a file, reads them back and compares them frame by frame.

    Args:
        labels: `FrameLabels`.
        path: file to write; an older one is replaced, at once and only by a whole one.
        format: name of the format, or None for the one that the file's name says.
        lossy: write what the format can hold even if that is not all: of overlapping
            behaviours the one begun last, and frames that are not labelled as not shown.

    Returns:
        List of what the file does not hold, in words; empty where it holds everything.

    Raises:
        UserError: the format cannot hold the labels, or needs the frame rate.

    Example:

    ```python
    write_labels(read_labels("mouse1.boris", "mouse1.mp4"), "mouse1.eaf")
    ```
    """
    kind = format_for(path) if format is None else format_named(format)
    kept, notes = _fitting(labels, kind, lossy)
    text = kind.write(kept)
    notes += _compare(path, kind, kept, text)
    write_file(path, text.encode(), FileError)
    return notes


def _fitting(labels, kind, lossy):
    notes = []
    if kind.seconds and labels.times is None:
        raise UserError(
            f"{kind.name} files hold seconds, and the frame rate of "
            f"{labels.video or 'the labels'} is not known; give the video or its rate"
        )
    if kind.name == "bento" and labels.times.variable:
        raise UserError(
            f"{kind.name} files count frames at one rate, but {labels.video} has frames "
            "of different lengths; use a format of seconds, such as vtrace or boris"
        )
    unlabelled = int((labels.matrix == -1).any(axis=1).sum())
    if unlabelled and not kind.unlabelled:
        text = f"{unlabelled} of {labels.frames} frames are not labelled"
        if not lossy:
            raise UserError(
                f"{text}, and {kind.name} files cannot say so; write deepethogram, or "
                "allow losses to make them frames without behaviour"
            )
        notes.append(f"{text}; they became frames without behaviour")
        matrix = np.where(labels.matrix == -1, 0, labels.matrix)
        labels = dataclasses.replace(labels, matrix=matrix)
    overlaps = labels.overlaps()
    if kind.single and len(overlaps):
        shown = np.flatnonzero(labels.matrix[overlaps[0]] == 1)
        names = ", ".join(labels.behaviors[column] for column in shown)
        text = f"{len(overlaps)} of {labels.frames} frames show several behaviours"
        if not lossy:
            raise UserError(
                f"{text} (frame {overlaps[0]}: {names}), and {kind.name} files hold 1 per "
                "frame; use another format, or allow losses to keep the one begun last"
            )
        notes.append(f"{text}; of these the one begun last was kept")
        labels = labels.later_wins()
    if kind.seconds and labels.times.variable:
        notes.append(
            "its seconds are those of a variable frame rate; read it with the video"
        )
    return labels, notes


def _compare(path, kind, labels, text):
    """What reading the text back does not give; raises where frames would differ."""
    content = json.loads(text) if text[0] == "{" else text
    if not kind.recognise(content):
        raise UserError(f"{path}: labels of this kind cannot be written as {kind.name}")
    (found,) = kind.read(os.fspath(path), content)
    back = resolve(found, labels.video, labels.times, frames=labels.frames)
    lost = [name for name in labels.behaviors if name not in back.behaviors]
    shown = [name for name in lost if labels.bouts(name)]
    new = [name for name in back.behaviors if name not in labels.behaviors]
    if shown or new:
        raise UserError(
            f"{path}: {kind.name} files cannot hold the name "
            f"{(shown or new)[0]!r}; rename the behaviour"
        )
    same = back.arranged(labels.behaviors).matrix == labels.matrix
    if not same.all():
        frame, column = np.argwhere(~same)[0]
        rate = f" at {labels.times.rate:g} frames per second" if labels.times else ""
        raise UserError(
            f"{path}: {kind.name} files cannot hold these labels{rate}: "
            f"{int((~same).any(axis=1).sum())} of {labels.frames} frames would differ, the "
            f"first is {frame} ({labels.behaviors[column]}); use another format"
        )
    if lost:
        return [
            f"{kind.name} files do not name behaviours that never occur: {', '.join(lost)}"
        ]
    return []
