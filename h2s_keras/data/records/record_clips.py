"""Clips of packed records as a `tf.data.Dataset`, without Python inside.

Training is a stream of examples numbered 0, 1, 2, ... as in `clips`: example `i` is a
function of `(seed, i)` alone. Records are found by an index of offsets, so order, resuming
and sharing between processes need no shuffle buffer and no reading ahead.
"""

import numpy as np

from h2s_keras.data.clips.crops import CENTRE_SCALE, centre_crop_box, random_crop_box
from h2s_keras.data.clips.sampling import (
    StatelessDraws,
    even_clip_starts,
    process_batch_size,
)
from h2s_keras.data.records.data_service import distribute
from h2s_keras.data.records.record_format import crop_flows, crop_jpegs, stored_frames
from h2s_keras.errors import FileError, UserError
from h2s_keras.process import usable_cores

CONTENTS = ("clips", "flow", "both")
_RATIOS = (8, 4, 2, 1)


class RecordClips:
    """Makes data sets of clips from the examples of a `RecordIndex`.

    Args:
        index: `RecordIndex`.
        examples: examples of it, as from `index.examples`.
        sampling: `ClipSampling`.
        augment: `ClipAugmentation`.
        contents: "clips"; "flow", the stored flow alone; or "both".
        num_parallel_calls: clips read at a time; None for as many as there are usable
            cores. What comes out is the same.

    Raises:
        UserError: arguments make no sense, no flow was stored, or an example is too short.

    Example:

    ```python
    index = read_index("packed/ucf101")
    sampling, augment = ClipSampling(11), ClipAugmentation((224, 224))
    clips = RecordClips(index, index.examples(part="train"), sampling, augment)
    batch, labels = next(iter(clips.training(batch_size=8)))
    ```
    """

    def __init__(
        self,
        index,
        examples,
        sampling,
        augment,
        contents="clips",
        num_parallel_calls=None,
    ):
        self.index, self.examples = index, list(examples)
        self.sampling, self.augment, self.contents = sampling, augment, contents
        self.image_size = tuple(int(side) for side in augment.image_size)
        if num_parallel_calls is None:
            num_parallel_calls = usable_cores()
        self.num_parallel_calls = num_parallel_calls
        self._check()
        self._ratio = 1 if contents != "clips" else self._jpeg_ratio()
        counts = [len(example["offsets"]) for example in self.examples]
        self._tables = {
            "shard": [example["shard"] for example in self.examples],
            "label": [example["label"] for example in self.examples],
            "frames": [example["frames"] for example in self.examples],
            "height": [example["height"] for example in self.examples],
            "width": [example["width"] for example in self.examples],
            "first_offset": np.cumsum([0, *counts[:-1]]),
        }
        self._offsets = np.concatenate([example["offsets"] for example in self.examples])

    def training(
        self,
        batch_size,
        start_step=0,
        seed=0,
        process=0,
        processes=1,
        steps=None,
        service=None,
        on_error=None,
    ):
        """The endless stream of batches, from a step on.

        Args:
            batch_size: examples of the global batch.
            start_step: first batch.
            seed: 0 or above.
            process, processes: this process gets its rows of every global batch.
            steps: end after so many batches; None: never.
            service: `grpc://host:port` of a tf.data service that prepares the batches,
                which may then come in another order, see `data_service`.
            on_error: as `data_service.distribute`.

        Returns:
            `tf.data.Dataset` of `(clips, labels)`, `(flow, labels)` or `({"clip", "flow"},
            labels)`: clips uint8 (rows, num_frames, height, width, 3), flow float32 (rows,
            num_frames - 1, height, width, 2) in pixels of `image_size`, labels int32; with
            segments these stand after the rows.
        """
        import tensorflow as tf

        plain = tf.autograph.experimental.do_not_convert
        rows = process_batch_size(batch_size, process, processes)
        if seed < 0 or start_step < 0:
            raise UserError(
                f"`seed` and `start_step` must be 0 or more. Received: {seed}, {start_step}"
            )
        stop = tf.int64.max if steps is None else start_step + steps
        batches = tf.data.Dataset.range(start_step, stop)

        def numbers(batch):
            first = batch * batch_size + process * rows
            return tf.data.Dataset.range(first, first + rows)

        # The batch, not the example, is what a data service hands to a worker.
        dataset = batches.flat_map(plain(numbers)).map(
            plain(lambda number: self._training_clip(number, seed)),
            num_parallel_calls=self.num_parallel_calls,
            deterministic=True,
        )
        dataset = dataset.batch(rows, drop_remainder=True)
        if service:
            dataset = distribute(dataset, service, on_error=on_error)
        count = tf.data.INFINITE_CARDINALITY if steps is None else steps
        return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1)

    def testing(self, batch_size, clips_per_video=1):
        """Finite batches in the order of the examples: even clips, centre crop.

        Returns:
            `tf.data.Dataset` of (clips, flow or both as `training`, labels, int32 places in
            `examples`); the last batch may be smaller.
        """
        import tensorflow as tf

        plain = tf.autograph.experimental.do_not_convert
        if batch_size < 1 or clips_per_video < 1:
            raise UserError("`batch_size` and `clips_per_video` must be 1 or more")
        clip = (self.sampling.num_frames, self.sampling.stride, clips_per_video)
        starts = [even_clip_starts(item["frames"], *clip) for item in self.examples]
        starts = np.stack(starts)
        dataset = tf.data.Dataset.range(starts.size).map(
            plain(lambda number: self._test_clip(number, starts.ravel(), clips_per_video)),
            num_parallel_calls=self.num_parallel_calls,
            deterministic=True,
        )
        return dataset.batch(batch_size).prefetch(1)

    def names(self, batch_size, step, seed=0):
        """Names of the examples of a global batch, in its order."""
        numbers = range(step * batch_size, (step + 1) * batch_size)
        places = [int(epoch_place(n, len(self.examples), seed)) for n in numbers]
        return [self.examples[place]["name"] for place in places]

    def _training_clip(self, number, seed):
        import tensorflow as tf

        example = self._example(epoch_place(number, len(self.examples), seed))
        draw = StatelessDraws(tf, seed, number)
        frames = self.sampling.training_frames(example["frames"], draw)
        # One draw for all segments: they are views of one video.
        box = random_crop_box(self._frame_size(example), self.image_size, draw)
        mirrored, label = self.augment.mirror(example["label"], draw)
        shape = self.sampling.shape[:-1]
        return self._load(example, frames, box, shape, mirrored, draw), label

    def _test_clip(self, number, starts, clips_per_video):
        import tensorflow as tf

        place = number // clips_per_video
        example = self._example(place)
        start = tf.gather(tf.constant(starts, tf.int64), number)
        frames = self.sampling.frames_from(start, example["frames"])
        box = centre_crop_box(self._frame_size(example), self.image_size)
        clip = self._load(example, frames, box, ())
        return clip, example["label"], tf.cast(place, tf.int32)

    def _load(self, example, frames, box, shape, mirrored=False, draw=None):
        """Reads the clips at `frames`, (*shape, num_frames), cropped to `box`."""
        import tensorflow as tf

        box, loaded = tf.stack(box), {"clip": [], "flow": []}
        for clip in tf.unstack(frames, *shape) if shape else [frames]:
            jpegs, fields, missing = self._read(example, clip)
            if self.contents != "flow":
                loaded["clip"].append(crop_jpegs(jpegs, box, self.image_size, self._ratio))
            if self.contents != "clips":
                size = (example["height"], example["width"])
                flow_format = self.index.settings["flow_format"]
                loaded["flow"].append(
                    crop_flows(fields, missing, size, box, self.image_size, flow_format)
                )
        # Mirrored motion to the right goes to the left.
        signs = {"clip": tf.constant(1, tf.uint8), "flow": tf.constant([-1.0, 1.0])}
        for name, parts in loaded.items():
            if parts:
                whole = tf.concat(parts, 0)
                loaded[name] = tf.cond(
                    tf.convert_to_tensor(mirrored),
                    lambda whole=whole, sign=signs[name]: tf.reverse(whole, [-2]) * sign,
                    lambda whole=whole: whole,
                )
        if draw is not None and self.contents != "flow" and self.augment.changes_colors:
            loaded["clip"] = self.augment.colors(loaded["clip"], draw)
        loaded = {
            name: tf.reshape(whole, (*shape, -1, *whole.shape[1:]))
            for name, whole in loaded.items()
            if not isinstance(whole, list)
        }
        return loaded if self.contents == "both" else next(iter(loaded.values()))

    def _read(self, example, clip):
        """JPEGs (num_frames,), flow (num_frames - 1,), and which of it is not stored."""
        import tensorflow as tf

        per_record = self.index.settings["frames_per_record"]
        per_record = per_record or example["frames"]
        first, last = tf.reduce_min(clip), tf.reduce_max(clip)
        first, last = first // per_record, last // per_record
        offsets = tf.constant(self._offsets, tf.int64)[example["first_offset"] :]
        with_flow = self.contents != "clips"
        stored = stored_frames(example["path"], offsets, first, last, with_flow)
        jpegs, flows = stored if with_flow else (stored, None)
        local = clip - first * per_record
        if flows is None:
            return tf.ensure_shape(tf.gather(jpegs, local), clip.shape), None, None
        # Across the cut of a looped clip, and where the last frame is held, nothing moves.
        missing = clip[1:] != clip[:-1] + 1
        flows = tf.gather(flows, tf.where(missing, tf.zeros_like(local[1:]), local[:-1]))
        jpegs = tf.ensure_shape(tf.gather(jpegs, local), clip.shape)
        return jpegs, tf.ensure_shape(flows, missing.shape), missing

    def _example(self, place):
        import tensorflow as tf

        row = {
            key: tf.gather(tf.constant(values, tf.int64), place)
            for key, values in self._tables.items()
        }
        row["path"] = tf.gather(tf.constant(self.index.shard_paths()), row["shard"])
        row["label"] = tf.cast(row["label"], tf.int32)
        return row

    def _frame_size(self, example):
        # libjpeg rounds the shrunk size up.
        return [-(-example[side] // self._ratio) for side in ("height", "width")]

    def _jpeg_ratio(self):
        """The most by which every frame can be shrunk while being decoded."""
        needed = min(self.image_size) / CENTRE_SCALE
        short = min(min(item["height"], item["width"]) for item in self.examples)
        return next(r for r in _RATIOS if r == 1 or short / r >= needed)

    def _check(self):
        if not self.examples:
            raise UserError(f"{self.index.root}: no examples; check split and test_group")
        if self.num_parallel_calls < 1:
            raise UserError(
                f"`num_parallel_calls` must be 1 or more. Received: "
                f"{self.num_parallel_calls}"
            )
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise UserError(
                f"`image_size` must be (height, width). Received: {self.image_size}"
            )
        if self.contents not in CONTENTS:
            raise UserError(
                f"`contents` must be one of {CONTENTS}. Received: {self.contents!r}"
            )
        shortest = min(self.examples, key=lambda example: example["frames"])
        try:
            self.sampling.frames_from(0, shortest["frames"])
        except UserError as error:
            raise FileError(shortest["name"], error) from None
        if self.contents == "clips":
            return
        if not self.index.settings["flow"]:
            raise UserError(
                f"{self.index.root}: no flow was stored; pack with --flow, e.g. --flow tvl1"
            )
        chosen = self.sampling
        if chosen.stride != 1 or chosen.max_skip != 1 or chosen.num_frames < 2:
            raise UserError(
                "stored flow is that of neighbouring frames: it needs 2 frames or more, "
                f"stride 1 and max_skip 1. Received: {chosen.num_frames} frames, stride "
                f"{chosen.stride}, max_skip {chosen.max_skip}; pack with --stride to skip"
            )


def epoch_place(number, count, seed):
    """Which of `count` examples comes at a place of the endless stream.

    Each epoch takes every example once, in an order of its own.

    Args:
        number: int64 tensor, place in the stream.
        count: int, number of examples.
        seed: int.

    Returns:
        int64 tensor in [0, count).
    """
    import tensorflow as tf

    epoch = number // count
    seeds = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.index_shuffle(
        number % count, seeds, tf.constant(count - 1, tf.int64)
    )
