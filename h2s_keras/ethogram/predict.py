"""Predictions of many videos as files, and figures of predictions against labels."""

import csv
import io
import os

import numpy as np

from h2s_keras.errors import FileError, UserError
from h2s_keras.ethogram.figures import measure
from h2s_keras.ethogram.formats import file_ending, write_labels
from h2s_keras.ethogram.labelled_videos import find_videos, load_labels
from h2s_keras.ethogram.labels import FrameLabels
from h2s_keras.ethogram.scorer import BehaviorScorer, Prediction, fingerprint
from h2s_keras.ethogram.times import FrameTimes
from h2s_keras.files import whole_file, write_file

BUDGET = "time_budget.csv"
_BUDGET_COLUMNS = ("video", "behavior", "bouts", "frames", "seconds", "share")


def predict_videos(videos, model, out, formats=(), lossy=False, review=False):
    """Scores videos and writes what was found, one video after the other.

    Of each video NAME: `NAME.npz` (probabilities, behaviours, starts of the frames in
    seconds), `NAME_labels.csv` (a row per frame), `NAME_bouts.csv`, and a file in each of
    `formats`; of all together `time_budget.csv`. What an earlier call with the same network
    finished is not computed again.

    Args:
        videos: paths.
        model: run folder, or `BehaviorScorer` of one.
        out: folder; made if it is missing.
        formats: names of further formats of labels, such as "boris".
        lossy: as `write_labels`.
        review: write `NAME.html`, too.

    Yields:
        Per video (path, `Prediction`, whether it was there already), or (path, `UserError`,
        False) for one that cannot be used.

    Raises:
        UserError: no such network or format, or two videos of one name.

    Example:

    ```python
    for video, found, _ in predict_videos(["a.mp4", "b.mp4"], "runs/mice", "scored"):
        print(video, found if isinstance(found, UserError) else found.labels.bouts())
    ```
    """
    scorer = model if isinstance(model, BehaviorScorer) else BehaviorScorer.from_run(model)
    mark = fingerprint(scorer.folder)
    endings = {name: file_ending(name) for name in formats}
    places = {}
    for video in videos:
        stem = os.path.splitext(os.path.basename(os.path.normpath(video)))[0]
        if stem in places:
            raise UserError(
                f"{places[stem]} and {video} would both be {stem} in {out}; predict them "
                "into different folders"
            )
        places[stem] = video
    os.makedirs(out, exist_ok=True)
    done = {}
    for stem, video in places.items():
        place = os.path.join(out, stem)
        try:
            found = read_prediction(place + ".npz", video, mark)
            known = found is not None
            found = found or scorer.predict(video)
            # What ends with the arrays is finished.
            _write_tables(place, found.labels)
            for name, ending in endings.items():
                write_labels(found.labels, place + ending, name, lossy)
            if review:
                from h2s_keras.ethogram.review import write_review

                write_review(place + ".html", video, found, scorer.rules)
            if not known:
                _write_arrays(place + ".npz", found, mark)
        except UserError as error:
            yield video, error, False
            continue
        done[video] = found.labels
        _write_budget(os.path.join(out, BUDGET), done)
        yield video, found, known


def read_prediction(path, video="", mark=None):
    """`Prediction` of a file of `predict_videos`, or None where there is none.

    Args:
        path: path of the .npz file.
        video: name for the labels.
        mark: `fingerprint` of the network that must have made it, or None for any.

    Raises:
        UserError: it is damaged, or of another network.
    """
    if not os.path.exists(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            probabilities, marks = file["probabilities"], file["shown"]
            behaviors, starts = [str(name) for name in file["behaviors"]], file["starts"]
            made_by = str(file["network"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise FileError(path, f"is damaged ({error}); remove it") from None
    if mark is not None and made_by != mark:
        raise FileError(path, "is of another network or rules; give another --out")
    times = FrameTimes.of_stamps(starts) if len(starts) > 1 else FrameTimes(1, rate=1.0)
    name = os.path.basename(os.fspath(video))
    return Prediction(probabilities, FrameLabels(name, behaviors, marks, times))


def _write_arrays(path, found, mark):
    with whole_file(path, ".npz") as temporary:
        np.savez_compressed(
            temporary,
            probabilities=found.probabilities,
            shown=found.labels.matrix,
            behaviors=np.array(found.labels.behaviors),
            starts=found.labels.times.starts[:-1],
            network=mark,
        )


def _table(path, columns, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_file(path, text.getvalue().encode())


def _write_tables(place, labels):
    write_labels(labels, place + "_labels.csv", "deepethogram")
    starts = labels.times.starts
    rows = [
        (*bout, f"{starts[bout.start]:.3f}", f"{starts[bout.stop]:.3f}")
        for bout in labels.bouts()
    ]
    columns = ("behavior", "first_frame", "stop_frame", "start_s", "stop_s")
    _table(place + "_bouts.csv", columns, rows)


def time_budget(labels):
    """Rows (behaviour, bouts, frames, seconds, share of the time) of one video."""
    lengths = np.diff(labels.times.starts)
    rows = []
    for column, name in enumerate(labels.behaviors):
        shown = labels.matrix[:, column] == 1
        seconds = lengths[shown].sum()
        rows.append((name, len(labels.bouts(name)), int(shown.sum()), seconds))
    return [(*row, row[3] / lengths.sum()) for row in rows]


def _write_budget(path, done):
    rows = [
        (video, *row[:3], f"{row[3]:.3f}", f"{row[4]:.4f}")
        for video, labels in done.items()
        for row in time_budget(labels)
    ]
    _table(path, _BUDGET_COLUMNS, rows)


def evaluate_videos(source, model=None, predictions=None, part=None):
    """Figures of predictions for labelled videos.

    Args:
        source: table or folder as for `find_videos`.
        model: run folder whose network predicts them; or
        predictions: folder of `predict_videos`.
        part: measure only the videos of this part of the table.

    Returns:
        (`Figures`, list of (path, `FrameLabels`, `Prediction`)).

    Raises:
        UserError: nothing is labelled, a prediction is missing, or behaviours differ.
    """
    if (model is None) == (predictions is None):
        raise UserError("give a run folder or a folder of predictions")
    videos = [
        one
        for one in find_videos(source)
        if one.labels and (part is None or one.part == part)
    ]
    if not videos:
        raise UserError(f"{source}: has no labelled videos of the part {part!r}")
    if model is not None:
        scorer = BehaviorScorer.from_run(model)
        found = [scorer.predict(one.video) for one in videos]
    else:
        found = [_stored(predictions, one.video) for one in videos]
    behaviors = found[0].labels.behaviors
    labels = load_labels(videos, behaviors)
    figures = measure(
        labels,
        [one.labels for one in found],
        [one.probabilities for one in found],
    )
    paths = [one.video for one in videos]
    return figures, list(zip(paths, labels, found, strict=True))


def _stored(folder, video):
    stem = os.path.splitext(os.path.basename(os.path.normpath(video)))[0]
    path = os.path.join(folder, stem + ".npz")
    found = read_prediction(path, video)
    if found is None:
        raise FileError(path, f"no such file; predict {video} into this folder first")
    return found
