"""From a file to good frames in order: opening, choosing the stream, seeing breaks."""

import os
import time

from h2s_keras.data.frame_folder import folder_frames
from h2s_keras.errors import BrokenVideoError, VideoError

# Seconds by which a file may end before its header says, before it counts as cut short.
CUT_SLACK = 0.5


def open_container(path, timeout):
    import av

    av.logging.set_level(None)
    name = os.fspath(path)
    if os.path.isdir(name):
        raise VideoError(path, "is a folder; give a video file")
    if not os.path.exists(name):
        raise VideoError(path, "no such file; check the name")
    # Opening a pipe or a device could wait for ever.
    if not os.path.isfile(name):
        raise VideoError(path, "is not a regular file; copy it to one")
    if os.path.getsize(name) == 0:
        raise VideoError(path, "is empty (0 bytes); fetch or record it again")
    try:
        # "file:" and the white list keep FFmpeg from reading "a:b.mp4" as a protocol
        # and a play list in disguise from reaching the network.
        return av.open(
            "file:" + os.path.abspath(name),
            options={"protocol_whitelist": "file"},
            timeout=timeout,
            **any_tags(),
        )
    except PermissionError:
        raise VideoError(path, "may not be read; change its permissions") from None
    except (av.FFmpegError, OSError, ValueError, RuntimeError):
        raise VideoError(
            path,
            "is not a video that FFmpeg can open (another kind of file, or cut short); "
            "fetch it again or convert it to mp4",
        ) from None


def any_tags():
    """Arguments of `av.open` for files whose tags are not UTF-8, which is no harm."""
    import av

    # PyAV 19 accepts any tag and has no such argument; before, one was an error.
    old = int(av.__version__.split(".")[0]) < 19
    return {"metadata_errors": "replace"} if old else {}


def video_stream(container, path):
    kind = container.format.name
    if kind == "tty":
        raise VideoError(path, "is a text file, not a video; give a video file")
    if kind.endswith("_pipe") or kind == "image2":
        raise VideoError(path, "is a still image, not a video; give a video file")
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & _attached_picture()
    ]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["no"]
        raise VideoError(
            path,
            f"holds no video stream, only {', '.join(kinds)} (cover art does not count); "
            "give a file with moving pictures",
        )
    if streams[0].codec_context is None:
        raise VideoError(
            path, "is in a video codec that this FFmpeg cannot decode; convert it to H.264"
        )
    return streams[0]


def _attached_picture():
    from av.stream import Disposition

    return Disposition.attached_pic


class TimeLimit:
    """Seconds that the decoding of one file may take; the caller's own do not count.

    Args:
        path: the file, for the error.
        seconds: allowed in all, or between two frames; None for no limit.
        per_frame: whether the limit is one from frame to frame.
    """

    def __init__(self, path, seconds, per_frame=False):
        self.path, self.seconds, self.per_frame = path, seconds, per_frame
        self.started = time.monotonic()

    def check(self, count):
        """Raises a `VideoError` once the time is up."""
        if not self.seconds or time.monotonic() - self.started <= self.seconds:
            return
        if self.per_frame:
            state, cure = f"gave no frame for {self.seconds:g} s", "convert the video"
        else:
            state = f"took more than {self.seconds:g} s to decode"
            cure = "raise `timeout`, read fewer frames, or convert the video"
        raise VideoError(self.path, f"{state} ({count} frames so far); {cure}", count)

    def hand_over(self, item):
        """Yields one item; the time until the caller is back does not count."""
        handed_over = time.monotonic()
        yield item
        now = time.monotonic()
        self.started = now if self.per_frame else self.started + now - handed_over


def open_and_decode(path, timeout, per_frame=False):
    """Yields the good frames of a video file or a folder of frames, as `av.VideoFrame`s."""
    if os.path.isdir(path):
        for _, frame in limited_folder_frames(path, None, timeout, per_frame):
            yield frame
        return
    with open_container(path, timeout) as container:
        stream = video_stream(container, path)
        yield from decoded_frames(container, stream, path, timeout, per_frame)


def limited_folder_frames(path, wanted, timeout, per_frame=False):
    """`folder_frames` under a time limit."""
    limit = TimeLimit(path, timeout, per_frame)
    for item in folder_frames(path, wanted):
        limit.check(item[0])
        yield from limit.hand_over(item)


def decoded_frames(container, stream, path, timeout, per_frame=False):
    """Yields the good frames of a stream in order, then raises if it broke."""
    import av

    count = 0
    limit = TimeLimit(path, timeout, per_frame)
    reason = None
    batches = decoded_batches(container, stream)
    while reason is None:
        limit.check(count)
        try:
            frames = next(batches)
        except StopIteration as end:
            reason = end.value
            break
        except (av.FFmpegError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            break
        for frame in frames:
            if frame.is_corrupt:
                # Recordings often start inside a picture group; nothing is lost yet.
                if count == 0:
                    continue
                reason = "a frame is damaged"
                break
            limit.check(count)
            count += 1
            yield from limit.hand_over(frame)
    claimed = f", although its header claims {stream.frames}" if stream.frames else ""
    if count == 0:
        why = f" ({reason})" if reason else ""
        raise VideoError(
            path, f"gives no decodable frame{claimed}{why}; fetch it again or convert it"
        )
    if reason:
        raise BrokenVideoError(
            path,
            f"breaks after {count} good frames{claimed} ({reason}); fetch it again or "
            "convert it",
            count,
        )


def decoded_batches(container, stream):
    """Yields lists of frames packet by packet; returns why the stream broke, or None.

    Packets that give none yield an empty list, so that the time limit is looked at.
    """
    import av

    packets, accepted, last_end, reason = 0, 0, 0.0, None
    avi, last_stamp = container.format.name == "avi", None
    for packet in container.demux():
        # Empty packets mean "repeat" inside AVI files and would flush the decoder.
        if packet.size == 0:
            yield ()
            continue
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None and packet.time_base:
            end = (stamp + (packet.duration or 0)) * packet.time_base
            last_end = max(last_end, float(end))
        if packet.stream is not stream:
            yield ()
            continue
        packets += 1
        if packet.is_corrupt and accepted:
            reason = "a packet is cut short or damaged"
            break
        try:
            frames = stream.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            if accepted:
                reason = getattr(error, "strerror", None) or str(error)
                break
            yield ()
            continue
        accepted += 1
        if avi:
            last_stamp = _stamp_as_shown(frames, last_stamp)
        yield frames
    if reason is None and _ends_early(container, stream, packets, last_end):
        reason = "the file ends early"
    # After a break the decoder still holds frames, but with B-frames not the next ones.
    if reason is None:
        frames = stream.decode(None)
        for frame in frames:
            # Without a packet PyAV does not know what the stamps count.
            if not frame.time_base:
                frame.time_base = stream.time_base
        if avi:
            _stamp_as_shown(frames, last_stamp)
        yield frames
    return reason


def _stamp_as_shown(frames, last):
    """Stamps of an AVI file's frames in the order they are shown; returns the last one.

    The file only says when a packet is decoded. With B-frames such a stamp is that of
    another frame, and they fall; the stamps of the packets that brought frames out rise.
    """
    for frame in frames:
        if frame.dts is not None:
            frame.pts = frame.dts
        elif last is not None:
            # At the end no packet brings a frame out; a tick of AVI is one frame.
            frame.pts = last + 1
        last = frame.pts
    return last


def _ends_early(container, stream, packets, last_end):
    # A count alone proves nothing: edit lists of trimmed phone videos hide packets.
    if stream.frames and packets >= stream.frames:
        return False
    if stream.duration:
        start = (stream.start_time or 0) * stream.time_base
        end = float(start + stream.duration * stream.time_base)
    elif container.duration:
        end = ((container.start_time or 0) + container.duration) / 1e6
    else:
        return False
    return last_end < end - CUT_SLACK
