"""Frames of a camera or a stream as they come."""

import re
import sys

from h2s_keras.errors import UserError

_DEVICES = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("dshow", "video={}"),
}


def stream_frames(source, size=None, max_frames=None, timeout=10.0, times=None):
    """Opens a camera or a network stream.

    Args:
        source: number of a camera, counted from 0 (on Windows its name), or an address
            such as rtsp://host/path or http://host/video.mp4.
        size: short side in pixels that frames are shrunk to, or None.
        max_frames: stop after so many, or None.
        timeout: seconds without an answer until it counts as lost.
        times: `FrameTimes` that notes when each frame was taken, or None.

    Returns:
        (rate, frames): frames a second by the source's own word (25 where it has none),
        often a wrong one, and an iterator of uint8 (height, width, 3) RGB that closes the
        source at its end.

    Raises:
        UserError: the source cannot be opened, or has no video.

    Example:
        >>> rate, frames = stream_frames("rtsp://camera.local/live", size=256)
    """
    import av

    from h2s_keras.data.video.decoder import odd_metadata

    av.logging.set_level(None)
    source = str(source)
    options, kind, name = {}, None, source
    if not re.match(r"[a-z][a-z0-9+.-]+://", source):
        if not source.isdigit() and sys.platform != "win32":
            raise UserError(
                f"{source}: a camera is a number (0 is the first one) or an address such "
                "as rtsp://host/path; give a file without --camera"
            )
        kind, pattern = _DEVICES.get(sys.platform, _DEVICES["linux"])
        name = pattern.format(source)
    if source.startswith("rtsp://"):
        # Lost UDP packets would show as smeared pictures.
        options["rtsp_transport"] = "tcp"
    try:
        container = av.open(
            name, format=kind, options=options, timeout=timeout, **odd_metadata()
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{source}: cannot be opened ({reason}); check the number or address, and that "
            "no other program uses it"
        ) from None
    if not container.streams.video:
        container.close()
        raise UserError(f"{source}: holds no video")
    stream = container.streams.video[0]
    rate = float(stream.average_rate) if stream.average_rate else 25.0
    return rate, _frames(av, source, container, stream, size, max_frames, times)


def _frames(av, source, container, stream, size, max_frames, times):
    from h2s_keras.data.video.conversion import apply_rotation, exact_method, frame_rotation

    count = 0
    with container:
        try:
            for frame in container.decode(stream):
                if times is not None:
                    times.note(frame)
                width, height = frame.width, frame.height
                scale = 1.0 if size is None else min(1.0, size / min(width, height))
                picture = frame.to_ndarray(
                    format="rgb24",
                    width=max(1, round(width * scale)),
                    height=max(1, round(height * scale)),
                    interpolation=exact_method(),
                )
                yield apply_rotation(picture, frame_rotation(frame))
                count += 1
                if count == max_frames:
                    return
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if count == 0:
                raise UserError(f"{source}: gives no frame ({reason})") from None
            print(f"h2s: {source}: ended after {count} frames ({reason})", file=sys.stderr)
