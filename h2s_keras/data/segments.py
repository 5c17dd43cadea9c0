"""Annotated segments of untrimmed videos: seconds become frame numbers."""

import functools
import math

from h2s_keras.data.video_info import probe_video
from h2s_keras.errors import VideoError


def segment_frames(example, frame_count, rate=None):
    """(first frame, number of frames) of an example's segment in its video.

    Seconds become frames by `rate` (of a folder the one that it was extracted at), or by
    the video's average rate; a segment beyond the end of the file is moved to its last
    frames. None is shorter than two frames, unless the video is.
    """
    if example.start is None:
        if example.frames is not None and example.frames > frame_count:
            raise VideoError(
                example.path,
                f"has {frame_count} frames, but its list says {example.frames}; extract "
                "the frames again",
            )
        return 0, example.frames or frame_count
    rate = _rate(example.path) if rate is None else rate
    end = min(frame_count, max(2, math.ceil(example.end * rate)))
    first = max(0, min(int(example.start * rate), end - 2))
    return first, end - first


@functools.lru_cache(maxsize=65536)
def _rate(path):
    rate = probe_video(path).rate
    if not rate:
        raise VideoError(
            path,
            "has no frame rate, so seconds of it mean no frames; give the rate that its "
            "frames were extracted at",
        )
    return float(rate)
