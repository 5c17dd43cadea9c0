"""Annotated segments of untrimmed videos: seconds become frame numbers."""

import functools
import math
import os

from h2s_keras.data.video.decoder import open_and_decode
from h2s_keras.data.video.frame_index import FrameIndexer
from h2s_keras.data.video.frame_times import frames_between
from h2s_keras.errors import VideoError


def segment_frames(example, frame_count, rate=None, index=None):
    """(first frame, number of frames) of an example's segment in its video.

    Seconds are counted from the first frame. They become frames by the time stamps of the
    file, or by `rate` where it is read at one (of a folder: was extracted at). A segment
    beyond the end of the file is moved to its last frames. None is shorter than two
    frames, unless the video is.

    Args:
        example: `VideoExample`.
        frame_count: number of frames of the video, at the rate.
        rate: frames per second that the video is read at, or None for its own frames.
        index: `FrameIndex` of the file; without one it is decoded for its time stamps.
    """
    if example.start is None:
        if example.frames is not None and example.frames > frame_count:
            raise VideoError(
                example.path,
                f"has {frame_count} frames, but its list says {example.frames}; extract "
                "the frames again",
            )
        return 0, example.frames or frame_count
    if rate is not None:
        first, end = int(example.start * rate), math.ceil(example.end * rate)
    else:
        index = read_index(example.path) if index is None else index
        first, end = frames_between(index, example.start, example.end, example.path)
    end = min(frame_count, max(2, end))
    first = max(0, min(first, end - 2))
    return first, end - first


def read_index(path, timeout=60):
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
        return _read_index(path, timeout, None)
    return _read_index(path, timeout, (known.st_mtime_ns, known.st_size))


@functools.lru_cache(maxsize=256)
def _read_index(path, timeout, version):
    indexer = FrameIndexer()
    for frame in open_and_decode(path, timeout, per_frame=True):
        indexer.add(frame, checked=False)
    return indexer.index()
