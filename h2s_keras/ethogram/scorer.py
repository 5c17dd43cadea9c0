"""A trained ethogram network: from videos to probabilities, labels and files."""

import csv
import dataclasses
import json
import os

import numpy as np

from h2s_keras.errors import FileError, UserError
from h2s_keras.ethogram.decision import Rule, decide
from h2s_keras.ethogram.labels import FrameLabels
from h2s_keras.ethogram.times import FrameTimes
from h2s_keras.files import sha256_of, whole_file, write_file

FILE, NETWORK, HEAD, FEATURES = "ethogram.json", "network.keras", "head.keras", "features"
VIDEOS = "videos.csv"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a video shows, frame by frame.

    Attributes:
        probabilities: float32 (frames, behaviours).
        labels: `FrameLabels` of 1 and 0, by the rules of the network.
    """

    probabilities: np.ndarray
    labels: FrameLabels


class BehaviorScorer:
    """Scores behaviours frame by frame with what `h2s ethogram train` left.

    Args:
        frames: `FrameNetwork`.
        head: keras.Model of `temporal_head`.
        behaviors: names in order.
        rules: `Rule` of each behaviour.
        exclusive: whether a frame shows one behaviour at most.
        folder: run folder, where features of its videos are kept, or None.

    Example:

    ```python
    scorer = BehaviorScorer.from_run("runs/mice")
    prediction = scorer.predict("mouse7.mp4")
    print(prediction.labels.bouts("groom"))
    ```
    """

    def __init__(self, frames, head, behaviors, rules, exclusive=False, folder=None):
        self.frames, self.head = frames, head
        self.behaviors, self.rules = tuple(behaviors), list(rules)
        self.exclusive, self.folder = exclusive, folder

    @classmethod
    def from_run(cls, folder):
        """The network of a run folder.

        Raises:
            UserError: no such folder, no such network in it, or a damaged one.
        """
        import keras

        from h2s_keras.ethogram.frame_network import FrameNetwork

        record = read_record(folder)
        loaded = []
        for name in (NETWORK, HEAD):
            path = os.path.join(folder, name)
            try:
                loaded.append(keras.saving.load_model(path, compile=False))
            except Exception as error:
                reason = " ".join(str(error).split())[:200]
                raise FileError(path, f"cannot be loaded ({reason})") from error
        frames = FrameNetwork(loaded[0], record["causal"])
        rules = [Rule(**rule) for rule in record["rules"]]
        return cls(
            frames, loaded[1], record["behaviors"], rules, record["exclusive"], folder
        )

    def save(self, folder):
        """Writes network, head and rules into a run folder."""
        _save(self.frames.network, os.path.join(folder, NETWORK))
        _save(self.head, os.path.join(folder, HEAD))
        record = {
            "behaviors": list(self.behaviors),
            "rules": [dataclasses.asdict(rule) for rule in self.rules],
            "causal": self.frames.after == 0,
            "exclusive": self.exclusive,
        }
        text = json.dumps(record, indent=2) + "\n"
        write_file(os.path.join(folder, FILE), text.encode())

    def store(self, video, features, times):
        """Keeps the features of a video in the run folder."""
        place = self._place(video)
        if place is None:
            return
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with whole_file(place, ".npz") as temporary:
            np.savez(temporary, features=features, starts=times.starts)

    def _place(self, video):
        if self.folder is None or not os.path.isfile(video):
            return None
        # By content: a video may be moved, and another one may get its name.
        return os.path.join(self.folder, FEATURES, sha256_of(video)[:20] + ".npz")

    def features(self, video, keep=False):
        """(float16 features (frames, columns), `FrameTimes`) of a video.

        Args:
            video: path.
            keep: store them in the run folder, from where they are taken the next time.

        Raises:
            VideoError: it cannot be decoded. One that breaks half way is used up to there,
                with a warning, unless it is to be kept.
        """
        from h2s_keras.data.video.frame_times import DEFAULT_RATE, NotedTimes
        from h2s_keras.data.video.reading import iterate_frames
        from h2s_keras.data.video.video_info import probe_video

        place = self._place(video)
        if place is not None and os.path.exists(place):
            with np.load(place, allow_pickle=False) as file:
                return file["features"], FrameTimes.of_stamps(file["starts"][:-1])
        claimed = probe_video(video).rate
        noted = NotedTimes(video, None if os.path.isfile(video) else claimed, claimed)
        broken = "raise" if keep else "keep"
        images = iterate_frames(video, self.frames.image_size, broken, times=noted)
        found = np.concatenate(list(self.frames.frame_features(images)))
        seconds = np.array(noted.seconds)
        if len(seconds) > 1 and (np.diff(seconds) > 0).all():
            times = FrameTimes.of_stamps(seconds, claimed)
        else:
            times = FrameTimes(len(found), rate=claimed or DEFAULT_RATE)
        if keep:
            self.store(video, found, times)
        return found, times

    def probabilities(self, features):
        """float32 (frames, behaviours) from the features of a video."""
        from h2s_keras.ethogram.temporal_head import run_head

        return run_head(self.head, features, self.frames.after == 0, self.exclusive)

    def predict(self, video):
        """`Prediction` of a video, in memory that grows by about 300 bytes per frame.

        Raises:
            VideoError: it cannot be decoded.
        """
        features, times = self.features(video)
        found = self.probabilities(features)
        labels = FrameLabels(
            os.path.basename(os.fspath(video)),
            self.behaviors,
            decide(found, self.rules, self.exclusive),
            times,
        )
        return Prediction(found, labels)


def read_record(folder):
    """What `ethogram.json` of a run folder says.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = os.path.join(folder, FILE)
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder; give the folder of h2s ethogram train")
    if not os.path.exists(path):
        raise UserError(
            f"{folder}: holds no {FILE}; give a folder in which h2s ethogram train finished"
        )
    try:
        with open(path, encoding="utf-8") as file:
            record = json.load(file)
        for name in ("behaviors", "rules", "causal", "exclusive"):
            record[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(path, f"is damaged ({error!r}); train again") from None
    return record


def read_videos(folder):
    """Rows of the table of a run's videos, dicts "video", "labels", "group", "part"."""
    path = os.path.join(folder, VIDEOS)
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fingerprint(folder):
    """Text that changes with the network, the head and the rules of a run folder."""
    names = (NETWORK, HEAD, FILE)
    return "-".join(sha256_of(os.path.join(folder, name))[:16] for name in names)


def _save(model, path):
    with whole_file(path, ".keras") as temporary:
        model.save(temporary)
