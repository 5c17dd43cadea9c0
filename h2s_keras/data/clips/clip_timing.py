"""Clips by time: the rate and the stride that make a clip last about so many seconds."""

import dataclasses
import os

import numpy as np

from h2s_keras.data.video.video_info import probe_video
from h2s_keras.errors import UserError, VideoError

_PROBED = 50  # videos, spread over the list
# Folders of frames have no rate of their own.
_FOLDER_RATE = 25.0


@dataclasses.dataclass(frozen=True)
class ClipTiming:
    """How clips are taken from videos.

    Attributes:
        rate: frames per second that all videos are read at.
        stride: frames from one frame of a clip to the next.
        seconds: from the first to the last frame of a clip.
        short: videos, of `probed`, that last less than a clip.
        probed: videos that were looked at.
    """

    rate: float
    stride: int
    seconds: float
    short: int
    probed: int


def clip_timing(examples, num_frames, seconds):
    """Chooses rate and stride by the videos.

    The rate is the median of the videos' own, so that most are read frame by frame and
    none faster or slower than it was filmed.

    Args:
        examples: `VideoExample`s.
        num_frames: frames of a clip.
        seconds: that a clip should last, about.

    Returns:
        `ClipTiming`.

    Raises:
        UserError: `seconds` is not positive, or none of the videos can be read.

    Example:

    ```python
    clip_timing(examples, num_frames=16, seconds=1.0)    # 30 frames per second: stride 2
    ```
    """
    if not seconds > 0:
        raise UserError(f"data.clip_seconds takes seconds above 0; received {seconds}")
    examples = tuple(examples)
    chosen = np.unique(np.linspace(0, len(examples) - 1, _PROBED).round().astype(int))
    rates, lengths, reason = [], [], None
    for number in chosen:
        example = examples[number]
        try:
            info = probe_video(example.path)
        except VideoError as error:
            reason = error
            continue
        rates.append(info.rate or _FOLDER_RATE)
        if info.duration:
            lengths.append(info.duration)
        elif os.path.isdir(example.path):
            lengths.append(info.frame_count_claimed / _FOLDER_RATE)
    if not rates:
        raise UserError(f"none of the videos can be read; the first says: {reason}")
    rate = float(np.median(rates))
    # A rate that some video has: the median of an even number may lie between two.
    rate = min(rates, key=lambda one: abs(one - rate))
    stride = max(1, round(seconds * rate / (num_frames - 1)))
    lasts = (num_frames - 1) * stride / rate
    return ClipTiming(
        round(float(rate), 3),
        stride,
        lasts,
        sum(length < lasts for length in lengths),
        len(rates),
    )
