"""Which videos a run was trained on, kept in its folder for `h2s evaluate`."""

import json
import os

from h2s_keras.errors import FileError

FILE = "training_videos.json"


class TrainingVideos:
    """The videos that a run was trained on.

    A video is known by its file name and its size in bytes (a folder of frames by the
    number of its files), so that it is found again in a folder that was moved or is listed
    in another way. Where a size is not known, as of packed records, the folders above the
    file count as far as both paths name them.

    Args:
        records: dicts "name" (path below the folder that holds all videos), "size" (or
            None) and, for a segment, "start" and "end" in seconds.

    Example:

    ```python
    seen = TrainingVideos.of_examples(train)
    new = [example for example in examples if not seen.holds(example)]
    ```
    """

    def __init__(self, records):
        self.records = list(records)
        self._by_name = {}
        self._by_record = {json.dumps(one, sort_keys=True): one for one in self.records}
        for record in self.records:
            base = record["name"].rsplit("/", 1)[-1]
            self._by_name.setdefault(base, []).append(record)

    @classmethod
    def of_examples(cls, examples):
        """Of `VideoExample`s, or of the examples (dicts) of packed records."""
        examples = list(examples)
        if examples and isinstance(examples[0], dict):
            names = dict.fromkeys(example["name"] for example in examples)
            return cls({"name": name.replace(os.sep, "/"), "size": None} for name in names)
        paths = [os.path.abspath(example.path) for example in examples]
        try:
            root = os.path.commonpath([os.path.dirname(path) for path in paths] or [""])
        except ValueError:  # Several drives.
            root = None
        sizes = {path: video_size(path) for path in set(paths)}
        records = []
        for path, example in zip(paths, examples, strict=True):
            name = os.path.basename(path) if root is None else os.path.relpath(path, root)
            record = {"name": name.replace(os.sep, "/"), "size": sizes[path]}
            if example.start is not None:
                record.update(start=example.start, end=example.end)
            records.append(record)
        return cls(records)

    @classmethod
    def of_model(cls, path):
        """Those of the run that a model belongs to, or None where that is not known.

        Args:
            path: folder of a run, or the .keras file in it.

        Raises:
            FileError: the run's list is damaged.
        """
        path = os.fspath(path)
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        file = os.path.join(folder, FILE)
        # The name of a preset is not a path.
        if not os.path.exists(path) or not os.path.isfile(file):
            return None
        try:
            with open(file, encoding="utf-8") as stream:
                records = json.load(stream)["videos"]
            return cls({"size": None, **record} for record in records)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileError(
                file, f"cannot be read ({error!r}); delete it to measure without it"
            ) from None

    def __or__(self, other):
        """Both together, each video once."""
        return TrainingVideos({**self._by_record, **other._by_record}.values())

    def __sub__(self, other):
        """Those that the other has not, by name and size."""
        missing = self._by_record.keys() - other._by_record.keys()
        return TrainingVideos(self._by_record[key] for key in missing)

    def to_json(self):
        """What stands in the run's folder."""
        return {"videos": self.records}

    def holds(self, example):
        """Whether a `VideoExample`, or a part of its segment, was trained on."""
        for record in self._by_name.get(os.path.basename(example.path), ()):
            if _overlap(record, example) and _same_file(record, example.path):
                return True
        return False


def write_training_videos(config, data, run, say):
    """Keeps which videos a run trains on, also those of a run that it starts from.

    Args:
        config: `RunOptions`.
        data: data of the run with `train` and `test`; synthetic clips have none.
        run: `RunFolder`.
        say: function that takes a line for the user.
    """
    examples = getattr(data, "train", None)
    if examples is None:
        return  # Synthetic clips.
    before = TrainingVideos([])
    if config.model.initial:
        before = TrainingVideos.of_model(config.model.initial) or before
        if not hasattr(data, "index"):
            known = sum(before.holds(example) for example in data.test)
            if known:
                say(
                    f"warning: {known} of the {len(data.test)} test videos were in the "
                    f"training of {config.model.initial}, which this run starts from"
                )
    videos = before | TrainingVideos.of_examples(examples)
    # A run that goes on may find other videos than it began with.
    begun = TrainingVideos.of_model(run.path) or videos
    gone, new = len((begun - videos).records), len((videos - begun).records)
    if gone or new:
        say(
            f"warning: since the run began {gone} videos have gone or changed and {new} "
            "are new, so it may choose by videos that it learned from; a new run (another "
            "--out) splits them afresh"
        )
    run.write_json(FILE, (videos | begun).to_json())


def video_size(path):
    """Bytes of a video, number of files of a folder of frames; None if it is missing."""
    try:
        return len(os.listdir(path)) if os.path.isdir(path) else os.path.getsize(path)
    except OSError:
        return None


def _same_file(record, path):
    size = None if record["size"] is None else video_size(path)
    if size is not None:
        return size == record["size"]
    mine, theirs = (
        name.replace(os.sep, "/").split("/")[::-1]
        for name in (os.path.abspath(path), record["name"])
    )
    return all(one == other for one, other in zip(mine, theirs, strict=False))


def _overlap(record, example):
    if record.get("start") is None or example.start is None:
        return True
    return record["start"] < example.end and example.start < record["end"]
