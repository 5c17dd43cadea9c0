"""What the header and the first frame of a video say."""

import dataclasses
import os

from h2s_keras.data.video.conversion import frame_rotation, upright_size
from h2s_keras.data.video.decoder import decoded_frames, open_container, video_stream
from h2s_keras.data.video.frame_folder import find_frames, folder_frames


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself, after its first frame was decoded.

    Attributes:
        path: the file.
        frame_count_claimed: frames by the header, often wrong; None where it says nothing.
        width: pixels after rotation.
        height: pixels after rotation.
        rate: mean frames per second, or None.
        duration: seconds, or None.
        codec: name of the decoder.
        pixel_format: FFmpeg's name of the pixel format.
        rotation: degrees against the clock that the frames are turned by (0, 90, 180, 270).
    """

    path: str
    frame_count_claimed: int | None
    width: int
    height: int
    rate: float | None
    duration: float | None
    codec: str
    pixel_format: str
    rotation: int


def probe_video(path, timeout=60):
    """Reads the header and the first frame of a video.

    Args:
        path: name of the file.
        timeout: seconds of decoding allowed, or None.

    Returns:
        `VideoInfo`.

    Raises:
        VideoError: the file cannot be read or gives no frame.

    Example:

    ```python
    info = probe_video("holiday.mov")
    print(info.width, info.height, info.rate)
    ```
    """
    if os.path.isdir(path):
        return _probe_folder(path)
    with open_container(path, timeout) as container:
        stream = video_stream(container, path)
        frame = next(decoded_frames(container, stream, path, timeout))
        turns = frame_rotation(frame)
        height, width = upright_size(frame, turns)
        duration = None
        if stream.duration:
            duration = float(stream.duration * stream.time_base)
        elif container.duration:
            duration = container.duration / 1e6
        return VideoInfo(
            path=os.fspath(path),
            frame_count_claimed=stream.frames or None,
            width=width,
            height=height,
            rate=float(stream.average_rate) if stream.average_rate else None,
            duration=duration,
            codec=stream.codec_context.name,
            pixel_format=frame.format.name,
            rotation=90 * turns,
        )


def _probe_folder(path):
    folder = find_frames(path)
    for _, frame in folder_frames(path, sorted({0, folder.count - 1})):
        height, width = upright_size(frame, frame_rotation(frame))
    codec = folder.suffix.rpartition(".")[2].lower()
    return VideoInfo(
        path=os.fspath(path),
        frame_count_claimed=folder.count,
        width=width,
        height=height,
        rate=None,
        duration=None,
        codec=codec,
        pixel_format=frame.format.name,
        rotation=90 * frame_rotation(frame),
    )
