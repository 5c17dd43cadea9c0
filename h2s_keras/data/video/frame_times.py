"""Seconds at which frames are shown, and the frames between two seconds."""

import array
import functools
import os
import warnings

import numpy as np

from h2s_keras.data.video.decoder import open_and_decode
from h2s_keras.data.video.frame_index import FrameIndexer
from h2s_keras.errors import VideoError, VideoWarning

# Frames per second where nothing says how many there are.
DEFAULT_RATE = 25.0
# Stamps are rounded to ticks; so much is forgiven, in seconds.
_MOST_ROUNDING, _LEAST_ROUNDING = 1e-3, 1e-6
# Seconds from which a first stamp is so late that it may be counted with.
_LATE = 0.5


class NotedTimes:
    """Notes when each frame of a video begins, while the frames are decoded.

    Seconds are counted from the first frame. A header's mean rate has no say where frames
    have time stamps: many headers are wrong, and rates vary.

    Args:
        path: the video, for warnings.
        rate: frames per second that the frames are read at, which then decides; of a
            folder of frames the rate that it was extracted at.
        fallback: frames per second to count by where time stamps are missing or fall, or a
            function that finds them, called where they are needed.

    Example:

    ```python
    times = NotedTimes("talk.mp4")
    for number, picture in enumerate(iterate_frames("talk.mp4", times=times)):
        print(times.at(number))
    ```
    """

    def __init__(self, path, rate=None, fallback=None):
        self.path, self.rate = path, rate
        self.fallback, self.step = fallback, None
        self.seconds = array.array("d")
        self.first, self.last_length, self.warned = None, None, False

    def note(self, frame):
        """Notes the next `av.VideoFrame`."""
        if self.rate is not None:
            self.seconds.append(len(self.seconds) / self.rate)
            return
        now = None
        if frame.pts is not None and frame.time_base:
            stamp = frame.pts * frame.time_base
            self.first = stamp if self.first is None else self.first
            now = float(stamp - self.first)
            self.last_length = float((frame.duration or 0) * frame.time_base)
        last = self.seconds[-1] if self.seconds else None
        if now is None or (last is not None and now < last):
            if not self.warned:
                _warn_no_stamps(self.path, 1 / self._last_step())
            self.warned, self.last_length = True, 0
            now = 0.0 if last is None else last + self._last_step()
        elif last is not None and now > last:
            self.step = now - last
        self.seconds.append(now)

    def note_all(self, frames):
        """Notes frames, or `SeenFrame`s of them, in order."""
        for frame in frames:
            self.note(frame)

    def at(self, number):
        """Second at which frame `number` begins; of the number after the last, its end."""
        if number < len(self.seconds):
            return self.seconds[number]
        if self.rate is not None:
            return number / self.rate
        return self.seconds[-1] + (self.last_length or self._last_step())

    def _last_step(self):
        """Seconds from the last frame but one to the last."""
        if self.step is None:
            rate = self.fallback() if callable(self.fallback) else self.fallback
            self.step = 1 / float(rate or DEFAULT_RATE)
        return self.step

    def of(self, window):
        """Seconds at which the frames of a `Window` begin."""
        return [self.at(number) for number in range(window.start, window.stop)]

    def mean_rate(self):
        """Frames per second of what was noted; None of one frame or without time stamps."""
        span = self.seconds[-1] if self.seconds and not self.warned else 0
        return (len(self.seconds) - 1) / span if span > 0 else None


def frames_between(index, start, end, path):
    """(first frame, frame after the last) shown between two seconds of a video.

    Args:
        index: `FrameIndex` of the file.
        start, end: seconds after the first frame.
        path: the file, for warnings.
    """
    times = _seconds(index, path)
    rounding = _LEAST_ROUNDING
    if index.tick is not None:
        rounding = min(max(float(index.tick) / 2, rounding), _MOST_ROUNDING)
        begins = float(index.stamps[0] * index.tick)
        if begins > _LATE:
            warnings.warn(
                f"{path}: its first frame is stamped {begins:.2f} s; seconds of its "
                "segments are counted from that frame",
                VideoWarning,
                stacklevel=2,
            )
    first = np.searchsorted(times - rounding, start, side="right") - 1
    return max(0, int(first)), int(np.searchsorted(times, end - rounding, side="left"))


def _seconds(index, path):
    if index.tick is not None and (np.diff(index.stamps) >= 0).all():
        return (index.stamps - index.stamps[0]) * float(index.tick)
    from h2s_keras.data.video.video_info import probe_video

    rate = probe_video(path).rate
    if not rate:
        raise VideoError(
            path,
            "has neither time stamps that rise nor a frame rate, so seconds of it mean no "
            "frames; convert it to mp4",
        )
    _warn_no_stamps(path, rate)
    return np.arange(len(index.stamps)) / rate


def _warn_no_stamps(path, rate):
    lack = "no time stamps, or stamps that fall"
    if os.path.isdir(path):
        lack = "no time stamps, being a folder of frames (give its rate)"
    warnings.warn(
        f"{path}: has {lack}; its seconds are counted at {rate:g} frames per second",
        VideoWarning,
        stacklevel=3,
    )


def index_frames(path, timeout=60):
    """`FrameIndex` of a video's time stamps alone, by decoding it once.

    Raises:
        VideoError: the video is bad, or is a folder, whose frames have no time stamps.
    """
    if os.path.isdir(path):
        raise VideoError(
            path,
            "has no frame rate, so seconds of it mean no frames; give the rate that its "
            "frames were extracted at",
        )
    try:
        known = os.stat(path)
    except OSError:
        return _index_frames(path, timeout, None)
    return _index_frames(path, timeout, (known.st_mtime_ns, known.st_size))


@functools.lru_cache(maxsize=256)
def _index_frames(path, timeout, version):
    indexer = FrameIndexer()
    for frame in open_and_decode(path, timeout, per_frame=True):
        indexer.add(frame, checked=False)
    return indexer.index()
