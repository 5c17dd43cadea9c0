"""The segment of a video that an example names, as frames."""

import math

from h2s_keras.data.video.frame_times import frames_between, index_frames
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
        index = index_frames(example.path) if index is None else index
        first, end = frames_between(index, example.start, example.end, example.path)
    end = min(frame_count, max(2, end))
    first = max(0, min(first, end - 2))
    return first, end - first
