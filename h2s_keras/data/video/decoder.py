"""From a file to good frames in order: opening, choosing the stream, seeing breaks."""

import os
import time
import warnings

from h2s_keras.data.video.container_files import gif_images, is_cut, shown_pictures
from h2s_keras.data.video.conversion import FrameFilter, mirroring
from h2s_keras.data.video.frame_folder import folder_frames
from h2s_keras.data.video.images import careful_decoder, jpeg_ends
from h2s_keras.data.video.time_stamps import JOINED, stamps_of
from h2s_keras.errors import BrokenVideoError, VideoError, VideoWarning

# Seconds by which a file may end before its header says, before it counts as cut short.
CUT_SLACK = 0.5
# Packets from one that looks damaged to the end of the recording that it belongs to.
_MOST_DOUBTED = 2
_DAMAGED = "a packet is cut short or damaged"
# Formats whose duration FFmpeg reads off the last packets, so that it proves nothing.
_MEASURED = ("mpegts", "mpeg", "ogg")


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
            **odd_metadata(),
        )
    except PermissionError:
        raise VideoError(path, "may not be read; change its permissions") from None
    except (av.FFmpegError, OSError, ValueError, RuntimeError):
        raise VideoError(
            path,
            "is not a video that FFmpeg can open (another kind of file, or cut short); "
            "fetch it again or convert it to mp4",
        ) from None


def video_stream(container, path):
    kind = container.format.name
    if kind == "tty":
        raise VideoError(path, "is a text file, not a video; give a video file")
    if kind.endswith("_pipe") or kind == "image2":
        raise VideoError(path, "is a still image, not a video; give a video file")
    unwanted = _attached_picture()
    streams = [s for s in container.streams.video if not s.disposition & unwanted]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["no"]
        raise VideoError(
            path,
            f"holds no video stream, only {', '.join(kinds)} (cover art does not count); "
            "give a file with moving pictures",
        )
    stream = _default_stream(streams, path)
    if stream.codec_context is None:
        raise VideoError(
            path, "is in a video codec that this FFmpeg cannot decode; convert it to H.264"
        )
    return stream


def _attached_picture():
    from av.stream import Disposition

    return Disposition.attached_pic | Disposition.timed_thumbnails


def _default_stream(streams, path):
    from av.stream import Disposition

    default = [stream for stream in streams if stream.disposition & Disposition.default]
    equal = default or streams
    if len(equal) > 1 and (default or len({(s.width, s.height) for s in equal}) > 1):
        marked = "are marked as the default" if default else "may be meant"
        warnings.warn(
            f"{path}: holds {len(streams)} video streams, of which {len(equal)} {marked}; "
            f"the first of these is used (stream {equal[0].index})",
            VideoWarning,
            stacklevel=4,
        )
    return equal[0]


def odd_metadata():
    """Options of `av.open` that let it pass over metadata that is not UTF-8."""
    import av

    # PyAV 19 replaces such bytes by itself and has no option for it.
    known = int(av.__version__.split(".")[0]) < 19
    return {"metadata_errors": "replace"} if known else {}


def _picture_filter(container, stream, path):
    """`FrameFilter` that crops and mirrors as the container says, or None."""
    pictures = shown_pictures(path)
    unwanted = _attached_picture()
    videos = [s for s in container.streams.video if not s.disposition & unwanted]
    by_track = [picture for picture in pictures if picture.track == stream.id]
    if by_track:
        picture = by_track[0]
    elif len(pictures) == len(videos) and all(p.track is None for p in pictures):
        picture = pictures[[video.index for video in videos].index(stream.index)]
    else:
        return None
    chain = []
    left, top, right, bottom = picture.margins
    if any(picture.margins):
        size = f"w=iw-{left + right}:h=ih-{top + bottom}:x={left}:y={top}:exact=1"
        chain.append(("crop", size))
    if picture.mirrored:
        chain += mirroring()
    return FrameFilter(*chain) if chain else None


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

    path = container.name.removeprefix("file:")
    if not stream.codec_context.is_open:
        careful_decoder(stream.codec_context)
    packets, accepted, reason = 0, 0, None
    # Where recordings were joined, one of the last packets before it looks damaged; what
    # comes behind begins a picture group.
    joined, doubted = container.format.name in JOINED, []
    first, last_end = None, 0.0
    shown, set_stamps = _picture_filter(container, stream, path), stamps_of(container, path)
    whole = _WholeImages(stream, path)

    def ready(frames):
        frames = set_stamps(frames)
        return frames if shown is None else [shown(frame) for frame in frames]

    for packet in container.demux():
        # Empty packets mean "repeat" inside AVI files and would flush the decoder.
        if packet.size == 0:
            yield ()
            continue
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None and packet.time_base:
            begin = float(stamp * packet.time_base)
            first = begin if first is None else min(first, begin)
            end = (stamp + (packet.duration or 0)) * packet.time_base
            last_end = max(last_end, float(end))
        if packet.stream is not stream:
            yield ()
            continue
        packets += 1
        if doubted and packet.is_keyframe:
            yield from doubted
            doubted = []
        elif len(doubted) > _MOST_DOUBTED:
            reason = _DAMAGED
            break
        ends = whole(packet)
        if accepted and (packet.is_corrupt and not joined or not ends):
            reason = _DAMAGED
            break
        try:
            frames = stream.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            # A recording may begin inside a picture group, a file may not.
            if accepted or (packet.is_keyframe and not joined):
                reason = getattr(error, "strerror", None) or str(error)
                break
            yield ()
            continue
        accepted += 1
        frames = ready(frames)
        if doubted or (packet.is_corrupt and accepted > 1):
            doubted.append(frames)
            yield ()
        else:
            yield frames
    if doubted:
        reason = reason or _DAMAGED
    if reason is None and _lost_frames(container, stream, path, packets, first, last_end):
        reason = "the file ends early"
    # After a break the decoder still holds frames, but with B-frames not the next ones.
    if reason is None:
        frames = stream.decode(None)
        for frame in frames:
            # Without a packet PyAV does not know what the stamps count.
            if not frame.time_base:
                frame.time_base = stream.time_base
        yield ready(frames)
    return reason


class _WholeImages:
    """Whether the images of MJPEG and GIF are whole, which their decoders do not look at.

    A JPEG image ends with a marker; where the first one lacks it, the camera leaves it out.
    """

    def __init__(self, stream, path):
        self.codec, self.wanted = stream.codec_context.name, None
        self.left = gif_images(path)[0] if self.codec == "gif" else 0

    def __call__(self, packet):
        if self.codec == "gif":
            self.left -= 1
            return self.left >= 0
        if self.codec != "mjpeg" or self.wanted is False:
            return True
        ends = jpeg_ends(bytes(packet))
        self.wanted = ends if self.wanted is None else self.wanted
        return ends


def _lost_frames(container, stream, path, packets, first, last_end):
    """Whether frames are missing at the end of a file."""
    # A count alone proves nothing: edit lists of trimmed phone videos hide packets.
    counted = container.format.name == "gif"
    if stream.frames and packets >= stream.frames and not counted:
        return False
    cut = is_cut(path)
    if cut is not None:
        # The table of an MP4 file lists every frame; elsewhere headers are guesses.
        listed = "mp4" in container.format.name and stream.frames
        return cut or bool(listed and _ends_early(container, stream, first, last_end))
    if container.format.name in _MEASURED:
        return False
    return _ends_early(container, stream, first, last_end)


def _ends_early(container, stream, first, last_end):
    if stream.duration:
        duration = float(stream.duration * stream.time_base)
    elif container.duration:
        duration = container.duration / 1e6
    else:
        return False
    # Some count the duration from zero, others from the first stamp.
    return max(last_end, last_end - (first or 0.0)) < duration - CUT_SLACK
