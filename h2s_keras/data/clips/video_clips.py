"""Clips of labelled videos as a `tf.data.Dataset`, for training and for testing.

Training is a stream of examples numbered 0, 1, 2, ...: example `i` is a function of
`(seed, i)` alone, so a run that resumes at batch `k` sees, bit for bit, what the
uninterrupted run would have seen, however many threads decode.
"""

import functools

import numpy as np

from h2s_keras.data.clips.augmentation import ClipAugmentation
from h2s_keras.data.clips.clip_report import ClipReport
from h2s_keras.data.clips.crops import CENTRE_SCALE, centre_crop_box, crop_frames
from h2s_keras.data.clips.process_end import called_by_threads
from h2s_keras.data.clips.sampling import (
    ClipSampling,
    StatelessDraws,
    epoch_order,
    example_numbers,
    given,
    process_batch_size,
)
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import UserError, VideoError
from h2s_keras.process import usable_cores

BAD_FILE_POLICIES = ("raise", "skip", "substitute")
# What `video_clip_dataset` hands on.
_SAMPLING = ("short", "segments", "max_skip")
_AUGMENTATION = ("flip", "no_flip_classes", "flip_map", "color_jitter", "rand_augment")
_SOURCE = ("cache_bytes", "timeout", "rate")
_CLIPS = ("report", "on_bad_file", "balanced", "num_parallel_calls")
_STREAM = ("start_step", "process", "processes")


def video_clip_dataset(
    examples,
    num_frames,
    stride=1,
    image_size=(224, 224),
    batch_size=8,
    training=True,
    seed=0,
    **options,
):
    """Makes a data set of clips from labelled videos.

    For training it is endless and shuffled anew each epoch: a random clip of each video, a
    random crop and flip and what else `ClipAugmentation` is asked for, one draw for the
    whole clip, resized to `image_size`. For testing (`training=False`) it is finite and in
    the order of `examples`: `clips_per_video` evenly spaced clips each, centre crop,
    nothing random.

    Args:
        examples: `VideoExample`s, as from `class_folder_source`.
        num_frames: frames in a clip.
        stride: step between the frames of a clip.
        image_size: `(height, width)` of the clips.
        batch_size: clips in a batch, over all processes; the last batch of a test may be
            smaller.
        training: whether to shuffle, augment and repeat.
        seed: 0 or above; everything random follows from it.
        **options: `short`, `segments` and `max_skip` of `ClipSampling`; `flip`,
            `no_flip_classes`, `flip_map`, `color_jitter` and `rand_augment` of
            `ClipAugmentation`; `cache_bytes`, `timeout` and `rate` of `FrameSource`, and
            `decode_size` (see `frame_size`); `report`, `on_bad_file`, `balanced` and
            `num_parallel_calls` of `VideoClips`; for training `start_step`, `process` and
            `processes` of `VideoClips.training`, for testing `clips_per_video` (1).

    Returns:
        `tf.data.Dataset` as from `VideoClips.training` or `VideoClips.testing`.

    Raises:
        UserError: an argument makes no sense. While the data set is consumed, a bad file
            ends it under `on_bad_file="raise"`: see `ClipReport.user_errors`.

    Example:

    ```python
    examples, names = class_folder_source("gestures")
    dataset = video_clip_dataset(examples, 11, image_size=(112, 112), batch_size=4)
    clips, labels = next(iter(dataset))
    ```
    """
    known = (*_SAMPLING, *_AUGMENTATION, *_SOURCE, *_CLIPS, *_STREAM)
    unknown = set(options) - {*known, "decode_size", "clips_per_video"}
    if unknown:
        raise TypeError(f"video_clip_dataset knows no {', '.join(sorted(unknown))}")
    size = frame_size(_checked_size(image_size), options.get("decode_size"))
    clips = VideoClips(
        examples,
        ClipSampling(num_frames, stride, **given(options, _SAMPLING)),
        ClipAugmentation(image_size, **given(options, _AUGMENTATION)),
        FrameSource(size, **given(options, _SOURCE)),
        **given(options, _CLIPS),
    )
    count = options.get("clips_per_video", 1)
    if not training:
        if options.get("start_step"):
            raise UserError("a test has no step to resume from; leave `start_step` at 0")
        return clips.testing(batch_size, count)
    if count != 1:
        raise UserError(
            "training takes one clip of each video at a time; leave `clips_per_video` at 1 "
            f"or set training=False. Received: {count}"
        )
    return clips.training(batch_size, seed=seed, **given(options, _STREAM))


def frame_size(image_size, decode_size=None):
    """Size of the decoded frames that are cropped and cached.

    Args:
        image_size: `(height, width)` of the clips.
        decode_size: `(height, width)`, or the short side; by default a short side of 8/7
            of the image's (256 for 224). Frames are never enlarged at this stage unless
            both sides are given; (256, 340) is the published size.
    """
    if decode_size is not None:
        return decode_size
    return round(min(image_size) / CENTRE_SCALE)


class VideoClips:
    """Clips of labelled videos.

    Args:
        examples: `VideoExample`s.
        sampling: `ClipSampling`.
        augment: `ClipAugmentation`.
        source: `FrameSource` of frames of the size `frame_size`; one that several data sets
            share decodes once for all of them.
        report: `ClipReport` to fill, or None.
        on_bad_file: `"raise"`; `"skip"`: another video takes its place in training, and in
            testing it is left out; `"substitute"` (training only): another video of the
            same class does. A video too short or broken half way is bad, too.
        balanced: show clips of every class equally often, see `epoch_order`.
        num_parallel_calls: videos decoded at a time; None for as many as there are usable
            cores. What comes out is the same.

    Raises:
        UserError: there are no examples, or an argument makes no sense.
    """

    def __init__(
        self,
        examples,
        sampling,
        augment,
        source,
        report=None,
        on_bad_file="raise",
        balanced=False,
        num_parallel_calls=None,
    ):
        self.examples = tuple(examples)
        if not self.examples:
            raise UserError("the list of examples is empty; check the folder or the split")
        if on_bad_file not in BAD_FILE_POLICIES:
            raise UserError(
                f"`on_bad_file` must be one of {BAD_FILE_POLICIES}. "
                f"Received: {on_bad_file!r}"
            )
        if num_parallel_calls is None:
            num_parallel_calls = usable_cores()
        if num_parallel_calls < 1:
            raise UserError(
                f"`num_parallel_calls` must be 1 or more. Received: {num_parallel_calls}"
            )
        self.sampling, self.augment, self.source = sampling, augment, source
        self.image_size = _checked_size(augment.image_size)
        self.report = ClipReport() if report is None else report
        self.on_bad_file, self.balanced = on_bad_file, balanced
        self.num_parallel_calls = num_parallel_calls
        self.labels = np.array([example.label for example in self.examples], np.int32)
        self._order = functools.lru_cache(maxsize=4)(self._new_order)

    def training(self, batch_size, start_step=0, seed=0, process=0, processes=1):
        """The endless stream of batches, from a step on.

        Every epoch takes each video once, in an order of its own.

        Args:
            batch_size: clips in a batch, over all processes.
            start_step: first batch of the stream, to resume a training.
            seed: 0 or above; everything random follows from it.
            process, processes: this process gets its rows of every global batch, see
                `example_numbers`.

        Returns:
            `tf.data.Dataset` of `(clips, labels)`, uint8 (batch, num_frames, height, width,
            3) and int32 (batch,), batch being `batch_size / processes`; with segments the
            clips are (batch, segments, num_frames, height, width, 3).
        """
        import tensorflow as tf

        rows = _checked_batch(batch_size, seed, start_step, process, processes)
        shape = (*self.sampling.shape, *self.image_size, 3)

        def load(number):
            clip, label = self._python(
                lambda number: self.clip(int(number), seed),
                number,
                (tf.uint8, tf.int32),
                (shape, ()),
            )
            if self.augment.changes_colors:
                frames = tf.reshape(clip, (-1, *shape[-3:]))
                frames = self.augment.colors(frames, StatelessDraws(tf, seed, number))
                clip = tf.reshape(frames, shape)
            return clip, label

        dataset = example_numbers(batch_size, start_step, process, processes)
        dataset = self._mapped(dataset, load).batch(rows, drop_remainder=True)
        count = tf.data.INFINITE_CARDINALITY
        return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(1)

    def testing(self, batch_size, clips_per_video=1):
        """Finite batches in the order of the examples: even clips, centre crop.

        Returns:
            `tf.data.Dataset` of `(clips, labels, int32 place in examples)`; the last batch
            may be smaller.
        """
        import tensorflow as tf

        _checked_batch(batch_size)
        if clips_per_video < 1:
            raise UserError(
                f"`clips_per_video` must be 1 or more. Received: {clips_per_video}"
            )
        if self.on_bad_file == "substitute":
            raise UserError(
                'a test cannot replace a bad video by another one; use "skip" or "raise"'
            )
        shape = (None, self.sampling.num_frames, *self.image_size, 3)

        def load(index):
            return self._python(
                lambda index: self._test_clips(int(index), clips_per_video),
                index,
                (tf.uint8, tf.int32, tf.int32),
                (shape, (None,), (None,)),
            )

        count = len(self.examples)
        dataset = self._mapped(tf.data.Dataset.range(count), load)
        dataset = dataset.unbatch().batch(batch_size)
        # Files left out of a test are known only when it has run.
        if self.on_bad_file == "raise":
            count = -(-count * clips_per_video // batch_size)
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
        return dataset.prefetch(1)

    def clip(self, number, seed):
        """Training example `number` before its colours change: `(uint8 clip, int32 label)`.

        Raises:
            VideoError: the video is bad and bad ones raise.
            UserError: no video can take the place of a bad one.
        """
        candidates = self._candidates(number, seed)
        for attempt, index in enumerate(candidates):
            example, generator = self.examples[index], None

            def choose(count, example=example):
                # Called again it draws the same.
                nonlocal generator
                generator = self._generator(number, seed)
                return self._frame_numbers(example, count, generator)

            frames = self._read(example.path, choose)
            if frames is None:
                continue
            if attempt:
                self.report.add_replaced()
            # One draw for all segments: they are views of one video.
            frames = frames.reshape(-1, *frames.shape[-3:])
            clip, label = self.augment.crop_and_flip(frames, self.labels[index], generator)
            return clip.reshape(*self.sampling.shape, *clip.shape[1:]), label
        first = self.examples[candidates[0]].path
        raise UserError(
            f"none of {len(candidates)} videos can be used, the first is {first}: "
            f"{self.report.bad_files.get(first, 'bad')}"
        )

    def names(self, batch_size, step, seed=0):
        """What the examples of a global batch show, for error reports; decodes nothing.

        The paths, and the first frame where the length of the video is known by now. A
        video that turned out bad is passed over as it is in `clip`.
        """
        numbers = range(step * batch_size, (step + 1) * batch_size)
        return [self._name(number, seed) for number in numbers]

    def _name(self, number, seed):
        candidates = self._candidates(number, seed)
        known_bad = self.report.bad_files
        index = next(
            (i for i in candidates if self.examples[i].path not in known_bad), candidates[0]
        )
        example = self.examples[index]
        count = self.source.counts.get(example.path)
        if count is None or example.path in known_bad:
            return example.path
        numbers = self._frame_numbers(example, count, self._generator(number, seed))
        return f"{example.path} from frame {int(numbers.flat[0])}"

    def _read(self, path, choose):
        """Frames of a video, or None of a bad one that the policy passes over."""
        try:
            return self.source.read(path, choose)
        except VideoError as error:
            self.report.add(error)
            if self.on_bad_file == "raise":
                raise
        return None

    def _test_clips(self, index, clips_per_video):
        example, label = self.examples[index], self.labels[index]

        def choose(count):
            part = self.source.frames_of(example, count)
            return part.start + self.sampling.even_frames(len(part), clips_per_video)

        frames = self._read(example.path, choose)
        if frames is None:
            self.report.add_replaced(clips_per_video)
            frames = np.zeros((0, self.sampling.num_frames, *self.image_size, 3), np.uint8)
        box = centre_crop_box(frames.shape[2:4], self.image_size)
        clips = crop_frames(
            frames.reshape(-1, *frames.shape[2:]), box, self.image_size, False
        ).reshape(*frames.shape[:2], *self.image_size, 3)
        rows = np.ones(len(clips), np.int32)
        return clips, label * rows, np.int32(index) * rows

    def _frame_numbers(self, example, frame_count, generator):
        part = self.source.frames_of(example, frame_count)
        return part.start + self.sampling.training_frames(len(part), generator)

    def _candidates(self, number, seed):
        """Indices of the videos to try in turn for an example."""
        epoch, place = divmod(number, len(self._order(0, seed)))
        order = np.roll(self._order(epoch, seed), -place)
        if self.on_bad_file == "raise":
            return order[:1]
        if self.on_bad_file == "substitute":
            return order[self.labels[order] == self.labels[order[0]]]
        return order

    def _generator(self, number, seed):
        return np.random.default_rng([seed, 1, number])

    def _new_order(self, epoch, seed):
        generator = np.random.default_rng([seed, 0, epoch])
        return epoch_order(self.labels, generator, self.balanced)

    def _python(self, function, number, types, shapes):
        """A Python function of a number as tensors; its first error goes to the report."""
        import tensorflow as tf

        def run(number):
            try:
                return function(number)
            except UserError as error:
                self.report.error = self.report.error or error
                raise

        values = tf.numpy_function(called_by_threads(run), [number], types)
        for value, shape in zip(values, shapes, strict=True):
            value.set_shape(shape)
        return tuple(values)

    def _mapped(self, dataset, load):
        import tensorflow as tf

        return dataset.map(
            tf.autograph.experimental.do_not_convert(load),
            num_parallel_calls=self.num_parallel_calls,
            deterministic=True,
        )


def _checked_batch(batch_size, seed=0, start_step=0, process=0, processes=1):
    if batch_size < 1:
        raise UserError(f"`batch_size` must be 1 or more. Received: {batch_size}")
    if seed < 0 or start_step < 0:
        raise UserError(
            f"`seed` and `start_step` must be 0 or more. Received: {seed}, {start_step}"
        )
    return process_batch_size(batch_size, process, processes)


def _checked_size(image_size):
    image_size = tuple(int(side) for side in image_size)
    if len(image_size) != 2 or min(image_size) < 1:
        raise UserError(f"`image_size` must be (height, width). Received: {image_size}")
    return image_size
