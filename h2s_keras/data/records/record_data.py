"""Packed records behind the interface of a training run; also stored flow for a CNN.

Batches of (flow, label) for a temporal CNN that learns on stored flow, such as the TV-L1
baseline of two-stage methods, come from records packed with `--flow tvl1`:

```python
data = RecordData({"root": "packed", "num_frames": 11, "image_size": (224, 224),
                   "contents": "flow"})
dataset = data.training(batch_size=8)   # flow (8, 10, 224, 224, 2) pixels, labels (8,)
inputs = dataset.map(lambda flow, label: (h2s.ops.flow_to_channels(flow), label))
```

The flow is cropped and resized with the clip, its values scaled by the resize, and its x
component negated where the clip is mirrored. `contents="both"` gives ({"clip", "flow"},
label). In the cut of a looped clip, and where a last frame is held, the flow is zero.
"""

from h2s_keras.data.clips.augmentation import class_augmentation
from h2s_keras.data.clips.sampling import CLIPS_PER_VIDEO, ClipSampling, given
from h2s_keras.data.datasets.sources import (
    VideoExample,
    compiled_pattern,
    group_of,
    leave_one_group_out,
)
from h2s_keras.data.records.data_service import FORGOTTEN
from h2s_keras.data.records.record_clips import RecordClips
from h2s_keras.data.records.record_index import read_index
from h2s_keras.errors import UserError


class RecordData:
    """Packed records as the data of a training run.

    Args:
        settings: dict with "root" (what `h2s data pack` wrote; also `s3://...`),
            "num_frames", "image_size" and optionally "split" (of those packed; the first),
            "test_root" (other records to test on), "group_pattern" (over names of videos)
            and "test_group" (left out of training and tested on), "clips_per_video" (of
            the test, 5), "service" (`grpc://host:port` of a tf.data service that prepares
            the training batches); "stride", "short", "segments" and "max_skip" of
            `ClipSampling`; "flip", "no_flip_classes", "flip_map", "color_jitter" and
            "rand_augment" of `ClipAugmentation`, classes by names or numbers; "contents"
            and "num_parallel_calls" of `RecordClips`.

    Raises:
        UserError: no or unfinished records, or settings that do not fit them.

    Example:

    ```python
    data = RecordData({"root": "packed", "num_frames": 11, "image_size": (224, 224)})
    clips, labels = next(iter(data.training(batch_size=8)))
    ```
    """

    def __init__(self, settings):
        self.settings = settings
        if not settings.get("root"):
            raise UserError("no records given: --set data.root=FOLDER names them")
        self.index = read_index(settings["root"])
        self.class_names = tuple(self.index.class_names)
        split = settings.get("split")
        if split == 1 and not {"1", "2", "3"} & {*map(str, self.index.splits)}:
            split = (
                None  # Recipes of split datasets name a split; synthetic clips have none.
            )
        examples = self.index.examples(split)
        self.train = [example for example in examples if example["part"] == "train"]
        self.test = [example for example in examples if example["part"] == "test"]
        self._test_index = self.index
        self._service_errors = []
        if settings.get("test_root") and settings.get("test_group") is not None:
            raise UserError(
                "data.test_root and data.test_group both say what to test on; leave one out"
            )
        if settings.get("test_root"):
            self._test_index = read_index(settings["test_root"])
            if self._test_index.class_names != self.index.class_names:
                raise UserError(
                    f"{settings['test_root']}: has other classes than {settings['root']}"
                )
            self.test = self._test_index.examples()
        if settings.get("test_group") is not None:
            self.train, self.test = self._by_group(settings)

    def training(self, batch_size, start_step=0, seed=0, process=0, processes=1):
        """The endless stream of batches, see `RecordClips.training`."""
        return self._clips(self.index, self.train).training(
            batch_size,
            start_step,
            seed,
            process,
            processes,
            service=self.settings.get("service"),
            on_error=self._service_errors.append,
        )

    def training_names(self, batch_size, step, seed=0):
        """Names of the videos of a global batch."""
        return self._clips(self.index, self.train).names(batch_size, step, seed)

    def evaluation(self, batch_size):
        """Yields the test as dicts "clip" and/or "flow", "label", "video" of arrays."""
        if not self.test:
            return
        clips = self._clips(self._test_index, self.test, segments=None)
        dataset = clips.testing(
            batch_size, self.settings.get("clips_per_video", CLIPS_PER_VIDEO)
        )
        batches = dataset.as_numpy_iterator()
        while True:
            try:
                loaded, labels, videos = next(batches)
            except StopIteration:
                return
            except Exception as error:
                explained = self.explain(error)
                if explained is None:
                    raise
                raise explained from None
            if clips.contents != "both":
                loaded = {"clip" if clips.contents == "clips" else "flow": loaded}
            yield {**loaded, "label": labels, "video": videos}

    def explain(self, error):
        """What an error of TensorFlow means for the user, or None where it means nothing.

        Args:
            error: exception that came out of a data set of this object.

        Returns:
            `UserError` that names the records or the data service, or None.
        """
        import tensorflow as tf

        if self._service_errors:
            error = self._service_errors[-1]
        if isinstance(error, UserError):
            return error
        damaged = (
            tf.errors.DataLossError,
            tf.errors.NotFoundError,
            tf.errors.OutOfRangeError,
            tf.errors.InvalidArgumentError,
        )
        lost = (tf.errors.UnavailableError, tf.errors.DeadlineExceededError)
        service = self.settings.get("service")
        forgotten = FORGOTTEN.search(str(error))
        if service and (isinstance(error, lost) or forgotten):
            return UserError(
                f"{service}: the data service was lost ({_where_it_broke(error)}); start "
                "it again on the same port, if it does not run, and go on with --resume"
            )
        # Other steps raise these, too; those of reading stand in a data set's function.
        if isinstance(error, damaged) and "IteratorGetNext" in str(error):
            return UserError(
                f"{self.settings['root']}: its records cannot be read "
                f"({_where_it_broke(error)}); look with h2s data verify records --root"
            )
        return None

    def _clips(self, index, examples, **changes):
        settings = {**self.settings, **changes}
        sampling = ("num_frames", "stride", "short", "segments", "max_skip")
        return RecordClips(
            index,
            examples,
            ClipSampling(**given(settings, sampling)),
            class_augmentation(settings, self.class_names),
            **given(settings, ("contents", "num_parallel_calls")),
        )

    @property
    def groups(self):
        """The groups of all videos; {None} where they have none."""
        return {self._group(example) for example in (*self.train, *self.test)}

    def _group(self, example):
        pattern = compiled_pattern(self.settings.get("group_pattern"))
        return example["group"] if pattern is None else group_of(example["name"], pattern)

    def _by_group(self, settings):
        everything = [*self.train, *self.test]
        items = {
            VideoExample(example["name"], place, self._group(example)): example
            for place, example in enumerate(everything)
        }
        parts = leave_one_group_out(tuple(items), settings["test_group"])
        return tuple([items[item] for item in part] for part in parts)


def _where_it_broke(error):
    """The telling part of a TensorFlow error, on one line."""
    lines = [line for line in (error.message or "").splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text.rpartition("}} ")[2].partition(" [Op:")[0].strip()
