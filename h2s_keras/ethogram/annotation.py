"""What a file of labels says about one video, and how that becomes `FrameLabels`."""

import dataclasses
import re
from typing import NamedTuple

import numpy as np

from h2s_keras.errors import FileError, what_was_meant
from h2s_keras.ethogram.labels import Bout, FrameLabels
from h2s_keras.ethogram.times import FrameTimes

# Relative difference of rates that are the same but for rounding: 29.97 is not 30.
_SAME_RATE = 4e-4
# Seconds by which a container's duration and its frames may differ.
_SAME_LENGTH = 1.0


class Interval(NamedTuple):
    """A bout as a file gives it: seconds or frames as `Annotation.unit` says."""

    behavior: str
    start: float
    stop: float
    subject: str = ""


@dataclasses.dataclass
class Annotation:
    """The labels of one video in the terms of their file.

    Attributes:
        path: the file.
        video: the video's name by the file, "" where it names none.
        entry: what else the file calls these labels by, such as an observation.
        behaviors: names in the file's order.
        vocabulary: whether `behaviors` is a list that the file keeps, so that it also has
            those that this video does not show.
        matrix: int8 (frames, behaviors) of files of frames; or
        intervals: `Interval`s of files of bouts.
        unit: "seconds" or "frames" (counted from 0) of the intervals.
        origin: seconds that the file gives the first frame.
        inclusive: whether the stops in seconds are those of the last frame of a bout.
        frame_numbers: (first, stop) in frames by the file's own account, beside the
            seconds, or None each; only compared.
        frames, rate, duration: of the video by the file, or None.
        labelled: (first, stop) frames outside which nothing was labelled, or None.
        notes: what was left out or decided while reading, in words.
        problem: the error of these labels, raised once they are asked for; others of the
            same file may be sound.
    """

    path: str
    video: str = ""
    entry: str = ""
    behaviors: tuple = ()
    vocabulary: bool = False
    matrix: np.ndarray | None = None
    intervals: list = dataclasses.field(default_factory=list)
    unit: str = "seconds"
    origin: float = 0.0
    inclusive: bool = False
    frame_numbers: list = dataclasses.field(default_factory=list)
    frames: int | None = None
    rate: float | None = None
    duration: float | None = None
    labelled: tuple | None = None
    notes: list = dataclasses.field(default_factory=list)
    problem: FileError | None = None

    @property
    def name(self):
        """What people call these labels by: the observation, the video or the file."""
        return self.entry or self.video or file_name(self.path)


def file_name(path):
    """Last part of a path of any system, since files travel between them."""
    return re.split(r"[\\/]", str(path))[-1]


def same_video(first, second):
    """Whether two paths may name one video: folders and suffixes do not count."""
    first, second = file_name(first), file_name(second)
    return first == second or _stem(first) == _stem(second)


def _stem(name):
    # "mouse.001" has no suffix.
    return re.sub(r"\.(3g[p2]|[A-Za-z][A-Za-z0-9]{1,4})$", "", name)


def same_rate(first, second):
    """Whether two frame rates are one but for rounding."""
    return abs(first - second) <= _SAME_RATE * first


def resolve(
    found, video=None, times=None, frames=None, rate=None, behaviors=None, subject=None
):
    """`FrameLabels` of an `Annotation`, checked against all that is known of the video.

    Args:
        found: the `Annotation`; what had to be decided is added to its `notes`.
        video: name for the labels, or None for the file's own.
        times: `FrameTimes` of the video itself, which decide; or None.
        frames, rate: what the caller knows in their stead, or None.
        behaviors: the wanted names in order, or None for those of the file. One that a
            file with a vocabulary does not know is not labelled (-1) in it.
        subject: the one whose bouts are wanted, or None for those of all.

    Raises:
        UserError: one line with both numbers where lengths, rates or names differ, or what
            is missing to find the frames.
    """
    if found.problem is not None:
        raise found.problem
    names = _names(found, behaviors)
    rate = _rate(found, times, rate)
    count = _count(found, times, frames, rate)
    if times is None and rate is not None:
        times = FrameTimes(count, rate=rate)
    video = video or found.video
    if found.matrix is not None:
        labels = FrameLabels(video, found.behaviors, found.matrix, times)
        return labels.arranged(names, missing=-1)
    intervals = _of_subject(found, subject)
    if found.unit == "seconds" and times is None:
        raise FileError(
            found.path,
            "gives seconds, and nothing says which frames they are; give the video or its "
            "frame rate",
        )
    bouts, short = [], 0
    for interval in intervals:
        start, stop = _frames_of(found, interval, times, count)
        short += start == stop
        bouts.append(Bout(interval.behavior, start, max(stop, start + 1)))
    if short:
        noun = "bout" if short == 1 else "bouts"
        found.notes.append(f"{short} {noun} shorter than a frame made one frame long")
    _compare_numbers(found, times)
    labels = FrameLabels.from_bouts(video, names, bouts, count, times)
    if found.labelled is not None:
        first, stop = found.labelled
        labels.matrix[:first] = labels.matrix[stop:] = -1
    if found.vocabulary:
        missing = [number for number, n in enumerate(names) if n not in found.behaviors]
        labels.matrix[:, missing] = -1
    return labels


def _names(found, behaviors):
    if behaviors is None:
        return found.behaviors
    wanted = tuple(behaviors)
    shown = {interval.behavior for interval in found.intervals}
    for name in found.behaviors:
        if name not in wanted and (found.matrix is not None or name in shown):
            raise FileError(
                found.path,
                f"labels the behaviour {name!r}, which is not among the "
                f"{len(wanted)} wanted; " + what_was_meant(name, list(wanted)),
            )
    missing = [name for name in wanted if name not in found.behaviors]
    if found.vocabulary and missing:
        found.notes.append(
            f"{', '.join(missing)}: not among its {len(found.behaviors)} behaviours, so "
            "not labelled (-1)"
        )
    return wanted


def _rate(found, times, rate):
    if times is not None:
        known, whose = times.rate, "the video has"
    else:
        known, whose = rate, "was given"
    if known is None or found.rate is None:
        return known if known is not None else found.rate
    if not same_rate(known, found.rate):
        if times is None:
            raise FileError(
                found.path,
                f"is of {found.rate:g} frames per second, but {known:g} {whose}; leave the "
                "rate out, or give the video, whose time stamps decide",
            )
        found.notes.append(
            f"says {found.rate:g} frames per second and the video has {known:g}; the "
            "video's time stamps were used"
        )
    return known


def _count(found, times, frames, rate):
    count = times.frames if times is not None else frames
    if times is not None and frames is not None and frames != count:
        raise FileError(
            found.path, f"{frames} frames were given, but the video has {count}; give one"
        )
    if found.frames is not None and count is not None and found.frames != count:
        partly = found.labelled is not None and found.frames < count
        if not partly:
            raise FileError(
                found.path,
                f"labels {found.frames} frames, but the video has {count}; give the video "
                "that was labelled",
            )
    if count is not None:
        known = count / rate if rate else None
        if times is not None:
            known = times.duration
        if found.duration is not None and known is not None:
            if abs(found.duration - known) > _SAME_LENGTH:
                raise FileError(
                    found.path,
                    f"is of a video of {found.duration:g} s, but the video has "
                    f"{known:g} s; give the video that was labelled",
                )
        return count
    if found.frames is not None:
        return found.frames
    if found.duration is not None and rate is not None:
        count = max(1, round(found.duration * rate))
        found.notes.append(
            f"{count} frames were taken from its duration of {found.duration:g} s at "
            f"{rate:g} frames per second; give the video to be sure"
        )
        return count
    if rate is not None:
        missing = "how many frames the video has; give the video or its number of frames"
    elif found.duration is not None:
        missing = "the frame rate of the video; give the video or its rate"
    else:
        missing = "the frame rate and the number of frames; give the video, or both"
    raise FileError(found.path, f"does not say {missing}")


def _of_subject(found, subject):
    subjects = sorted({interval.subject for interval in found.intervals})
    if subject is None:
        if len(subjects) > 1:
            shown = ", ".join(name or "no subject" for name in subjects)
            found.notes.append(
                f"the bouts of {len(subjects)} subjects were joined ({shown}); name a "
                "subject for those of one"
            )
        return found.intervals
    if subject not in subjects and found.intervals:
        raise FileError(
            found.path, f"no bouts of {subject!r}; {what_was_meant(subject, subjects)}"
        )
    return [interval for interval in found.intervals if interval.subject == subject]


def _frames_of(found, interval, times, count):
    name, start, stop = interval[:3]
    if not start <= stop:
        raise FileError(
            found.path,
            f"a bout of {name!r} starts at {start:g} and stops before, at {stop:g}",
        )
    if found.unit == "frames":
        first, last = int(start), int(stop)
        if not 0 <= first < last <= count:
            raise FileError(
                found.path,
                f"a bout of {name!r} has frames {first} to {last - 1}, counted "
                f"from 0, but the video has {count} frames",
            )
        return first, last
    start, stop = start - found.origin, stop - found.origin
    # Programs stop the last bout at the container's end, which may lie within a frame.
    frame = 1 / times.rate
    stops = stop + frame if found.inclusive else stop
    if start < -frame or stops > times.duration + 1.5 * frame or start >= times.duration:
        raise FileError(
            found.path,
            f"a bout of {name!r} lasts from {start:g} s to {stop:g} s, but the video of "
            f"{count} frames lasts {times.duration:g} s; give the video that was labelled",
        )
    first = min(times.frame_at(start), count - 1)
    last = times.frame_at(stop) + found.inclusive
    return first, min(last, count)


def _compare_numbers(found, times):
    if times is None or times.variable:
        return
    off = 0
    for interval, numbers in zip(found.intervals, found.frame_numbers, strict=False):
        for seconds, number in zip(interval[1:3], numbers, strict=True):
            if number is not None:
                off = max(off, abs(times.frame_at(seconds) - number))
    if off > 1:
        found.notes.append(
            f"its frame numbers differ from its times by up to {off:g} frames; "
            "the times were used"
        )
