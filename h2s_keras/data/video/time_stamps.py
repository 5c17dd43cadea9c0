"""Time stamps of decoded frames: made to rise, and resampled to another frame rate."""

import warnings
from fractions import Fraction

import numpy as np

from h2s_keras.errors import VideoError, VideoWarning

# Formats that recordings are joined in by appending files, each with stamps of its own.
JOINED = ("mpegts", "mpeg")
# Seconds: FFmpeg's own program takes a longer step for a join, too.
MAX_STEP = 10


def stamps_of(container, path):
    """What sets the stamps of lists of frames, called on each list in order."""
    name = container.format.name
    if name == "avi":
        return _AsShown()
    return _Joined(path) if name in JOINED else lambda frames: frames


class _AsShown:
    """Stamps of an AVI file's frames in the order they are shown.

    The file only says when a packet is decoded. With B-frames such a stamp is that of
    another frame, and they fall; the stamps of the packets that brought frames out rise.
    """

    def __init__(self):
        self.last = None

    def __call__(self, frames):
        for frame in frames:
            if frame.dts is not None:
                frame.pts = frame.dts
            elif self.last is not None:
                # At the end no packet brings a frame out; a tick of AVI is one frame.
                frame.pts = self.last + 1
            self.last = frame.pts
        return frames


class _Joined:
    """Stamps that go on evenly where recordings were joined, with one warning."""

    def __init__(self, path):
        self.path = path
        self.offset, self.step, self.last = 0, 0, None

    def __call__(self, frames):
        for frame in frames:
            if frame.pts is None or not frame.time_base:
                continue
            stamp = frame.pts + self.offset
            if self.last is not None:
                step = stamp - self.last
                if step < 0 or step * frame.time_base > MAX_STEP:
                    warnings.warn(
                        f"{self.path}: its time stamps jump (joined recordings?); seconds "
                        "are counted as if they went on evenly",
                        VideoWarning,
                        stacklevel=2,
                    )
                    self.offset += self.step - step
                    stamp = self.last + self.step
                else:
                    self.step = step
            frame.pts = self.last = stamp
        return frames


# Seconds between two frames; a longer gap is a broken stamp, not a still picture.
MAX_GAP = 3600


def rate_indices(stamps, tick, rate):
    """Which frames a video of any rate shows at even moments.

    Args:
        stamps: integers (frames,), time stamps in ticks, none smaller than the one before.
        tick: seconds of a tick.
        rate: moments per second.

    Returns:
        int64 array: for each moment `n / rate` seconds after the first frame, up to the
        last frame, the last frame at or before it. Stamps are rounded to whole ticks, so a
        frame counts as there half a tick early.

    Example:

    ```python
    rate_indices([0, 40, 340, 380], Fraction(1, 1000), 10)     # [0, 1, 1, 1]
    ```
    """
    half_ticks = 2 * (np.asarray(stamps, np.int64) - int(stamps[0]))
    # Moment n falls at n * ticks_each ticks; all in whole numbers, so nothing is rounded.
    each = 2 / (Fraction(tick) * exact_rate(rate))
    count = int((int(half_ticks[-1]) + 1) / each) + 1
    moments = np.arange(count, dtype=np.int64) * each.numerator // each.denominator
    return np.searchsorted(half_ticks - 1, moments, side="right").astype(np.int64) - 1


def frames_shown(index, rate, path):
    """`rate_indices` of a file by its `FrameIndex`.

    Raises:
        VideoError: stamps are missing, fall or jump.
    """
    steps = np.diff(index.stamps)
    if index.tick is None or (steps < 0).any():
        raise VideoError(path, "has no time stamps or some that fall; leave the rate out")
    if steps.size and int(steps.max()) * index.tick > MAX_GAP:
        raise _gap(path)
    return rate_indices(index.stamps, index.tick, rate)


def _gap(path):
    return VideoError(
        path, f"has a gap of more than {MAX_GAP} s in its time stamps; convert it"
    )


def exact_rate(rate):
    """A rate as a fraction; 29.97 and the like as they are meant.

    Raises:
        ValueError: it is not above 0.
    """
    if not rate > 0:
        raise ValueError(f"`rate` must be above 0 frames per second. Received: {rate}")
    return Fraction(rate).limit_denominator(1001)


def frames_at_rate(frames, rate, path):
    """Repeats and leaves out `av.VideoFrame`s as `rate_indices` does, in flat memory.

    Args:
        frames: iterable of frames.
        rate: frames per second.
        path: the file, for errors.

    Yields:
        `av.VideoFrame`s, one a moment.

    Raises:
        VideoError: the frames have no time stamps, or some that fall.
    """
    rate = exact_rate(rate)
    number, shown, start, last = 0, None, None, None
    for frame in frames:
        if frame.pts is None or not frame.time_base:
            raise VideoError(
                path, "has no time stamps, so it has no rate to change; leave `rate` out"
            )
        if start is None:
            start, last = frame.pts, frame.pts
        if (frame.pts - last) * frame.time_base > MAX_GAP:
            raise _gap(path)
        if frame.pts < last:
            raise VideoError(
                path, "has time stamps that fall; leave `rate` out or convert the video"
            )
        last = frame.pts
        # Half a tick early, for stamps are rounded to ticks.
        reached = Fraction(2 * (last - start) - 1, 2) * frame.time_base
        while number / rate < reached:
            yield shown
            number += 1
        shown = frame
        end = Fraction(2 * (last - start) + 1, 2) * frame.time_base
    while shown is not None and number / rate <= end:
        yield shown
        number += 1
