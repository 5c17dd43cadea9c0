"""A page to look through what was predicted of a video: one HTML file, nothing loaded."""

import base64
import importlib.resources
import json

import numpy as np

from h2s_keras.files import write_file

# Pictures of a video in its page, and the length of their longer side in pixels.
PICTURES, _SIDE = 240, 192


def write_review(path, video, prediction, rules=None, truth=None):
    """Writes the page of a video.

    It shows pictures of the video, strips of the truth, the prediction and the probability
    of each behaviour, a slider for each threshold, and the longest disagreements to step
    through; it follows the reader's light or dark theme.

    Args:
        path: path of the HTML file.
        video: path; decoded once more for the pictures.
        prediction: `Prediction` of it.
        rules: `Rule` of each behaviour, which the sliders begin with; None for 0.5.
        truth: `FrameLabels` with the same behaviours, or None.
    """
    labels = prediction.labels
    numbers, pictures = _pictures(video, labels.frames)
    rules = rules or []
    behaviors = [
        {
            "name": name,
            "threshold": rules[k].threshold if rules else 0.5,
            "shortest": rules[k].shortest if rules else 1,
            "probability": _encoded(np.rint(prediction.probabilities[:, k] * 255)),
            # 255 is -1, not labelled.
            "truth": None if truth is None else _encoded(truth.matrix[:, k]),
        }
        for k, name in enumerate(labels.behaviors)
    ]
    content = {
        "video": labels.video,
        "frames": labels.frames,
        "starts": [round(float(second), 3) for second in labels.times.starts],
        "behaviors": behaviors,
        "numbers": numbers,
        "pictures": pictures,
    }
    # "</script>" in a name would end the script.
    text = json.dumps(content).replace("<", "\\u003c")
    page = importlib.resources.files("h2s_keras.ethogram") / "review.html"
    page = page.read_text(encoding="utf-8")
    write_file(path, page.replace("CONTENT", text, 1).encode())


def _encoded(values):
    return base64.b64encode(np.asarray(values).astype("uint8").tobytes()).decode("ascii")


def _pictures(video, frames):
    """(numbers of frames, their pictures as base64 JPEG), evenly over the video."""
    import av

    from h2s_keras.data.video.reading import iterate_frames
    from h2s_keras.data.video.video_info import probe_video

    info = probe_video(video)
    scale = min(1.0, _SIDE / max(info.height, info.width))
    # JPEG halves the resolution of colours.
    size = tuple(max(2, 2 * round(side * scale / 2)) for side in (info.height, info.width))
    stride = max(1, -(-frames // PICTURES))
    numbers, pictures = [], []
    images = iterate_frames(video, size, on_broken="keep", stride=stride)
    for number, image in enumerate(images):
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.height, encoder.width = size
        encoder.pix_fmt, encoder.time_base = "yuvj420p", 1
        frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuvj420p")
        packets = [*encoder.encode(frame), *encoder.encode(None)]
        numbers.append(number * stride)
        pictures.append(base64.b64encode(b"".join(map(bytes, packets))).decode("ascii"))
    return numbers, pictures
