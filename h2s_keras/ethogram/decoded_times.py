"""The times of a video's frames, from decoding it once."""

import os

from h2s_keras.errors import VideoError
from h2s_keras.ethogram.times import FrameTimes


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
