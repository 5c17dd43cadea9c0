"""Which frames of a video make a clip: pure NumPy functions on frame numbers.

A clip of `num_frames` frames taken every `stride` frames spans
`(num_frames - 1) * stride + 1` frames. Where a clip is longer than its video, `short`
says what to do:

- `"loop"`: start again at frame 0, which puts one cut into the motion;
- `"hold"`: repeat the last frame, which puts stillness at the end;
- `"refuse"`: raise `UserError`.

A video of one frame shows no motion, so a clip of several frames is always refused.
"""

import numpy as np

from h2s_keras.errors import UserError

SHORT_POLICIES = ("loop", "hold", "refuse")
# Evenly spaced clips averaged per video where a run does not choose another number.
CLIPS_PER_VIDEO = 5


def clip_span(num_frames, stride=1):
    """Number of frames from the first to the last frame of a clip, both counted."""
    return (num_frames - 1) * stride + 1


def clip_indices(starts, frame_count, num_frames, stride=1, short="loop"):
    """Frame numbers of clips that begin at given frames.

    Args:
        starts: integer or integer array of any shape, first frames.
        frame_count: frames in the video.
        num_frames: frames in a clip.
        stride: step between frames of a clip.
        short: `"loop"`, `"hold"` or `"refuse"`, used where a clip passes the end.

    Returns:
        int64 array (..., num_frames), each in [0, frame_count).

    Raises:
        UserError: the video is too short under `short`, or a number is below 1.

    Example:

    ```python
    clip_indices([0, 4], frame_count=6, num_frames=3)   # [[0, 1, 2], [4, 5, 0]]
    ```
    """
    _check(frame_count, num_frames, stride, short)
    starts = np.asarray(starts, np.int64)
    indices = starts[..., None] + np.arange(num_frames, dtype=np.int64) * stride
    if short == "refuse" and indices.size and indices.max() >= frame_count:
        raise UserError(
            f"the video has {frame_count} frames, but {num_frames} frames with stride "
            f'{stride} need {int(indices.max()) + 1}; use short="loop" or "hold", fewer '
            "frames or a smaller stride"
        )
    if short == "hold":
        return np.minimum(indices, frame_count - 1)
    return indices % frame_count


def random_clip_indices(frame_count, num_frames, stride, generator, short="loop"):
    """One clip at a uniformly random place.

    Args:
        frame_count: frames in the video.
        num_frames: frames in a clip.
        stride: step between frames of a clip.
        generator: `np.random.Generator`; one draw is taken, whatever the lengths.
        short: as `clip_indices`.

    Returns:
        int64 array (num_frames,).

    Raises:
        UserError: as `clip_indices`.

    Example:

    ```python
    random_clip_indices(61, 11, 1, np.random.default_rng(0))
    ```
    """
    _check(frame_count, num_frames, stride, short)
    last = max(0, frame_count - clip_span(num_frames, stride))
    # A looping clip may begin anywhere; a held one must begin at 0 to see all frames.
    if last == 0 and short == "loop" and frame_count < clip_span(num_frames, stride):
        last = frame_count - 1
    start = int(generator.integers(last + 1))
    return clip_indices(start, frame_count, num_frames, stride, short)


def even_clip_starts(frame_count, num_frames, stride, count):
    """First frames of evenly spaced clips, as the paper's test protocol takes 25.

    Start `i` is `i * floor((frame_count - span + 1) / count)`, which is the published
    floor((n - 10) / 25) for clips of 11 frames. In a video too short for a step of one
    frame, the starts are spread over the possible ones and repeat.

    Args:
        frame_count: frames in the video.
        num_frames: frames in a clip.
        stride: step between frames of a clip.
        count: number of clips.

    Returns:
        int64 array (count,), rising; all 0 where the clip is no shorter than the video.

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
        frame_count: frames in the video.
        num_frames: frames in a clip.
        stride: step between frames of a clip.
        segments: number of parts.
        generator: `np.random.Generator` for training, None for testing.
        short: as `clip_indices`.

    Returns:
        int64 array (segments, num_frames), rising from segment to segment.

    Raises:
        UserError: as `clip_indices`.

    Example:

    ```python
    segment_clip_indices(30, 1, 1, 3)   # [[5], [15], [25]]
    ```
    """
    _check(frame_count, num_frames, stride, short)
    _check_positive("the number of segments", segments)
    possible = max(0, frame_count - clip_span(num_frames, stride)) + 1
    edges = np.arange(segments + 1, dtype=np.int64) * possible // segments
    # Where there are more segments than places, a part may be empty; it keeps its edge.
    width = np.maximum(edges[1:] - edges[:-1], 1)
    shift = generator.integers(width) if generator is not None else width // 2
    starts = np.minimum(edges[:-1] + shift, possible - 1)
    return clip_indices(starts, frame_count, num_frames, stride, short)


def _check(frame_count, num_frames, stride, short):
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
