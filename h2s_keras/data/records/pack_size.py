"""How large records will be, judged by a few videos, so that shards come out as asked."""

import itertools

import numpy as np

from h2s_keras.data.video.frame_times import FrameTimes
from h2s_keras.data.video.reading import iterate_frames
from h2s_keras.data.video.video_info import probe_video
from h2s_keras.errors import VideoError

_VIDEOS, _FRAMES = 4, 8
# Stored flow beside a JPEG of quality 95, both of ordinary video.
_FLOW_SHARE = {"uint8": 0.7, "float16": 9.0}


def estimated_bytes(examples, settings):
    """Bytes of all records of videos, from the first frames of up to four of them.

    Args:
        examples: list of `VideoExample`.
        settings: `PackSettings`.

    Returns:
        float; 0 where none of the looked at videos can be decoded.
    """
    import tensorflow as tf

    places = np.linspace(0, len(examples) - 1, min(_VIDEOS, len(examples))).astype(int)
    sizes = []
    for place in places:
        example = examples[place]
        try:
            info = probe_video(example.path, settings.timeout)
            times = FrameTimes(example.path, fallback=info.rate)
            decoded = iterate_frames(
                example.path, settings.size, "keep", settings.timeout, times=times
            )
            frames = list(itertools.islice(decoded, _FRAMES))
        except VideoError:
            continue
        seconds = info.duration or 0
        if example.start is not None:
            seconds = example.end - example.start
        count = max(len(frames), seconds * (times.mean_rate() or 0)) / settings.stride
        jpegs = [tf.io.encode_jpeg(x, quality=settings.quality).numpy() for x in frames]
        sizes.append(count * np.mean([len(jpeg) for jpeg in jpegs]))
    factor = 1 + (_FLOW_SHARE[settings.flow_format] if settings.flow else 0)
    return float(np.mean(sizes)) * len(examples) * factor if sizes else 0.0
