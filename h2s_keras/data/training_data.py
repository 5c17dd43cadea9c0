"""What a training run reads, behind one small interface: synthetic clips or videos.

A data object has
- `class_names`;
- `training(batch_size, start_step, seed, process, processes)`: an endless dataset of
  (clips, labels) that continues exactly at a step. `batch_size` is that of the global
  batch; process `p` of `P` gets its rows `p * B / P` to `(p + 1) * B / P` of each. With
  "segments" the clips are (batch, segments, time, height, width, 3);
- `training_names(batch_size, step, seed)`: what the clips of one global batch show;
- `explain(error)`: the UserError that an exception of these datasets means, or None;
- `evaluation(batch_size)`: finite batches as dicts of NumPy arrays: "clip", "label", and
  where they are known "flow", "video" (number of the video) and for synthetic clips
  "motion" and "appearance". Always single clips.
"""

import itertools

from h2s_keras.data.clips.sampling import example_numbers, process_batch_size
from h2s_keras.data.records.record_data import RecordData
from h2s_keras.data.synthetic.action_clips import SyntheticClips
from h2s_keras.data.synthetic.moving_layers import MovingLayerClips
from h2s_keras.data.video_data import VideoData
from h2s_keras.errors import UserError
from h2s_keras.options import DataOptions


def make_data(options):
    """The data object of `DataOptions`, or of a dict of them, by their kind.

    Raises:
        UserError: for an option that is not valid for the kind, or data that cannot be had.
    """
    options = DataOptions.of(options)
    kind, settings = options.kind, options.given()
    if kind == "synthetic":
        return SyntheticData(settings)
    if kind == "moving_layers":
        return SyntheticData(settings, MovingLayerClips)
    if kind == "records":
        return RecordData(settings)
    return VideoData(settings, kind)


# Of synthetic clips for tests, which are kept once made.
_KEPT_BYTES = 2**28


class SyntheticData:
    """Synthetic clips; the held-out ones come from a stream of their own.

    Args:
        settings: dict with "num_frames", "image_size", "seed", "test_count" and
            optionally "segments" (a clip of so many times `num_frames` frames is cut into
            them), "targets" ("flow": true flow instead of labels) and other arguments
            of the clips.
        clips: the class of the clips, `SyntheticClips` or `MovingLayerClips`.
    """

    def __init__(self, settings, clips=SyntheticClips):
        settings, self.clips = dict(settings), clips
        self.class_names = clips.class_names
        self.test_count = settings.pop("test_count")
        segments = settings.pop("segments", None)
        self.segments = None if segments == 1 else segments
        if self.segments is not None and self.segments < 1:
            raise UserError(f"data.segments must be 1 or more; received {segments}")
        self.targets = settings.pop("targets", "label")
        self.settings, self._streams, self._tested = settings, {}, {}
        self.image_size = settings["image_size"]
        self.test_clips = clips(split="test", **settings)

    def training(self, batch_size, start_step=0, seed=0, process=0, processes=1):
        import tensorflow as tf

        numbers = example_numbers(batch_size, start_step, process, processes)
        rows = process_batch_size(batch_size, process, processes)
        dataset = self._stream(seed).dataset(rows, numbers=numbers, targets=self.targets)
        if self.segments is None:
            return dataset
        frames, size = self.settings["num_frames"], self.settings["image_size"]
        shape = (rows, self.segments, frames, *size, 3)
        return dataset.map(lambda clips, labels: (tf.reshape(clips, shape), labels))

    def _stream(self, seed):
        """The clips of a stage; kept, since a pool of them is costly to make."""
        if seed not in self._streams:
            settings = {**self.settings, "seed": self.settings["seed"] + seed}
            settings["num_frames"] *= self.segments or 1
            self._streams[seed] = self.clips(**settings)
        return self._streams[seed]

    def of_pairs(self):
        """The same kind of clips, of two frames each and without segments."""
        settings = {**self.settings, "num_frames": 2, "test_count": self.test_count}
        return SyntheticData(settings, self.clips)

    def held_out_pairs(self, count):
        """As `evaluation`, single test clips, at most `count`."""
        return itertools.islice(self.evaluation(1), count)

    def explain(self, error):
        """None: a synthetic clip cannot go wrong by what a user did."""
        return None

    def training_names(self, batch_size, step, seed=0):
        first = step * batch_size
        return [f"synthetic clip {first + row}" for row in range(batch_size)]

    def evaluation(self, batch_size):
        if batch_size in self._tested:
            yield from self._tested[batch_size]
            return
        dataset = self.test_clips.dataset(batch_size, self.test_count, with_flow=True)
        kept, size = [], 0
        for batch in dataset.as_numpy_iterator():
            size += sum(array.nbytes for array in batch.values())
            # A run measures after every stage, and the clips are always the same.
            if size <= _KEPT_BYTES:
                kept.append(batch)
            else:
                kept.clear()
            yield batch
        if kept:
            self._tested = {batch_size: kept}
