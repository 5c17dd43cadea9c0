"""A video file with texture, motion and noise, to measure on where no video is at hand."""

import os

import numpy as np


def write_video(path, frames, size=(240, 320), seed=0, codec="mpeg4", rate=25):
    """Writes a moving pattern with noise, at the size, rate and codec of UCF101's files.

    Args:
        path: of the new file.
        frames: how many.
        size: (height, width) in pixels.

    Returns:
        `path`.
    """
    import av

    generator = np.random.default_rng(seed)
    height, width = size
    wide = generator.normal(128, 40, (height // 8 + 8, width // 8 + 8, 3))
    wide = wide.repeat(8, 0).repeat(8, 1).clip(0, 255)
    noise = generator.normal(0, 4, (height, width, 3))
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.bit_rate = 400_000
        for number in range(frames):
            down, right = number % 60, 2 * number % 60
            picture = wide[down : down + height, right : right + width] + noise
            frame = av.VideoFrame.from_ndarray(
                picture.clip(0, 255).astype("uint8"), "rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_class_folders(folder, count, frames=150):
    """Writes `count` videos of about `frames` frames into two class folders.

    Returns:
        `folder`.
    """
    for number in range(count):
        place = os.path.join(folder, ("left", "right")[number % 2])
        os.makedirs(place, exist_ok=True)
        length = frames + frames // 16 * (number % 16)
        write_video(os.path.join(place, f"{number}.avi"), length, seed=number)
    return folder
