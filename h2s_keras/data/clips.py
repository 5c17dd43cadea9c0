"""Clips of labelled videos as a `tf.data.Dataset`, for training and for testing.

Training is a stream of examples numbered 0, 1, 2, ...: example `i` is a function of
`(seed, i)` alone, so a run that resumes at batch `k` sees, bit for bit, what the
uninterrupted run would have seen, however many threads decode.
"""

import contextlib
import functools
import threading

import numpy as np

from h2s_keras.data.images import exact_method
from h2s_keras.data.sampling import clip_indices, even_clip_starts, random_clip_indices
from h2s_keras.data.video import iterate_frames, read_frames
from h2s_keras.errors import UserError, VideoError

CROP_SCALES = (1.0, 0.875, 0.75)
MAX_DISTORT = 1
# The paper decodes to a short side of 256 and tests on the centre 224 of it.
CENTRE_SCALE = 0.875
BAD_FILE_POLICIES = ("raise", "skip", "substitute")


def resize_frames(frames, size):
    """Resizes uint8 frames, bilinear, averaging where it shrinks.

    Args:
        frames: uint8 array (time, height, width, 3).
        size: `(height, width)` in pixels.

    Returns:
        uint8 array (time, *size, 3); `frames` itself where the size is right already.

    Raises:
        ValueError: another shape or dtype.

    Example:

    ```python
    small = resize_frames(read_frames("diving.avi"), (112, 112))
    ```
    """
    import av
    from av.video.reformatter import VideoReformatter

    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(
            "`frames` must be uint8 of the shape (time, height, width, 3). Received: "
            f"{frames.dtype} {frames.shape}"
        )
    height, width = (int(side) for side in size)
    if min(height, width) < 1:
        raise ValueError(f"`size` must be (height, width) of 1 or more. Received: {size}")
    if frames.shape[1:3] == (height, width):
        return frames
    # Passed off as Y, U and V, the channels are scaled one by one; RGB frames would
    # take a lossy way through YUV.
    planes = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    method = exact_method()
    reformatter = VideoReformatter()
    out = np.empty((len(frames), height, width, 3), np.uint8)
    for source, target in zip(planes, out, strict=True):
        frame = av.VideoFrame.from_ndarray(source, format="yuv444p")
        frame = reformatter.reformat(
            frame, width=width, height=height, interpolation=method
        )
        target[...] = frame.to_ndarray().transpose(1, 2, 0)
    return out


def random_crop_box(frame_size, image_size, generator):
    """One of the published crops: three scales a side, at a corner or the centre.

    The largest box of the shape of `image_size` is scaled by 1, 0.875 or 0.75, for height
    and width apart but no more than one step apart, and put at one of five places.

    Args:
        frame_size: `(height, width)` of the frames.
        image_size: `(height, width)` that the crop will be resized to.
        generator: `np.random.Generator`.

    Returns:
        `(top, left, height, width)` in whole pixels.
    """
    pairs = [
        (vertical, horizontal)
        for i, vertical in enumerate(CROP_SCALES)
        for j, horizontal in enumerate(CROP_SCALES)
        if abs(i - j) <= MAX_DISTORT
    ]
    height, width = _box_size(frame_size, image_size, pairs[generator.integers(len(pairs))])
    down, right = frame_size[0] - height, frame_size[1] - width
    places = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    top, left = places[generator.integers(len(places))]
    return top, left, height, width


def centre_crop_box(frame_size, image_size):
    """The centre 7/8 of the largest box of the shape of `image_size`, for testing.

    Args and returns: as `random_crop_box`.
    """
    height, width = _box_size(frame_size, image_size, (CENTRE_SCALE, CENTRE_SCALE))
    return (frame_size[0] - height) // 2, (frame_size[1] - width) // 2, height, width


def _box_size(frame_size, image_size, scales):
    fit = min(frame_size[0] / image_size[0], frame_size[1] / image_size[1])
    return tuple(
        min(whole, max(1, round(side * fit * scale)))
        for whole, side, scale in zip(frame_size, image_size, scales, strict=True)
    )


class ClipReport:
    """What went wrong while clips were read; filled as a data set is consumed.

    Attributes:
        bad_files: dict of path to reason, each bad file once.
        replaced: number of clips taken from another video, or left out, on account of
            a bad file.
        error: the `UserError` that stopped the data set, or None.

    Example:

    ```python
    report = ClipReport()
    dataset = video_clip_dataset(examples, 11, on_bad_file="skip", report=report)
    with report.user_errors():
        model.fit(dataset, steps_per_epoch=100)
    print(report.summary())
    ```
    """

    def __init__(self):
        self.bad_files = {}
        self.replaced = 0
        self.error = None
        self._lock = threading.Lock()

    def add(self, error):
        """Notes a bad file by its `VideoError`."""
        with self._lock:
            self.bad_files.setdefault(error.path, error.reason)

    def add_replaced(self, clips=1):
        """Counts clips that a bad file could not give."""
        with self._lock:
            self.replaced += clips

    def summary(self):
        """One line a bad file after a line of counts."""
        lines = [
            f"{len(self.bad_files)} bad files, {self.replaced} clips replaced or left out"
        ]
        lines += [f"{path}: {reason}" for path, reason in sorted(self.bad_files.items())]
        return "\n".join(lines)

    @contextlib.contextmanager
    def user_errors(self):
        """Raises the `UserError` itself where tf.data wrapped it in a traceback."""
        try:
            yield self
        except Exception:
            if self.error is not None:
                raise self.error from None
            raise


class _VideoStore:
    """Decodes each video once while memory lasts; later reads of others decode again."""

    def __init__(self, size, cache_bytes, timeout):
        self.size = size
        self.cache_bytes = int(cache_bytes)
        self.timeout = timeout
        self.used = 0
        self.videos = {}
        self.counts = {}
        self.errors = {}
        self.lock = threading.Lock()
        self.path_locks = {}

    def read(self, path, choose):
        """Frames at `choose(frame_count)`, int (...,), as uint8 (..., height, width, 3)."""
        with self.lock:
            path_lock = self.path_locks.setdefault(path, threading.Lock())
        with path_lock:
            if path in self.errors:
                raise self.errors[path]
            try:
                if path not in self.counts:
                    self._scan(path)
                indices = choose(self.counts[path])
                frames = self.videos.get(path)
                if frames is None:
                    needed, place = np.unique(indices, return_inverse=True)
                    read = read_frames(path, needed, size=self.size, timeout=self.timeout)
                    return read[place.reshape(indices.shape)]
            except VideoError as error:
                self.errors[path] = error
                raise
            except UserError as error:
                self.errors[path] = VideoError(path, error)
                raise self.errors[path] from None
        stacked = np.stack([frames[index] for index in indices.ravel()])
        return stacked.reshape(*indices.shape, *stacked.shape[1:])

    def _scan(self, path):
        """Counts the frames, and keeps them as long as the limit allows."""
        frames, count, held = [], 0, 0
        keep = True
        try:
            for frame in iterate_frames(path, size=self.size, timeout=self.timeout):
                count += 1
                if not keep:
                    continue
                with self.lock:
                    keep = self.used + frame.nbytes <= self.cache_bytes
                    if keep:
                        self.used += frame.nbytes
                    else:
                        self.used -= held
                if keep:
                    held += frame.nbytes
                    frames.append(frame)
                else:
                    frames, held = [], 0
        except VideoError:
            with self.lock:
                self.used -= held
            raise
        self.counts[path] = count
        if keep:
            self.videos[path] = frames


def video_clip_dataset(
    examples,
    num_frames,
    stride=1,
    image_size=(224, 224),
    batch_size=8,
    training=True,
    seed=0,
    start_step=0,
    num_parallel_calls=2,
    decode_size=None,
    flip=True,
    on_bad_file="raise",
    short="loop",
    clips_per_video=1,
    cache_bytes=1e9,
    timeout=60,
    report=None,
):
    """Makes a data set of clips from labelled videos.

    For training it is endless and shuffled anew each epoch: a random clip of each video, a
    random crop (`random_crop_box`) and a random flip, one draw for the whole clip, resized
    to `image_size`. For testing (`training=False`) it is finite and in the order of
    `examples`: `clips_per_video` evenly spaced clips each, centre crop, nothing random.

    Args:
        examples: `VideoExample`s, as from `class_folder_source`.
        num_frames: frames in a clip.
        stride: step between the frames of a clip.
        image_size: `(height, width)` of the clips.
        batch_size: clips in a batch; the last batch of a test may be smaller.
        training: whether to shuffle, augment and repeat.
        seed: 0 or above; everything random follows from it.
        start_step: first batch of the stream, to resume a training.
        num_parallel_calls: videos decoded at a time.
        decode_size: size of the decoded frames that are cropped and cached: `(height,
            width)`, or the short side; by default a short side of 8/7 of the image's (256
            for 224). Frames are never enlarged at this stage unless both sides are given.
        flip: whether to mirror half of the training clips; False where left and right
            matter.
        on_bad_file: `"raise"`; `"skip"`: another video takes its place in training, and in
            testing it is left out; `"substitute"` (training only): another video of the
            same class does. A video too short or broken half way is bad, too.
        short: `"loop"`, `"hold"` or `"refuse"` for clips longer than their video.
        clips_per_video: clips from each video when testing; 1 when training.
        cache_bytes: most memory for decoded frames; videos beyond are decoded each time.
        timeout: seconds that one video may take to decode, or None.
        report: `ClipReport` to fill, or None.

    Returns:
        `tf.data.Dataset` of `(clips, labels)`, uint8 (batch, num_frames, height, width, 3)
        and int32 (batch,); when testing of `(clips, labels, video_index)` with the int32
        place in `examples`.

    Raises:
        UserError: an argument makes no sense. While the data set is consumed, a bad file
            ends it under `"raise"`: see `ClipReport.user_errors`.

    Example:

    ```python
    examples, names = class_folder_source("gestures")
    dataset = video_clip_dataset(examples, 11, image_size=(112, 112), batch_size=4)
    clips, labels = next(iter(dataset))
    ```
    """
    import tensorflow as tf

    examples = tuple(examples)
    _check_arguments(examples, training, seed, start_step, on_bad_file, clips_per_video)
    for name, value in (("batch_size", batch_size), ("num_frames", num_frames)):
        if value < 1:
            raise UserError(f"`{name}` must be 1 or more. Received: {value}")
    image_size = tuple(int(side) for side in image_size)
    if len(image_size) != 2 or min(image_size) < 1:
        raise UserError(f"`image_size` must be (height, width). Received: {image_size}")
    # An unknown policy or stride should be told now, not from inside tf.data.
    clip_indices(0, num_frames * stride + 1, num_frames, stride, short)
    report = ClipReport() if report is None else report
    size = round(min(image_size) / CENTRE_SCALE) if decode_size is None else decode_size
    store = _VideoStore(size, cache_bytes, timeout)
    clip_shape = (num_frames, *image_size, 3)
    paths = [example.path for example in examples]
    labels = np.asarray([example.label for example in examples], np.int32)

    @functools.lru_cache(maxsize=4)
    def epoch_order(epoch):
        return np.random.default_rng([seed, 0, epoch]).permutation(len(paths))

    def training_clip(number):
        epoch, place = divmod(int(number), len(paths))
        order = np.roll(epoch_order(epoch), -place)
        if on_bad_file == "raise":
            order = order[:1]
        elif on_bad_file == "substitute":
            order = order[labels[order] == labels[order[0]]]
        for attempt, index in enumerate(order):
            generator = np.random.default_rng([seed, 1, int(number)])
            try:
                frames = store.read(
                    paths[index],
                    lambda count, generator=generator: random_clip_indices(
                        count, num_frames, stride, generator, short
                    ),
                )
            except VideoError as error:
                report.add(error)
                if on_bad_file == "raise":
                    raise
                continue
            if attempt:
                report.add_replaced()
            box = random_crop_box(frames.shape[1:3], image_size, generator)
            mirrored = flip and generator.random() < 0.5
            return _crop(frames, box, image_size, mirrored), labels[index]
        raise UserError(
            f"none of {len(order)} videos can be used, the first is "
            f"{paths[order[0]]}: {report.bad_files.get(paths[order[0]], 'bad')}"
        )

    def test_clips(index):
        def choose(count):
            starts = even_clip_starts(count, num_frames, stride, clips_per_video)
            return clip_indices(starts, count, num_frames, stride, short)

        try:
            frames = store.read(paths[index], choose)
        except VideoError as error:
            report.add(error)
            if on_bad_file == "raise":
                raise
            report.add_replaced(clips_per_video)
            return np.zeros((0, *clip_shape), np.uint8), labels[:0], labels[:0]
        box = centre_crop_box(frames.shape[2:4], image_size)
        frames = frames.reshape(-1, *frames.shape[2:])
        clips = _crop(frames, box, image_size, False).reshape(-1, *clip_shape)
        places = np.full(len(clips), index, np.int32)
        return clips, np.full(len(clips), labels[index], np.int32), places

    def noting_errors(function):
        def run(number):
            try:
                return function(number)
            except UserError as error:
                report.error = report.error or error
                raise

        return run

    if training:
        first = start_step * batch_size
        dataset = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
        run, types = noting_errors(training_clip), (tf.uint8, tf.int32)
        shapes = (clip_shape, ())
    else:
        dataset = tf.data.Dataset.range(len(paths))
        run, types = noting_errors(test_clips), (tf.uint8, tf.int32, tf.int32)
        shapes = ((None, *clip_shape), (None,), (None,))

    def load(number):
        values = tf.numpy_function(run, [number], types)
        for value, shape in zip(values, shapes, strict=True):
            value.set_shape(shape)
        return tuple(values)

    dataset = dataset.map(load, num_parallel_calls=num_parallel_calls, deterministic=True)
    if training:
        dataset = dataset.batch(batch_size, drop_remainder=True)
        cardinality = tf.data.INFINITE_CARDINALITY
    else:
        dataset = dataset.unbatch().batch(batch_size)
        cardinality = -(-len(paths) * clips_per_video // batch_size)
    # Files left out of a test are known only when it has run.
    if training or on_bad_file == "raise":
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(cardinality))
    return dataset.prefetch(1)


def _crop(frames, box, image_size, mirrored):
    top, left, height, width = box
    frames = resize_frames(frames[:, top : top + height, left : left + width], image_size)
    return np.ascontiguousarray(frames[:, :, ::-1] if mirrored else frames)


def _check_arguments(examples, training, seed, start_step, on_bad_file, clips_per_video):
    if not examples:
        raise UserError("the list of examples is empty; check the folder or the split")
    if on_bad_file not in BAD_FILE_POLICIES:
        raise UserError(
            f"`on_bad_file` must be one of {BAD_FILE_POLICIES}. Received: {on_bad_file!r}"
        )
    if seed < 0 or start_step < 0:
        raise UserError(
            f"`seed` and `start_step` must be 0 or more. Received: {seed}, {start_step}"
        )
    if clips_per_video < 1:
        raise UserError(f"`clips_per_video` must be 1 or more. Received: {clips_per_video}")
    if training and clips_per_video != 1:
        raise UserError(
            "training takes one clip of each video at a time; leave `clips_per_video` at 1 "
            f"or set training=False. Received: {clips_per_video}"
        )
    if not training and start_step:
        raise UserError("a test has no step to resume from; leave `start_step` at 0")
    if not training and on_bad_file == "substitute":
        raise UserError(
            'a test cannot put another video in the place of a bad one; use "skip" or '
            '"raise"'
        )
