import functools

import numpy as np

from h2s_keras.data.clips.sampling import (
    clip_span,
    epoch_order,
    random_clip_indices,
    segment_clip_indices,
)
from h2s_keras.data.datasets.segments import segment_frames
from h2s_keras.errors import UserError, VideoError


class TrainingStream:
    """The endless training examples of labelled videos, numbered 0, 1, 2, ...

    Example `i` is a function of `(seed, i)` alone. Every epoch takes each video once, in
    an order of its own.

    Args:
        examples: `VideoExample`s.
        store: `VideoStore` that gives the frames.
        report: `ClipReport` to fill.
        augment: `ClipAugmentation`, or another function of (frames, label, generator).
        num_frames, stride, image_size, seed, on_bad_file, short, segments, max_skip,
            balanced: as `video_clip_dataset`.
    """

    def __init__(
        self,
        examples,
        store,
        report,
        augment,
        num_frames,
        stride,
        image_size,
        seed,
        on_bad_file,
        short,
        segments,
        max_skip,
        balanced=False,
    ):
        self.examples = examples
        self.labels = np.asarray([example.label for example in examples], np.int32)
        self.store, self.report, self.augment = store, report, augment
        self.num_frames, self.stride, self.short = num_frames, stride, short
        self.image_size, self.seed = image_size, seed
        self.on_bad_file = on_bad_file
        self.segments = None if segments == 1 else segments
        self.max_skip, self.balanced = max_skip, balanced
        self._epoch_order = functools.lru_cache(maxsize=4)(self._new_order)

    @property
    def clip_shape(self):
        """(num_frames, height, width, 3), with the segments in front if there are some."""
        parts = () if self.segments is None else (self.segments,)
        return (*parts, self.num_frames, *self.image_size, 3)

    def clip(self, number):
        """Example `number`: `(clip, label)`, uint8 of `clip_shape` and int32.

        Raises:
            VideoError: the video is bad and bad ones raise.
            UserError: no video can take the place of a bad one.
        """
        candidates = self._candidates(int(number))
        for attempt, index in enumerate(candidates):
            draw = _Draw(self, self.examples[index], number)
            try:
                frames = self.store.read(self.examples[index].path, draw)
            except VideoError as error:
                self.report.add(error)
                if self.on_bad_file == "raise":
                    raise
                continue
            if attempt:
                self.report.add_replaced()
            # One draw for all segments: they are views of one video.
            frames = frames.reshape(-1, *frames.shape[-3:])
            clip, label = self.augment(frames, self.labels[index], draw.generator)
            return clip.reshape(self.clip_shape), np.int32(label)
        first = self.examples[candidates[0]].path
        raise UserError(
            f"none of {len(candidates)} videos can be used, the first is {first}: "
            f"{self.report.bad_files.get(first, 'bad')}"
        )

    def name(self, number):
        """What example `number` shows, for error reports; decodes nothing.

        The path, and the first frame where the length of the video is known by now. A
        video that turned out bad is passed over as it is in `clip`.
        """
        candidates = self._candidates(int(number))
        known_bad = self.report.bad_files
        index = next(
            (i for i in candidates if self.examples[i].path not in known_bad), candidates[0]
        )
        example = self.examples[index]
        count = self.store.counts.get(example.path)
        if count is None or example.path in known_bad:
            return example.path
        numbers = self.frame_numbers(example, self._generator(number), count)
        return f"{example.path} from frame {int(numbers.flat[0])}"

    def frame_numbers(self, example, generator, frame_count):
        """Draws the frames of an example: int64 (num_frames,) or (segments, num_frames)."""
        first, length = segment_frames(
            example, frame_count, self.store.rate, self.store.indices.get(example.path)
        )
        stride = self.stride
        if self.max_skip > 1:
            most = self.max_skip
            if self.short == "refuse":
                span = clip_span(self.num_frames, self.stride)
                most = max(1, min(most, (length - 1) // max(1, span - 1)))
            stride *= int(generator.integers(1, most + 1))
        if self.segments is None:
            return first + random_clip_indices(
                length, self.num_frames, stride, generator, self.short
            )
        return first + segment_clip_indices(
            length, self.num_frames, stride, self.segments, generator, self.short
        )

    def _candidates(self, number):
        """Indices of the videos to try in turn for an example."""
        epoch, place = divmod(number, len(self._epoch_order(0)))
        order = np.roll(self._epoch_order(epoch), -place)
        if self.on_bad_file == "raise":
            return order[:1]
        if self.on_bad_file == "substitute":
            return order[self.labels[order] == self.labels[order[0]]]
        return order

    def _generator(self, number):
        return np.random.default_rng([self.seed, 1, int(number)])

    def _new_order(self, epoch):
        generator = np.random.default_rng([self.seed, 0, epoch])
        return epoch_order(self.labels, generator, self.balanced)


class _Draw:
    """Chooses the frames of one example; called again it chooses the same."""

    def __init__(self, stream, example, number):
        self.stream, self.example, self.number = stream, example, number
        self.generator = None

    def __call__(self, frame_count):
        self.generator = self.stream._generator(self.number)
        return self.stream.frame_numbers(self.example, self.generator, frame_count)
