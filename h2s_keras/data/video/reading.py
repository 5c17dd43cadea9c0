"""Decoding of video files with PyAV: frame exact, upright, one clear error a file.

A video is a file, or a folder of numbered images (see `frame_folder`). Frame `n` is the
n-th frame that the decoder puts out, whatever the time stamps say, so indices are exact for
variable rates too. Files are decoded forward from the start and no further than the last
frame wanted, since the containers' indices and counts are not to be trusted
(UT-Interaction clips hold 135 packets and 133 frames); with a `FrameIndex`, made by
decoding the file once, reading seeks and checks each frame (see `frame_index`).

A video may break half way (cut short, damaged). `on_broken` says what to do then:

- `"raise"` (the default): `BrokenVideoError`, which says how many frames are good.
  Right for data sets, where a broken file means a broken download.
- `"keep"`: use the good frames before the break and give a `BrokenVideoWarning`. Right
  for predicting on one's own recording, where most of the video is fine.

The break is seen only if decoding gets there. Frames after a break are never given, nor
those of which a decoder would make up a part: it raises an error instead. Flipped bits
that the decoder itself does not notice (hardly ever in MPEG-4, often in H.264, nearly
always in VP9) are shown as decoded.

The sample aspect ratio is ignored, as is usual.
"""

import itertools
import os
import warnings

import numpy as np

from h2s_keras.data.video.conversion import FrameConverter
from h2s_keras.data.video.decoder import (
    open_and_decode,
)
from h2s_keras.data.video.frame_folder import find_frames
from h2s_keras.data.video.frame_index import numbered_frames
from h2s_keras.data.video.time_stamps import frames_at_rate
from h2s_keras.errors import BrokenVideoError, BrokenVideoWarning, VideoError

MAX_BYTES = 8 << 30


def count_frames(
    path, on_broken="raise", timeout=60, rate=None, per_frame=False, times=None
):
    """Counts the frames of a video by decoding it (no conversion to RGB).

    Args:
        path: name of the file.
        on_broken: `"raise"`, or `"keep"` to count the good frames before a break.
        timeout: seconds of decoding allowed, or None.
        rate, per_frame: as `read_frames`.
        times: `NotedTimes` that notes when each frame begins, or None.

    Returns:
        int, 1 or more.

    Raises:
        VideoError: as `read_frames`.
    """
    _check_policy(on_broken)
    count = 0
    convert = FrameConverter(None, path)
    try:
        frames = open_and_decode(path, timeout, per_frame)
        for frame in _at_rate(frames, rate, path):
            count += 1
            convert.look(frame)
            if times is not None:
                times.note(frame)
    except BrokenVideoError as error:
        keep_or_raise(error, on_broken)
    return count


def read_frames(
    path,
    indices=None,
    size=None,
    on_broken="raise",
    timeout=60,
    rate=None,
    index=None,
    per_frame=False,
):
    """Decodes frames of a video, exactly those asked for.

    Args:
        path: name of the file; any name, any container and pixel format FFmpeg knows.
        indices: integers 0 or above in any order, repeats allowed; None for all frames.
        size: `(height, width)`; or an int, the short side (the shape of the picture is
            kept and it is never enlarged); or None for the size of the first frame.
        on_broken: `"raise"` or `"keep"`, see the module; frames asked for beyond the
            break are an error all the same.
        timeout: seconds of decoding allowed for this file, or None.
        rate: frames per second to read the video at, or None for its frames as they are.
            Frame `n` is then the last one at or before `n / rate` seconds after the first.
            A folder of frames is taken as it is: it was extracted at this rate.
        index: `FrameIndex` of the file, which allows seeking; not with `rate`.
        per_frame: whether `timeout` is from one frame to the next, so that a video may be
            of any length.

    Returns:
        uint8 array (N, height, width, 3), RGB, upright.

    Raises:
        VideoError: one line naming the file: missing, a folder, empty, not a video, no
            decodable frame, broken, too few frames, too slow, too large for memory.

    Example:

    ```python
    clip = read_frames("diving.avi", indices=range(10, 21), size=(240, 320))
    ```
    """
    _check_policy(on_broken)
    wanted = None
    if indices is not None:
        wanted = _checked_indices(indices)
        order = np.argsort(wanted, kind="stable")
    if rate is not None and index is not None:
        raise ValueError("Give `rate` or `index`, not both.")
    out = None
    frames, count, given, used = [], 0, 0, 0
    convert = FrameConverter(size, path)
    broken = None
    if rate is not None and not os.path.isdir(path):
        decoded = open_and_decode(path, timeout, per_frame)
        source = enumerate(frames_at_rate(decoded, rate, path))
    else:
        rising = None if wanted is None else np.unique(wanted).tolist()
        source = numbered_frames(path, rising, timeout, index, per_frame)
    try:
        for number, frame in source:
            convert.look(frame)
            if wanted is None:
                frames.append(convert(frame))
                used += frames[-1].nbytes
            elif wanted[order[given]] == number:
                picture = convert(frame)
                if out is None:
                    used = picture.nbytes * len(wanted)
                    _check_memory(path, used, number + 1)
                    out = np.empty((len(wanted), *picture.shape), np.uint8)
                while given < len(order) and wanted[order[given]] == number:
                    out[order[given]] = picture
                    given += 1
            count = number + 1
            _check_memory(path, used, count)
            if wanted is not None and given == len(order):
                break
    except BrokenVideoError as error:
        broken = error
        keep_or_raise(error, on_broken)
    if wanted is None:
        return np.stack(frames)
    if given < len(order):
        if broken is None and os.path.isdir(path):
            count = find_frames(path).count
        state = "good frames before it breaks" if broken else "frames"
        raise VideoError(
            path,
            f"has {count} {state}, but frame {int(wanted.max())} (counted from 0) was "
            "asked for; ask for fewer frames or use a longer video",
            count,
        )
    return out


def iterate_frames(
    path, size=None, on_broken="raise", timeout=60, rate=None, stride=1, times=None
):
    """Decodes a video of any length frame by frame, in flat memory.

    Args:
        path: name of the file.
        size: as `read_frames`.
        on_broken: `"raise"` gives the good frames, then raises; `"keep"` gives them and
            ends with a warning.
        timeout: seconds of decoding allowed from one frame to the next, or None.
        rate: as `read_frames`.
        stride: every how many of these frames one is given; those between are decoded, not
            converted.
        times: `NotedTimes` that notes when each frame given begins, or None.

    Yields:
        uint8 array (height, width, 3), RGB, upright, all of one size.

    Raises:
        VideoError: as `read_frames`, when the first frame is asked for or later.

    Example:

    ```python
    for frame in iterate_frames("long.mkv", size=256):
        show(frame)
    ```
    """
    _check_policy(on_broken)
    convert = FrameConverter(size, path)
    frames = open_and_decode(path, timeout, per_frame=True)
    try:
        frames = _at_rate(frames, rate, path)
        for frame in itertools.islice(frames, 0, None, stride):
            if times is not None:
                times.note(frame)
            yield convert(frame)
    except BrokenVideoError as error:
        keep_or_raise(error, on_broken)


def _at_rate(frames, rate, path):
    if rate is None or os.path.isdir(path):
        return frames
    return frames_at_rate(frames, rate, path)


def _check_memory(path, used, count):
    if used > MAX_BYTES:
        raise VideoError(
            path,
            f"its frames take more than {MAX_BYTES >> 30} GiB; read fewer or smaller ones "
            "(indices, size) or use iterate_frames",
            count,
        )


def _check_policy(on_broken):
    if on_broken not in ("raise", "keep"):
        raise ValueError(f'`on_broken` must be "raise" or "keep". Received: {on_broken!r}')


def keep_or_raise(error, on_broken):
    if on_broken == "raise":
        raise error
    warnings.warn(
        f"{error.path}: only its first {error.good_frames} frames are used; it breaks then",
        BrokenVideoWarning,
        stacklevel=3,
    )


def _checked_indices(indices):
    wanted = np.asarray(list(indices) if not isinstance(indices, np.ndarray) else indices)
    if wanted.ndim != 1 or len(wanted) == 0 or not np.issubdtype(wanted.dtype, np.integer):
        raise ValueError(
            "`indices` must be a list of at least one integer. Received: "
            f"{wanted.dtype} of shape {wanted.shape}"
        )
    if wanted.min() < 0:
        raise ValueError(
            f"`indices` count from 0 and cannot be negative. Received: {int(wanted.min())}"
        )
    return wanted
