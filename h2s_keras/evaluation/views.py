"""Views of a video: clips and crops of it, in flat memory whatever its length."""

import numpy as np

from h2s_keras.data.clips.crops import crop_frames, ten_crop_boxes
from h2s_keras.data.clips.sampling import (
    clip_indices,
    clip_span,
    even_clip_starts,
    segment_clip_indices,
)
from h2s_keras.data.clips.video_clips import frame_size
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import UserError, VideoError


def view_indices(protocol, length, num_frames, stride):
    """Frame numbers of every clip of a video.

    Args:
        protocol: Protocol.
        length: frames of the video, 2 or more.
        num_frames, stride: of a clip.

    Returns:
        int64 (clips, num_frames), starts rising; `protocol.short` says what becomes of a
        clip longer than the video.

    Raises:
        UserError: the video is too short under "refuse".
    """
    if protocol.sampling == "segments":
        return segment_clip_indices(
            length, num_frames, stride, protocol.clips, short=protocol.short
        )
    if protocol.sampling == "even":
        starts = even_clip_starts(length, num_frames, stride, protocol.clips)
    else:
        span = clip_span(num_frames, stride)
        last = max(0, length - span)
        starts = np.arange(0, last + 1, protocol.step or span)
        # The end of the video is seen too.
        if starts[-1] < last:
            starts = np.append(starts, last)
    return clip_indices(starts, length, num_frames, stride, protocol.short)


def crop_views(frames, image_size, crops):
    """Crops of one clip.

    Args:
        frames: uint8 (time, height, width, 3).
        image_size: (height, width) of the views.
        crops: 1, 2, 5 or 10, see Protocol.

    Yields:
        uint8 (time, *image_size, 3); the plain centre first.
    """
    boxes = ten_crop_boxes(frames.shape[1:3], image_size)
    chosen = {1: boxes[:1], 2: boxes[:2], 5: boxes[::2], 10: boxes}[crops]
    for box, mirrored in chosen:
        yield crop_frames(frames, box, image_size, mirrored)


def video_views(path, protocol, num_frames, stride, image_size, frames=None, source=None):
    """Every view of a video or of a part of it, decoding no more than it must.

    Args:
        path: the video.
        protocol: Protocol.
        num_frames, stride, image_size: of the clips that the model takes.
        frames: range of the frame numbers to look at, as from `FrameSource.frames_of` for a
            segment; None for the whole video. Clips longer than it loop inside it.
        source: `FrameSource` of the size `frame_size(image_size, protocol.decode_size)`
            that keeps what it found for further parts of the same video; None for one of
            its own.

    Yields:
        uint8 (num_frames, *image_size, 3), the crops of a clip one after the other.

    Raises:
        VideoError: the file cannot be read, or there is one frame and so no motion.

    Example:
        >>> views = video_views("jump.mp4", Protocol.parse("paper"), 11, 1, (224, 224))
        >>> sum(1 for _ in views)
        250
    """
    if source is None:
        size = frame_size(image_size, protocol.decode_size)
        source = FrameSource(size, 0, per_frame=True)
    if frames is None:
        frames = range(source.frame_count(path))
    if len(frames) < 2:
        raise VideoError(path, "has one frame and so no motion; give a longer video")
    try:
        clips = frames.start + view_indices(protocol, len(frames), num_frames, stride)
    except UserError as error:
        raise VideoError(path, str(error)) from error
    last_use = clips.max(axis=1)
    # The first frame that this clip or a later one still needs.
    first_use = np.minimum.accumulate(clips.min(axis=1)[::-1])[::-1]
    held, clip = {}, 0
    for number, frame in source.iterate(path, clips.ravel()):
        held[number] = frame
        # A clip is complete when its last frame is; starts rise, so they come in order.
        while last_use[clip] <= number:
            stacked = np.stack([held[index] for index in clips[clip]])
            yield from crop_views(stacked, image_size, protocol.crops)
            clip += 1
            if clip == len(clips):
                return
            for old in [index for index in held if index < first_use[clip]]:
                del held[old]
