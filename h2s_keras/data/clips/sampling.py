"""Which frames make a clip, and which videos an epoch and a process show in which order.

A clip of `num_frames` frames taken every `stride` frames spans
`(num_frames - 1) * stride + 1` frames. Where a clip is longer than its video, `short`
says what to do:

- `"loop"`: start again at frame 0, which puts one cut into the motion;
- `"hold"`: repeat the last frame, which puts stillness at the end;
- `"refuse"`: raise `UserError`.

A video of one frame shows no motion, so a clip of several frames is always refused.

Frame counts are ints; where no Python may run (records, tf.data service) they are int64
tensors, the draws come from `StatelessDraws`, and the results are tensors. Tensors are not
checked.
"""

import dataclasses

import numpy as np

from h2s_keras.errors import UserError, VideoError

SHORT_POLICIES = ("loop", "hold", "refuse")
# Evenly spaced clips averaged per video where a run does not choose another number.
CLIPS_PER_VIDEO = 5


def array_module(*values):
    """NumPy, or TensorFlow's NumPy interface where one of the values is a tensor."""
    if not any(type(value).__module__.startswith("tensorflow") for value in values):
        return np
    import tensorflow.experimental.numpy as tensor_numpy

    return tensor_numpy


@dataclasses.dataclass(frozen=True)
class ClipSampling:
    """How the frames of a clip are chosen.

    Attributes:
        num_frames: frames in a clip.
        stride: step between the frames of a clip.
        short: `"loop"`, `"hold"` or `"refuse"` for clips longer than their video.
        segments: for training, 2 or more: so many clips of each video, one from each of
            equal parts of it (TSN); None or 1 for one clip.
        max_skip: for training: the stride of each clip is drawn from 1, 2, ... `max_skip`
            times `stride` (random temporal skipping); 1 for none.

    Raises:
        UserError: a number is below 1, or the policy is unknown.

    Example:

    ```python
    sampling = ClipSampling(num_frames=11, stride=2)
    sampling.training_frames(120, np.random.default_rng(0))     # 11 frame numbers
    ```
    """

    num_frames: int
    stride: int = 1
    short: str = "loop"
    segments: int | None = None
    max_skip: int = 1

    def __post_init__(self):
        if self.segments == 1:
            object.__setattr__(self, "segments", None)
        for name in ("num_frames", "stride", "segments", "max_skip"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"`{name}` must be 1 or more. Received: {value}")
        _check(self.num_frames * self.stride + 1, self.num_frames, self.stride, self.short)

    @property
    def shape(self):
        """Shape of the frame numbers of a training example."""
        parts = () if self.segments is None else (self.segments,)
        return (*parts, self.num_frames)

    def training_frames(self, frame_count, generator):
        """Draws the frames of a training example: int64 of `shape`."""
        stride = self.stride
        if self.max_skip > 1:
            most = self.max_skip
            if self.short == "refuse":
                arrays = array_module(frame_count)
                span = max(1, clip_span(self.num_frames, self.stride) - 1)
                most = arrays.clip((frame_count - 1) // span, 1, most)
            stride *= 1 + generator.integers(most)
        clip = (frame_count, self.num_frames, stride)
        if self.segments is None:
            return random_clip_indices(*clip, generator, self.short)
        return segment_clip_indices(*clip, self.segments, generator, self.short)

    def even_frames(self, frame_count, clips):
        """The frames of evenly spaced clips for testing: int64 (clips, num_frames)."""
        starts = even_clip_starts(frame_count, self.num_frames, self.stride, clips)
        return self.frames_from(starts, frame_count)

    def frames_from(self, starts, frame_count):
        """`clip_indices` of this sampling."""
        return clip_indices(starts, frame_count, self.num_frames, self.stride, self.short)


def check_moves(path, frames):
    """Raises a `VideoError` of a video that has so few frames that nothing can move."""
    if frames < 2:
        raise VideoError(path, "has one frame and so no motion; give a longer video")


def clip_span(num_frames, stride=1):
    """Number of frames from the first to the last frame of a clip, both counted."""
    return (num_frames - 1) * stride + 1


def clip_indices(starts, frame_count, num_frames, stride=1, short="loop"):
    """Frame numbers of clips that begin at given frames.

    Args:
        starts: integer or integer array of any shape, first frames.
        frame_count: frames in the video.
        num_frames, stride, short: as `ClipSampling`.

    Returns:
        int64 array (..., num_frames), each in [0, frame_count).

    Raises:
        UserError: the video is too short under `short`, or a number is below 1.

    Example:

    ```python
    clip_indices([0, 4], frame_count=6, num_frames=3)   # [[0, 1, 2], [4, 5, 0]]
    ```
    """
    arrays = array_module(starts, frame_count, stride)
    _check(frame_count, num_frames, stride, short)
    steps = arrays.arange(num_frames, dtype=np.int64) * stride
    indices = arrays.asarray(starts, np.int64)[..., None] + steps
    if arrays is np and short == "refuse" and indices.size:
        if indices.max() >= frame_count:
            raise UserError(
                f"the video has {frame_count} frames, but {num_frames} frames with stride "
                f'{stride} need {int(indices.max()) + 1}; use short="loop" or "hold", '
                "fewer frames or a smaller stride"
            )
    if short == "hold":
        return arrays.minimum(indices, frame_count - 1)
    return indices % frame_count


def random_clip_indices(frame_count, num_frames, stride, generator, short="loop"):
    """One clip at a uniformly random place.

    Args:
        frame_count, num_frames, stride, short: as `clip_indices`, which also says what is
            raised.
        generator: `np.random.Generator`, or `StatelessDraws` for tensors; one draw is
            taken, whatever the lengths.

    Returns:
        int64 array (num_frames,).

    Example:

    ```python
    random_clip_indices(61, 11, 1, np.random.default_rng(0))
    ```
    """
    _check(frame_count, num_frames, stride, short)
    arrays, span = array_module(frame_count, stride), clip_span(num_frames, stride)
    last = arrays.maximum(0, frame_count - span)
    # A looping clip may begin anywhere; a held one must begin at 0 to see all frames.
    if short == "loop":
        last = arrays.where(frame_count < span, frame_count - 1, last)
    start = generator.integers(last + 1)
    return clip_indices(start, frame_count, num_frames, stride, short)


def even_clip_starts(frame_count, num_frames, stride, count):
    """First frames of evenly spaced clips, as the paper's test protocol takes 25.

    Start `i` is `i * floor((frame_count - span + 1) / count)`, which is the published
    floor((n - 10) / 25) for clips of 11 frames. In a video too short for a step of one
    frame, the starts are spread over the possible ones and repeat.

    Args:
        frame_count, num_frames, stride: as `clip_indices`.
        count: number of clips.

    Returns:
        int64 array (count,), rising; all 0 unless the clip is shorter than the video.

    Raises:
        UserError: a number is below 1, or the video has one frame and the clip several.

    Example:

    ```python
    even_clip_starts(111, 11, 1, 25)   # 0, 4, 8, ..., 96
    ```
    """
    _check(frame_count, num_frames, stride, "loop")
    _check_positive("the number of clips", count)
    possible = max(0, frame_count - clip_span(num_frames, stride)) + 1
    order = np.arange(count, dtype=np.int64)
    step = possible // count
    return order * step if step else order * possible // count


def epoch_order(labels, generator, balanced=False):
    """The videos of an epoch in random order.

    Args:
        labels: int (videos,).
        generator: `np.random.Generator`.
        balanced: show every class as often as the largest one, by repeating videos of the
            smaller ones; every video is shown at least once.

    Returns:
        int64 array of places in `labels`, of a length that follows from `labels` alone.

    Example:

    ```python
    epoch_order([0, 0, 0, 1], np.random.default_rng(0), balanced=True)   # 3 of each class
    ```
    """
    labels = np.asarray(labels)
    if not balanced:
        return generator.permutation(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    places = []
    for label in classes:
        own = generator.permutation(np.flatnonzero(labels == label))
        places.append(np.resize(own, counts.max()))
    return generator.permutation(np.concatenate(places))


def segment_clip_indices(
    frame_count, num_frames, stride, segments, generator=None, short="loop"
):
    """One clip from each of several equal parts of a video (TSN).

    The possible first frames are cut into `segments` equal parts; the clip begins at a
    random one of its part, or at the middle one without a generator.

    Args:
        frame_count, num_frames, stride, short: as `clip_indices`, which also says what is
            raised.
        segments: number of parts.
        generator: as `random_clip_indices` for training, None for testing.

    Returns:
        int64 array (segments, num_frames), rising from segment to segment.

    Example:

    ```python
    segment_clip_indices(30, 1, 1, 3)   # [[5], [15], [25]]
    ```
    """
    _check(frame_count, num_frames, stride, short)
    _check_positive("the number of segments", segments)
    arrays = array_module(frame_count, stride)
    possible = arrays.maximum(0, frame_count - clip_span(num_frames, stride)) + 1
    edges = arrays.arange(segments + 1, dtype=np.int64) * possible // segments
    # Where there are more segments than places, a part may be empty; it keeps its edge.
    width = arrays.maximum(edges[1:] - edges[:-1], 1)
    shift = generator.integers(width) if generator is not None else width // 2
    starts = arrays.minimum(edges[:-1] + shift, possible - 1)
    return clip_indices(starts, frame_count, num_frames, stride, short)


def process_batch_size(batch_size, process=0, processes=1):
    """Rows of every global batch that one process of `processes` reads, counted from 0.

    Raises:
        UserError: there is no such process, or the batch cannot be shared evenly.
    """
    if batch_size < 1 or processes < 1 or not 0 <= process < processes:
        raise UserError(
            f"no process {process} of {processes} can read batches of {batch_size}; count "
            "the processes from 0 and give a batch of 1 or more"
        )
    if batch_size % processes:
        raise UserError(
            f"a batch of {batch_size} cannot be shared evenly by {processes} processes; "
            f"make it a multiple of {processes}"
        )
    return batch_size // processes


def example_numbers(batch_size, start_step=0, process=0, processes=1):
    """The endless stream of example numbers of one process, a `tf.data.Dataset` of int64.

    Global batch `k` holds the examples `k * batch_size ... (k + 1) * batch_size - 1`; the
    process reads the same rows of every batch, so that all processes together read what one
    would, each example once.

    Args:
        batch_size: examples of the global batch.
        start_step: first batch.
        process, processes: as `process_batch_size`, which also says what is refused.

    Example:

    ```python
    numbers = example_numbers(4, process=1, processes=2).take(4)
    list(numbers.as_numpy_iterator())   # 2, 3, 6, 7
    ```
    """
    import tensorflow as tf

    rows = process_batch_size(batch_size, process, processes)
    numbers = tf.data.Dataset.range(start_step * rows, tf.int64.max)
    if processes == 1:
        return numbers
    return numbers.map(lambda i: i // rows * batch_size + process * rows + i % rows)


def given(settings, names):
    """The settings of some names, those that are there."""
    return {name: settings[name] for name in names if name in settings}


def _check(frame_count, num_frames, stride, short):
    if array_module(frame_count, stride) is not np:
        return
    _check_positive("the number of frames in the video", frame_count)
    _check_positive("`num_frames`", num_frames)
    _check_positive("`stride`", stride)
    if short not in SHORT_POLICIES:
        raise UserError(f"`short` must be one of {SHORT_POLICIES}. Received: {short!r}")
    if frame_count == 1 and num_frames > 1:
        raise UserError(
            f"the video has 1 frame and so no motion, but a clip of {num_frames} frames "
            "was asked for; leave this video out"
        )


def _check_positive(name, value):
    if value < 1:
        raise UserError(f"{name} must be 1 or more. Received: {value}")


# Streams of one seed that share nothing.
SPLITS = {"train": 0, "test": 1}


class StatelessDraws:
    """Random numbers for tf.data: the n-th draw depends on (seed, index, n) alone.

    `integers` and `random` stand in for those of `np.random.Generator` where clips are
    sampled and cropped in a graph.

    Args:
        tf: the TensorFlow module, which is not imported before clips are made.
        seed: int or scalar integer tensor.
        index: index of the example; int or scalar integer tensor.
    """

    def __init__(self, tf, seed, index):
        self.tf, self.count = tf, 0
        base = tf.stack([tf.cast(seed, tf.int64), tf.cast(index, tf.int64)])
        self.base = tf.random.experimental.stateless_fold_in(base, 0)

    def seed(self):
        """The seed of the next draw, int64 (2,)."""
        self.count += 1
        return self.tf.random.experimental.stateless_fold_in(self.base, self.count)

    def uniform(self, low=0.0, high=1.0, shape=()):
        return self.tf.random.stateless_uniform(shape, self.seed(), low, high)

    def integer(self, below):
        return self.tf.random.stateless_uniform(
            (), self.seed(), 0, below, dtype=self.tf.int32
        )

    def normal(self, deviation, shape):
        return self.tf.random.stateless_normal(shape, self.seed(), 0.0, deviation)

    def integers(self, below):
        """int64 in [0, below), of the shape of `below`."""
        below = self.tf.cast(below, self.tf.int64)
        # A product of a float would never reach the highest numbers of a long range.
        bits = self.tf.random.stateless_uniform(
            self.tf.shape(below), self.seed(), 0, 1 << 62, dtype=self.tf.int64
        )
        return bits % below

    def random(self):
        """float32 in [0, 1)."""
        return self.uniform()
