"""Clips of labelled videos as a `tf.data.Dataset`, for training and for testing.

Training is a stream of examples numbered 0, 1, 2, ...: example `i` is a function of
`(seed, i)` alone, so a run that resumes at batch `k` sees, bit for bit, what the
uninterrupted run would have seen, however many threads decode.
"""

import numpy as np

from h2s_keras.cores import usable_cores
from h2s_keras.data.clips.augmentation import ClipAugmentation
from h2s_keras.data.clips.clip_report import ClipReport
from h2s_keras.data.clips.crops import CENTRE_SCALE, centre_crop_box, crop_frames
from h2s_keras.data.clips.host_share import example_numbers, host_batch_size
from h2s_keras.data.clips.process_end import called_by_threads
from h2s_keras.data.clips.sampling import clip_indices, even_clip_starts
from h2s_keras.data.clips.training_stream import TrainingStream
from h2s_keras.data.datasets.segments import segment_frames
from h2s_keras.data.video.video_store import VideoStore
from h2s_keras.errors import UserError, VideoError

BAD_FILE_POLICIES = ("raise", "skip", "substitute")


def video_clip_dataset(
    examples,
    num_frames,
    stride=1,
    image_size=(224, 224),
    batch_size=8,
    training=True,
    seed=0,
    start_step=0,
    num_parallel_calls=None,
    decode_size=None,
    flip=True,
    on_bad_file="raise",
    short="loop",
    clips_per_video=1,
    cache_bytes=1e9,
    timeout=60,
    report=None,
    segments=None,
    max_skip=1,
    host=0,
    hosts=1,
    store=None,
    rate=None,
    no_flip_classes=(),
    flip_map=None,
    color_jitter=None,
    rand_augment=None,
    balanced=False,
):
    """Makes a data set of clips from labelled videos.

    For training it is endless and shuffled anew each epoch: a random clip of each video, a
    random crop and flip and what else `ClipAugmentation` is told to do, one draw for the
    whole clip, resized to `image_size`. For testing (`training=False`) it is finite and in
    the order of `examples`: `clips_per_video` evenly spaced clips each, centre crop,
    nothing random.

    Args:
        examples: `VideoExample`s, as from `class_folder_source`.
        num_frames: frames in a clip.
        stride: step between the frames of a clip.
        image_size: `(height, width)` of the clips.
        batch_size: clips in a batch, over all hosts; the last batch of a test may be
            smaller.
        training: whether to shuffle, augment and repeat.
        seed: 0 or above; everything random follows from it.
        start_step: first batch of the stream, to resume a training.
        num_parallel_calls: videos decoded at a time; None for as many as there are usable
            cores. What comes out is the same.
        decode_size: size of the decoded frames that are cropped and cached: `(height,
            width)`, or the short side; by default a short side of 8/7 of the image's (256
            for 224). Frames are never enlarged at this stage unless both sides are given;
            (256, 340) is the published size.
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
        segments: for training, 2 or more: so many clips of each video, one from each of
            equal parts of it (TSN), augmented alike; None or 1 for one clip.
        max_skip: for training: the stride of each clip is drawn from 1, 2, ... `max_skip`
            times `stride` (random temporal skipping); 1 for none.
        host, hosts: for training on several hosts: this one gets its rows of every global
            batch, see `example_numbers`.
        store: `VideoStore` to share decoded frames with another data set; a new one with
            `decode_size`, `cache_bytes`, `timeout` and `rate` by default.
        rate: frames per second to read the videos at, by their time stamps (see
            `read_frames`); None for their frames as they are.
        no_flip_classes, flip_map, color_jitter, rand_augment: for training, see
            `ClipAugmentation`.
        balanced: for training: show clips of every class equally often, see `epoch_order`.

    Returns:
        `tf.data.Dataset` of `(clips, labels)`, uint8 (batch, num_frames, height, width, 3)
        and int32 (batch,), batch being `batch_size / hosts`; with segments the clips are
        (batch, segments, num_frames, height, width, 3). When testing of
        `(clips, labels, video_index)` with the int32 place in `examples`.

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
    if num_parallel_calls is None:
        num_parallel_calls = usable_cores()
    for name, value in (
        ("num_parallel_calls", num_parallel_calls),
        ("batch_size", batch_size),
        ("num_frames", num_frames),
        ("segments", 1 if segments is None else segments),
        ("max_skip", max_skip),
    ):
        if value < 1:
            raise UserError(f"`{name}` must be 1 or more. Received: {value}")
    image_size = tuple(int(side) for side in image_size)
    if len(image_size) != 2 or min(image_size) < 1:
        raise UserError(f"`image_size` must be (height, width). Received: {image_size}")
    # An unknown policy or stride should be told now, not from inside tf.data.
    clip_indices(0, num_frames * stride + 1, num_frames, stride, short)
    report = ClipReport() if report is None else report
    if store is None:
        store = VideoStore(frame_size(image_size, decode_size), cache_bytes, timeout, rate)
    clip_shape = (num_frames, *image_size, 3)
    paths = [example.path for example in examples]
    labels = np.asarray([example.label for example in examples], np.int32)

    def test_clips(index):
        def choose(count):
            first, length = segment_frames(
                examples[index], count, store.rate, store.indices.get(paths[index])
            )
            starts = even_clip_starts(length, num_frames, stride, clips_per_video)
            return first + clip_indices(starts, length, num_frames, stride, short)

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
        clips = crop_frames(frames, box, image_size, False).reshape(-1, *clip_shape)
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
        augment = ClipAugmentation(
            image_size, flip, no_flip_classes, flip_map, color_jitter, rand_augment
        )
        stream = TrainingStream(
            examples,
            store,
            report,
            augment,
            num_frames=num_frames,
            stride=stride,
            image_size=image_size,
            seed=seed,
            on_bad_file=on_bad_file,
            short=short,
            segments=segments,
            max_skip=max_skip,
            balanced=balanced,
        )
        rows = host_batch_size(batch_size, host, hosts)
        dataset = example_numbers(batch_size, start_step, host, hosts)
        run, types = noting_errors(stream.clip), (tf.uint8, tf.int32)
        shapes = (stream.clip_shape, ())
    else:
        dataset = tf.data.Dataset.range(len(paths))
        run, types = noting_errors(test_clips), (tf.uint8, tf.int32, tf.int32)
        shapes = ((None, *clip_shape), (None,), (None,))

    def load(number):
        values = tf.numpy_function(called_by_threads(run), [number], types)
        for value, shape in zip(values, shapes, strict=True):
            value.set_shape(shape)
        return tuple(values)

    dataset = dataset.map(load, num_parallel_calls=num_parallel_calls, deterministic=True)
    if training:
        dataset = dataset.batch(rows, drop_remainder=True)
        cardinality = tf.data.INFINITE_CARDINALITY
    else:
        dataset = dataset.unbatch().batch(batch_size)
        cardinality = -(-len(paths) * clips_per_video // batch_size)
    # Files left out of a test are known only when it has run.
    if training or on_bad_file == "raise":
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(cardinality))
    return dataset.prefetch(1)


def frame_size(image_size, decode_size=None):
    """Size of decoded frames: as given, or the short side that centre crops need."""
    if decode_size is not None:
        return decode_size
    return round(min(image_size) / CENTRE_SCALE)


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
