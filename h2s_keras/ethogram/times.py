"""When the frames of a video are shown: a constant rate, or a time stamp per frame."""

import os

import numpy as np

from h2s_keras.errors import UserError, VideoError

# Stamps of a constant rate are rounded to the ticks of their container, 1 ms at the most.
_TICK = 0.0006


class FrameTimes:
    """Start of each frame in seconds after the first one, and the end of the last.

    Args:
        frames: number of frames, 1 or more.
        rate: frames per second of a constant rate; or
        stamps: float (frames,), rising seconds of a variable rate.

    Attributes:
        frames: int.
        rate: frames per second; the mean rate where `variable`.
        variable: whether the frames are of different lengths.
        starts: float64 (frames + 1,); the last entry is the end of the video.

    Raises:
        UserError: neither or both of rate and stamps, a rate that is not above 0, stamps
            that do not rise or are not one per frame.

    Example:
        >>> FrameTimes(100, rate=25).frame_at(0.4)
        10
    """

    def __init__(self, frames, rate=None, stamps=None):
        self.frames = int(frames)
        if self.frames < 1:
            raise UserError(f"a video has 1 frame or more; received {frames}")
        if (rate is None) == (stamps is None):
            raise UserError("give the frame rate or the time stamps of a video")
        if stamps is None:
            if not (np.isfinite(rate) and rate > 0):
                raise UserError(f"a frame rate is above 0 frames per second; got {rate}")
            self.rate, self.variable = float(rate), False
            self.starts = np.arange(self.frames + 1) / self.rate
            return
        stamps = np.asarray(stamps, "float64")
        if stamps.shape != (self.frames,):
            raise UserError(f"{len(stamps)} time stamps for {frames} frames; give each one")
        gaps = np.diff(stamps)
        if self.frames < 2 or not np.isfinite(stamps).all() or (gaps <= 0).any():
            raise UserError("time stamps must rise from frame to frame, for 2 or more")
        stamps = stamps - stamps[0]
        self.starts = np.append(stamps, stamps[-1] + np.median(gaps))
        self.rate, self.variable = (self.frames - 1) / stamps[-1], True

    @classmethod
    def of_stamps(cls, stamps, rate=None):
        """Times of a constant rate where the stamps follow one within a tick.

        Args:
            stamps: float (frames,), rising seconds.
            rate: what the container says, or None; the rate that fits best is tried
                besides.
        """
        stamps = np.asarray(stamps, "float64")
        numbers = np.arange(len(stamps))
        fitted = 1 / np.polyfit(numbers, stamps, 1)[0] if len(stamps) > 1 else None
        for constant in filter(None, (rate, fitted)):
            off = np.ptp(stamps - numbers / constant) / 2
            if off < min(_TICK, 0.25 / constant):
                return cls(len(stamps), rate=constant)
        return cls(len(stamps), stamps=stamps)

    @property
    def duration(self):
        """Seconds from the start of the first frame to the end of the last."""
        return float(self.starts[-1])

    def frame_at(self, seconds):
        """Number of the frame that starts nearest to a time, `frames` for the end.

        Times in files are rounded to milliseconds, either way, and some programs end a
        bout one millisecond before the next begins; the nearest start undoes both.
        """
        after = int(np.searchsorted(self.starts, seconds))
        if after == 0:
            return 0
        if after > self.frames:
            return self.frames
        before = after - 1
        near = seconds - self.starts[before] <= self.starts[after] - seconds
        return before if near else after

    def __eq__(self, other):
        return isinstance(other, FrameTimes) and np.array_equal(self.starts, other.starts)

    __hash__ = None


def video_times(path, rate=None):
    """`FrameTimes` of a video file or a folder of frames.

    Args:
        path: the file or folder.
        rate: frames per second that a folder's frames were extracted at.

    Raises:
        VideoError: the video cannot be decoded to its end, or its frames have no times
            and no rate is given.
    """
    from h2s_keras.data.video.decoder import open_and_decode
    from h2s_keras.data.video.video_info import probe_video

    stamps, count = [], 0
    for frame in open_and_decode(path, 60, per_frame=True):
        count += 1
        if frame.time is not None:
            stamps.append(frame.time)
    if os.path.isdir(path):
        if rate is None:
            raise VideoError(path, "is a folder of frames without times; give their rate")
        return FrameTimes(count, rate=rate)
    claimed = probe_video(path).rate
    rising = len(stamps) == count and all(
        first < second for first, second in zip(stamps, stamps[1:], strict=False)
    )
    if rising and count > 1:
        return FrameTimes.of_stamps(stamps, claimed)
    if rate or claimed:
        return FrameTimes(count, rate=rate or claimed)
    raise VideoError(
        path, "has frames without times; give the rate that it was recorded at"
    )
