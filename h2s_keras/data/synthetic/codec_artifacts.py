"""What a video codec does to frames: a short clip is encoded and decoded in memory."""

import io

import numpy as np

# The encoder, its container, and the range of its quality setting, fine to coarse: from
# barely visible to blocks that swim.
CODECS = (
    ("libx264", "mp4", 18, 38),
    ("mpeg4", "avi", 2, 16),
    ("mjpeg", "avi", 2, 20),
)


def through_codec(frames, codec, coarseness, offset=(0, 0)):
    """The frames as they come back from a video file.

    Args:
        frames: uint8 (time, height, width, 3) RGB.
        codec: number of an entry of CODECS.
        coarseness: 0..1, from the finest to the coarsest quality of that codec.
        offset: (rows, columns), 0..15: where the frames lie on the grid of 16-pixel blocks.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: FFmpeg was built without that encoder.

    Example:

    ```python
    through_codec(clip, 0, 0.5).shape == clip.shape     # H.264 of medium quality
    ```
    """
    import av

    name, container, finest, coarsest = CODECS[codec]
    quality = round(finest + coarseness * (coarsest - finest))
    time, height, width, _ = frames.shape
    above, left = (int(side) for side in offset)
    # Whole blocks, so that no codec pads in a way of its own.
    below, right = -(above + height) % 16, -(left + width) % 16
    frames = np.pad(frames, ((0, 0), (above, below), (left, right), (0, 0)), mode="edge")
    if name == "libx264":
        options = {"crf": str(quality), "preset": "veryfast", "tune": "zerolatency"}
    else:
        options = {"qmin": str(quality), "qmax": str(quality), "flags": "+qscale"}
        options["global_quality"] = str(quality * 118)
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=container) as file:
            stream = file.add_stream(name, rate=25, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuvj420p" if name == "mjpeg" else "yuv420p"
            stream.codec_context.thread_count = 1
            for picture in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    except av.codec.codec.UnknownCodecError:
        raise ValueError(f"FFmpeg has no encoder {name!r}") from None
    memory.seek(0)
    with av.open(memory) as file:
        decoded = [picture.to_ndarray(format="rgb24") for picture in file.decode(video=0)]
    if len(decoded) != time:
        raise ValueError(f"{name} gave {len(decoded)} of {time} frames back")
    return np.stack(decoded)[:, above : above + height, left : left + width]
