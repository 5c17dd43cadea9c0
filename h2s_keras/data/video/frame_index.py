"""Seeking that is proven frame by frame: an index of one whole decoding, and its use.

Containers' own indices are not to be trusted, so nothing seeks before the file was decoded
once from end to end. That pass leaves the time stamp, the key-frame flag and a checksum of
the pixels of each frame. A later read may then seek to a key frame, and every frame on the
way must have the stamp that the index expects, every frame given its checksum. Where
anything differs, the file is decoded forward from its start, now and from then on.
"""

import dataclasses
import os
import typing
import zlib
from fractions import Fraction

import numpy as np

from h2s_keras.data.video.decoder import (
    TimeLimit,
    decoded_batches,
    limited_folder_frames,
    open_and_decode,
    open_container,
    video_stream,
)
from h2s_keras.errors import VideoError

# A seek flushes the decoder, which costs about as much as decoding so many frames.
SEEK_GAIN = 12
# Frames before the wanted key frame that a seek may give; more, and it went astray.
_LEAD = 300


@dataclasses.dataclass
class FrameIndex:
    """What a whole decoding of a video file found, frame by frame.

    Attributes:
        stamps: int64 array (frames,), time stamps in ticks.
        tick: seconds of a tick, a fraction; None where frames have no time stamps.
        keys: int64 array, numbers of the key frames, rising.
        checksums: uint32 array (frames,), CRC-32 of all planes as decoded.
        seekable: whether the stamps rise and no seek has failed.
    """

    stamps: np.ndarray
    tick: Fraction | None
    keys: np.ndarray
    checksums: np.ndarray
    seekable: bool

    def key_before(self, number):
        """Number of the last key frame at or before a frame, or 0."""
        place = np.searchsorted(self.keys, number, side="right") - 1
        return int(self.keys[place]) if place >= 0 else 0

    def saved_by_seeking(self, wanted):
        """How many frames need not be decoded to read rising frame numbers."""
        saved, position = 0, 0
        for number in wanted:
            key = self.key_before(number)
            if key - position >= SEEK_GAIN:
                saved += key - position
                position = key
            position = max(position, number + 1)
        return saved


class SeenFrame(typing.NamedTuple):
    """What is noted of a decoded frame whose pixels need not be found again."""

    pts: int | None
    time_base: Fraction | None
    duration: int | None
    key_frame: bool
    width: int
    height: int


class FrameIndexer:
    """Collects a `FrameIndex` while a file is decoded from its start to its end."""

    def __init__(self):
        self.stamps, self.keys, self.checksums = [], [], []
        self.sizes = set()
        self.tick = None
        self.stamped = self.checked = True

    def add(self, frame, checked=True):
        """Notes the next frame; an unchecked one leaves the file unseekable."""
        if frame.key_frame:
            self.keys.append(len(self.stamps))
        if frame.pts is None or frame.time_base in (None, 0):
            self.stamped = False
        elif self.tick is None:
            self.tick = frame.time_base
        elif self.tick != frame.time_base:
            self.stamped = False
        self.stamps.append(0 if frame.pts is None else frame.pts)
        self.checked = self.checked and checked
        self.sizes.add((frame.width, frame.height))
        self.checksums.append(frame_checksum(frame) if checked else 0)

    def add_seen(self, frames):
        """Notes `SeenFrame`s, unchecked."""
        for frame in frames:
            self.add(frame, checked=False)

    def index(self):
        """The `FrameIndex` of the frames added so far."""
        stamps = np.asarray(self.stamps, np.int64)
        rising = self.stamped and bool((np.diff(stamps) > 0).all())
        return FrameIndex(
            stamps,
            self.tick if self.stamped else None,
            np.asarray(self.keys, np.int64),
            np.asarray(self.checksums, np.uint32),
            # Where the size changes, pictures take that of the first frame.
            rising and self.checked and len(self.keys) > 1 and len(self.sizes) == 1,
        )


def frame_checksum(frame):
    """CRC-32 of the pixels of an `av.VideoFrame` as decoded, without the row padding."""
    checksum = zlib.crc32(f"{frame.width} {frame.height} {frame.format.name}".encode())
    planar = len(frame.planes) > 1 or len(frame.format.components) == 1
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8)
        if plane.line_size < 0 or plane.height * plane.line_size > rows.size:
            continue  # A palette, or bottom-up rows.
        rows = rows[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
        if planar:
            bits = 8 * -(-frame.format.components[0].bits // 8)
        else:
            bits = frame.format.padded_bits_per_pixel
        width = min(plane.line_size, -(-plane.width * bits // 8))
        checksum = zlib.crc32(np.ascontiguousarray(rows[:, :width]), checksum)
    return checksum


def numbered_frames(path, wanted=None, timeout=60, index=None, per_frame=False):
    """Decodes a video file or folder of frames, at least the frames that are wanted.

    Args:
        path: the file or folder.
        wanted: rising frame numbers from 0, or None for all frames.
        timeout: seconds of decoding allowed, or None.
        index: `FrameIndex` of the file, or None.
        per_frame: whether `timeout` is from one frame to the next.

    Yields:
        `(number, av.VideoFrame)`, numbers rising; of a file decoded forward also the
        frames between those wanted. Folders, and files by their index, give no others.

    Raises:
        VideoError: as `read_frames`.
    """
    if wanted is not None and os.path.isdir(path):
        yield from limited_folder_frames(path, wanted, timeout, per_frame)
        return
    given = -1
    if wanted is not None and index is not None and index.seekable:
        if index.saved_by_seeking(wanted) >= SEEK_GAIN and wanted[-1] < len(index.stamps):
            try:
                for number, frame in _seeking(path, wanted, timeout, index, per_frame):
                    given = number
                    yield number, frame
                return
            except _SeekFailed:
                index.seekable = False
    for number, frame in enumerate(open_and_decode(path, timeout, per_frame)):
        if number > given:
            yield number, frame


class _SeekFailed(Exception):
    """A seek gave other frames than the index says."""


def _seeking(path, wanted, timeout, index, per_frame):
    import av

    limit = TimeLimit(path, timeout, per_frame)
    with open_container(path, timeout) as container:
        stream = video_stream(container, path)
        frames, position = _frames(container, stream, limit), 0
        for number in wanted:
            key = index.key_before(number)
            if key - position >= SEEK_GAIN:
                try:
                    container.seek(
                        int(index.stamps[key]),
                        stream=stream,
                        backward=True,
                        any_frame=False,
                    )
                except (av.FFmpegError, ValueError, OverflowError):
                    raise _SeekFailed from None
                frames = _frames(container, stream, limit, int(index.stamps[key]))
                position = key
            while position <= number:
                frame = next(frames, None)
                if frame is None or frame.pts != index.stamps[position]:
                    raise _SeekFailed
                position += 1
            if frame_checksum(frame) != index.checksums[number]:
                raise _SeekFailed
            yield from limit.hand_over((number, frame))


def _frames(container, stream, limit, first_stamp=None):
    """Good frames from here on, those before `first_stamp` passed over."""
    import av

    passed = count = 0
    try:
        for frames in decoded_batches(container, stream):
            limit.check(count)
            for frame in frames:
                early = first_stamp is not None and (
                    frame.pts is not None and frame.pts < first_stamp
                )
                if early and passed < _LEAD:
                    passed += 1
                    continue
                if frame.is_corrupt:
                    raise _SeekFailed
                count += 1
                yield frame
    except (av.FFmpegError, ValueError, RuntimeError) as error:
        if isinstance(error, VideoError):
            raise
        raise _SeekFailed from None
