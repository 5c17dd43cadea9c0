"""Labels of a video, frame by frame and behaviour by behaviour, as bouts, and compared."""

import dataclasses
from typing import NamedTuple

import numpy as np

from h2s_keras.errors import UserError, what_was_meant
from h2s_keras.ethogram.times import FrameTimes

# Names under which files keep the absence of all behaviours.
BACKGROUND = ("background", "other", "none")


class Bout(NamedTuple):
    """Frames `start` to `stop` - 1 of one behaviour, counted from 0."""

    behavior: str
    start: int
    stop: int


def is_background(name):
    """Whether a name stands for "no behaviour" in files of labels."""
    return name.strip().lower() in BACKGROUND


def runs(mask):
    """(start, stop) of each run of true values, int (runs, 2), stops exclusive."""
    padded = np.concatenate([[False], np.asarray(mask, bool), [False]])
    return np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)


@dataclasses.dataclass(frozen=True, eq=False)
class FrameLabels:
    """Which behaviours every frame of a video shows.

    Args:
        video: name or path of the video, "" where unknown.
        behaviors: names, without one for the background, which is the absence of all.
        matrix: int (frames, behaviors): 1 shown, 0 not shown, -1 not labelled.
        times: `FrameTimes` of the video, or None where nothing says when frames are shown.

    Raises:
        UserError: other values or shapes, names that are empty or occur twice, or as many
            rows as the video has not frames.

    Example:
        >>> labels = FrameLabels("a.mp4", ("groom",), np.array([[0], [1], [1], [0]]))
        >>> labels.bouts()
        [Bout(behavior='groom', start=1, stop=3)]
    """

    video: str
    behaviors: tuple
    matrix: np.ndarray
    times: FrameTimes | None = None

    def __post_init__(self):
        names = tuple(self.behaviors)
        matrix = np.asarray(self.matrix)
        if matrix.ndim != 2 or not len(matrix):
            raise UserError(f"labels are (frames, behaviours); got shape {matrix.shape}")
        if matrix.shape[1] != len(names):
            raise UserError(
                f"labels have {matrix.shape[1]} columns, but {len(names)} "
                "behaviours are named"
            )
        for number, name in enumerate(names):
            if not name or is_background(name):
                raise UserError(
                    f"behaviour {number + 1} is named {name!r}; give it a name other than "
                    f"{', '.join(BACKGROUND)}, which mean the absence of all behaviours"
                )
            if name in names[:number]:
                raise UserError(f"the behaviour {name!r} is named twice; rename one")
        bad = np.argwhere(~np.isin(matrix, (-1, 0, 1)))
        if len(bad):
            frame, column = bad[0]
            raise UserError(
                f"frame {frame} of {names[column]!r} is "
                f"{matrix[frame, column]}; labels are 1 "
                "(shown), 0 (not shown) and -1 (not labelled)"
            )
        if self.times is not None and self.times.frames != len(matrix):
            raise UserError(
                f"{len(matrix)} frames are labelled, but the video has "
                f"{self.times.frames}; give the video that the labels belong to"
            )
        object.__setattr__(self, "behaviors", names)
        object.__setattr__(self, "matrix", matrix.astype("int8"))

    @classmethod
    def from_bouts(cls, video, behaviors, bouts, frames, times=None):
        """Labels from bouts; frames outside all bouts of a behaviour are 0.

        Bouts of one behaviour that touch or overlap become one.

        Args:
            video, behaviors, times: as for `FrameLabels`.
            bouts: list of `Bout`, or (behavior, start, stop) in frames, stops exclusive.
            frames: number of frames of the video.

        Raises:
            UserError: an unknown behaviour, or a bout that is empty or outside the video.
        """
        matrix = np.zeros((frames, len(behaviors)), "int8")
        column = {name: number for number, name in enumerate(behaviors)}
        for name, start, stop in bouts:
            if name not in column:
                raise UserError(
                    f"no behaviour {name!r} among the {len(column)}; "
                    + what_was_meant(name, list(behaviors))
                )
            if not 0 <= start < stop <= frames:
                raise UserError(
                    f"a bout of {name!r} from frame {start} to before frame "
                    f"{stop}, but the video has {frames} frames, counted from 0"
                )
            matrix[start:stop, column[name]] = 1
        return cls(video, behaviors, matrix, times)

    @property
    def frames(self):
        """Number of frames."""
        return len(self.matrix)

    def bouts(self, behavior=None):
        """All bouts, or those of one behaviour, ordered by their first frame.

        A frame that is not labelled ends a bout.
        """
        wanted = self.behaviors if behavior is None else (behavior,)
        found = [
            Bout(name, int(start), int(stop))
            for name in wanted
            for start, stop in runs(self.matrix[:, self.behaviors.index(name)] == 1)
        ]
        order = {name: number for number, name in enumerate(self.behaviors)}
        return sorted(found, key=lambda bout: (bout.start, order[bout.behavior]))

    def arranged(self, behaviors, missing=0):
        """The same labels with the columns in another order.

        Args:
            behaviors: the wanted names in order, all of these labels among them.
            missing: value of behaviours that these labels do not have: 0 where they would
                have been noted, -1 where nobody looked for them.

        Raises:
            UserError: labels of a behaviour that is not in `behaviors`.
        """
        behaviors = tuple(behaviors)
        for name in self.behaviors:
            if name not in behaviors:
                raise UserError(
                    f"{self.video or 'the labels'}: the behaviour {name!r} is "
                    "not among the "
                    f"{len(behaviors)} wanted; {what_was_meant(name, list(behaviors))}"
                )
        matrix = np.full((self.frames, len(behaviors)), missing, "int8")
        for number, name in enumerate(self.behaviors):
            matrix[:, behaviors.index(name)] = self.matrix[:, number]
        return dataclasses.replace(self, behaviors=behaviors, matrix=matrix)

    def overlaps(self):
        """Numbers of the frames that show two or more behaviours, int (frames,)."""
        return np.flatnonzero((self.matrix == 1).sum(axis=1) > 1)

    def later_wins(self):
        """The same labels with one behaviour per frame: that of the bout begun last."""
        matrix = np.where(self.matrix == 1, 0, self.matrix).astype("int8")
        for bout in self.bouts():
            column = self.behaviors.index(bout.behavior)
            frames = matrix[bout.start : bout.stop]
            frames[frames == 1] = 0
            frames[:, column] = 1
        return dataclasses.replace(self, matrix=matrix)


def match_bouts(true, predicted, overlap=0.5):
    """Pairs of bouts whose temporal intersection over union is `overlap` or more.

    Each bout is in one pair at most; the pairs that overlap most are made first.

    Args:
        true, predicted: int (bouts, 2), rising starts and stops, stops exclusive.
        overlap: above 0, at most 1.

    Returns:
        int (pairs, 2), indices into `true` and `predicted`.

    Example:
        >>> match_bouts(np.array([[0, 10]]), np.array([[1, 10], [20, 30]])).tolist()
        [[0, 0]]
    """
    true, predicted = np.reshape(true, (-1, 2)), np.reshape(predicted, (-1, 2))
    pairs = []
    first = 0
    for index, (start, stop) in enumerate(true):
        while first < len(predicted) and predicted[first, 1] <= start:
            first += 1
        other = first
        while other < len(predicted) and predicted[other, 0] < stop:
            begin, end = predicted[other]
            both = min(stop, end) - max(start, begin)
            union = max(stop, end) - min(start, begin)
            if both >= overlap * union:
                pairs.append((-both / union, index, other))
            other += 1
    taken_true, taken_predicted, kept = set(), set(), []
    for _, index, other in sorted(pairs):
        if index not in taken_true and other not in taken_predicted:
            taken_true.add(index)
            taken_predicted.add(other)
            kept.append((index, other))
    return np.array(sorted(kept), int).reshape(-1, 2)


def compare_bouts(labels, predicted, overlap=0.5):
    """Counts and edge errors of the bouts of one behaviour in one video.

    Frames that are not labelled belong to no bout, neither a true nor a predicted one, and
    part a bout that they lie in. An edge at the first or last frame of a labelled stretch
    has no error: nobody saw where the bout began or ended.

    Args:
        labels: int (frames,), 1, 0 or -1.
        predicted: bool (frames,).
        overlap: as for `match_bouts`.

    Returns:
        (matched, true, predicted bouts, onset errors, offset errors); errors are int
        arrays, in frames, positive where the prediction is late.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted, bool)
    matched, true_count, predicted_count = 0, 0, 0
    onsets, offsets = [], []
    for begin, end in runs(labels != -1):
        true = runs(labels[begin:end] == 1)
        guessed = runs(predicted[begin:end])
        pairs = match_bouts(true, guessed, overlap)
        matched += len(pairs)
        true_count += len(true)
        predicted_count += len(guessed)
        for index, other in pairs:
            if true[index, 0] > 0:
                onsets.append(guessed[other, 0] - true[index, 0])
            if true[index, 1] < end - begin:
                offsets.append(guessed[other, 1] - true[index, 1])
    return matched, true_count, predicted_count, np.array(onsets), np.array(offsets)
