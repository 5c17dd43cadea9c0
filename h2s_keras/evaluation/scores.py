"""Scores of videos in memory and in files of any origin, and labels: .npz, .npy, .mat."""

import dataclasses
import io
import json
import warnings

import numpy as np

from h2s_keras.errors import FileError, LabelsWarning
from h2s_keras.files import write_file

STREAMS = ("fused", "temporal", "spatial")


@dataclasses.dataclass
class VideoScores:
    """Scores of a set of videos, with all that is needed to use them again.

    Attributes:
        streams: dict of stream ("fused", "temporal", "spatial") to float32 (videos,
            classes): logits, pooled over the views of each video.
        names: str of each video, or None where a file of a neighbour has none.
        labels: int (videos,), or bool (videos, classes) where a video has several
            classes; None where unknown.
        class_names: str of each class, or None.
        protocol: how the scores were taken, in words.
        checksum: SHA-256 of the model's file, or "".
        views: dict of stream to float32 (all views, classes), or {}.
        view_videos: int (all views,), the row that a view belongs to.
        fusion: (spatial, temporal) weights that made "fused".

    Example:
        >>> logits, names = np.eye(2), ("a.mp4", "b.mp4")
        >>> scores = VideoScores({"fused": logits}, names, [0, 1], ["clap", "wave"])
        >>> scores.save("scores.npz")
        >>> VideoScores.load("scores.npz").streams["fused"].shape
        (2, 2)
    """

    streams: dict
    names: tuple = None
    labels: np.ndarray = None
    class_names: tuple = None
    protocol: str = ""
    checksum: str = ""
    views: dict = dataclasses.field(default_factory=dict)
    view_videos: np.ndarray = None
    fusion: tuple = None

    def __post_init__(self):
        shapes = {matrix.shape for matrix in self.streams.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise ValueError(f"streams are (videos, classes) of one shape; got {shapes}.")
        videos, classes = next(iter(shapes))
        for name, value, count in (
            ("names", self.names, videos),
            ("labels", self.labels, videos),
            ("class_names", self.class_names, classes),
        ):
            if value is not None and len(value) != count:
                raise ValueError(f"{name} must have {count} entries; got {len(value)}.")
        if self.labels is not None and np.ndim(self.labels) == 1 and len(self.labels):
            lowest, highest = np.min(self.labels), np.max(self.labels)
            if lowest < 0 or highest >= classes:
                raise ValueError(
                    f"labels must be 0 to {classes - 1}; got {lowest} to {highest}."
                )

    @property
    def fused(self):
        """Scores of the fused stream, or of the only one where none was fused."""
        return self.streams.get("fused", next(iter(self.streams.values())))

    def save(self, path):
        """Writes an .npz file, whole or not at all, without pickled objects.

        Raises:
            FileError: if it cannot be written.
        """
        about = {
            "format": "h2s_keras scores 1",
            "protocol": self.protocol,
            "model_sha256": self.checksum,
            "fusion": self.fusion,
        }
        arrays = {"about": np.array(json.dumps(about))}
        for name, matrix in self.streams.items():
            arrays[f"scores_{name}"] = matrix.astype("float32")
        for name, matrix in self.views.items():
            arrays[f"views_{name}"] = matrix.astype("float32")
        if self.view_videos is not None:
            arrays["view_videos"] = np.asarray(self.view_videos, "int32")
        if self.labels is not None:
            arrays["labels"] = np.asarray(self.labels)
        for name, values in (("names", self.names), ("class_names", self.class_names)):
            if values is not None:
                arrays[name] = np.array([str(value) for value in values], dtype=np.str_)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_file(path, buffer.getvalue(), FileError)

    @classmethod
    def load(cls, path):
        """Reads our .npz, and the score matrices (videos, classes) of the neighbours.

        Args:
            path: .npz of `save`, or an .npy, .npz or .mat (MATLAB 5, needs SciPy) file
                with one matrix; such a matrix becomes the stream "fused".

        Raises:
            FileError: missing, damaged, of another kind, or holding Python objects.
        """
        path = str(path)
        suffix = path.rsplit(".", 1)[-1].lower()
        if suffix not in ("npz", "npy", "mat"):
            raise FileError(path, "scores are read from .npz, .npy and .mat files")
        arrays = read_arrays(path)
        if "about" not in arrays:
            return cls({"fused": only_matrix(path, arrays)})
        try:
            about = json.loads(str(arrays["about"]))

            def texts(name):
                return tuple(arrays[name].tolist()) if name in arrays else None

            def matrices(start):
                return {
                    name.removeprefix(start): value
                    for name, value in arrays.items()
                    if name.startswith(start)
                }

            return cls(
                matrices("scores_"),
                texts("names"),
                arrays.get("labels"),
                texts("class_names"),
                about["protocol"],
                about["model_sha256"],
                matrices("views_"),
                arrays.get("view_videos"),
                about["fusion"] and tuple(about["fusion"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise FileError(path, f"is a damaged scores file ({error})") from None


def load_stream(text):
    """(VideoScores, matrix) of `FILE` or `FILE:STREAM`, e.g. "scores.npz:temporal".

    Raises:
        UserError: as `VideoScores.load`, or the file has no such stream.
    """
    path, _, stream = text.rpartition(":")
    if stream not in STREAMS or not path:
        path, stream = text, None
    scores = VideoScores.load(path)
    if stream is None:
        return scores, scores.fused
    if stream not in scores.streams:
        raise FileError(
            path, f"has no stream {stream!r}, only {', '.join(sorted(scores.streams))}"
        )
    return scores, scores.streams[stream]


def align(path, scores, reference):
    """Rows of `scores` in the order of `reference`, both VideoScores, by video name.

    Returns:
        int rows; the order as it is where either has no names.

    Raises:
        FileError: the two are not of the same videos.
    """
    count = len(next(iter(scores.streams.values())))
    wanted = len(next(iter(reference.streams.values())))
    if scores.names is None or reference.names is None:
        if count != wanted:
            raise FileError(path, f"has {count} videos, the first file {wanted}")
        return np.arange(count)
    place = {name: row for row, name in enumerate(scores.names)}
    missing = [name for name in reference.names if name not in place]
    if missing or len(place) != wanted:
        other = f", e.g. no {missing[0]}" if missing else ""
        raise FileError(path, f"is not of the same {wanted} videos as the first{other}")
    return np.array([place[name] for name in reference.names])


def align_classes(path, scores, reference):
    """Columns of `scores` in the order of `reference`, both VideoScores, by class name.

    Two models of one data set need not number its classes alike: one may follow an
    official list, the other the alphabet.

    Returns:
        int columns; the order as it is where either has no class names.

    Raises:
        FileError: the two are not of the same classes.
    """
    count, wanted = (
        next(iter(one.streams.values())).shape[1] for one in (scores, reference)
    )
    if count != wanted:
        raise FileError(path, f"has {count} classes, the first file {wanted}")
    if scores.class_names is None or reference.class_names is None:
        return np.arange(count)
    place = {name: column for column, name in enumerate(scores.class_names)}
    missing = [name for name in reference.class_names if name not in place]
    if missing:
        raise FileError(
            path, f"is not of the same classes as the first, e.g. no {missing[0]!r}"
        )
    return np.array([place[name] for name in reference.class_names])


_MATRIX_KEYS = ("scores", "score", "data", "fused")


def read_arrays(path):
    """Arrays by name of an .npz, .npy (as "scores") or .mat file, never pickled objects.

    Raises:
        FileError: missing, damaged, or holding Python objects; .mat without SciPy.
    """
    return _read_mat(path) if str(path).lower().endswith(".mat") else _read_numpy(path)


def load_labels(path, classes):
    """Labels of videos, 0-based.

    Args:
        path: our .npz; .npy or .mat of ints (videos,) or of 0/1 (videos, classes); or a
            text file whose lines end in the label, as `name label` or `name,label` (a
            header line is passed over).
        classes: how many there are. Labels from 1 to `classes` are lowered by one.

    Warns:
        LabelsWarning: neither 0 nor `classes` is among the labels of a file of others.

    Returns:
        int64 (videos,) or bool (videos, classes).

    Raises:
        UserError: the file cannot be read or a label does not exist.
    """
    path, ours = str(path), False
    suffix = path.rsplit(".", 1)[-1].lower()
    if suffix in ("npz", "npy", "mat"):
        arrays = read_arrays(path)
        ours = "about" in arrays
        found = arrays.get("labels", arrays.get("label"))
        if found is None and len(arrays) == 1:
            found = next(iter(arrays.values()))
        if found is None:
            raise FileError(path, f"has no array 'labels', only {', '.join(arrays)}")
        labels = np.asarray(found)
        if labels.ndim == 2 and 1 not in labels.shape:
            if labels.shape[1] != classes or not np.isin(labels, (0, 1)).all():
                raise FileError(path, f"labels {labels.shape} are not 0/1 x {classes}")
            return labels.astype(bool)
        labels = labels.ravel()
    else:
        labels = _text_labels(path)
    numbers = labels.dtype.kind in "biuf"
    if len(labels) == 0 or not numbers or not np.all(labels == np.round(labels)):
        raise FileError(path, "holds no whole numbers as labels")
    labels = labels.astype("int64")
    if labels.min() >= 1 and labels.max() == classes:
        labels = labels - 1
    elif 1 <= labels.min() and labels.max() < classes and not ours:
        warnings.warn(
            f"{path}: labels from {labels.min()} to {labels.max()} of {classes} classes "
            "are read as counted from 0; if they count from 1, lower each by one",
            LabelsWarning,
            stacklevel=2,
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise FileError(
            path,
            f"has labels from {labels.min()} to {labels.max()}, but the scores have "
            f"{classes} classes",
        )
    return labels


def _read_numpy(path):
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"scores": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        raise FileError(path, "no such file; check the name") from None
    except Exception as error:
        if "allow_pickle" in str(error) or "pickle" in str(error).lower():
            raise FileError(
                path,
                "holds pickled Python objects, which could run anything; save the plain "
                "matrix again (np.save(name, np.stack(scores)))",
            ) from None
        raise FileError(path, f"cannot be read as a NumPy file ({error})") from None


def _read_mat(path):
    try:
        from scipy.io import loadmat
    except ImportError:
        raise FileError(path, "reading .mat needs SciPy: pip install scipy") from None
    try:
        values = loadmat(path)
    except FileNotFoundError:
        raise FileError(path, "no such file; check the name") from None
    except NotImplementedError:
        raise FileError(path, "is a MATLAB 7.3 file; save it again with -v7") from None
    except Exception as error:
        raise FileError(path, f"cannot be read as a .mat file ({error})") from None
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    }


def only_matrix(path, arrays):
    """The one matrix float32 (videos, classes) among arrays, or a FileError."""
    found = {
        name: value
        for name, value in arrays.items()
        if value.ndim == 2 and value.dtype.kind in "fiu" and value.shape[1] > 1
    }
    for name in _MATRIX_KEYS:
        if name in found:
            found = {name: found[name]}
    if len(found) != 1:
        raise FileError(
            path,
            f"must hold one matrix (videos, classes); it holds {len(found)}: "
            f"{', '.join(found) or 'none'}",
        )
    matrix = next(iter(found.values())).astype("float32")
    if not np.isfinite(matrix).all():
        raise FileError(path, "holds scores that are not finite numbers")
    return matrix


def _text_labels(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.replace(",", " ").split() for line in file if line.strip()]
    except FileNotFoundError:
        raise FileError(path, "no such file; check the name") from None
    except UnicodeDecodeError:
        raise FileError(path, "is not a text file of labels") from None
    labels = []
    for number, words in enumerate(lines, start=1):
        try:
            labels.append(int(words[-1]))
        except ValueError:
            if number > 1:
                raise FileError(
                    path, f"line {number} does not end in a label: {words[-1]!r}"
                ) from None
    return np.array(labels, "int64")
