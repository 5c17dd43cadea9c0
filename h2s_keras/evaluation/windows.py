"""A window of frames and what a model answers for it."""

import dataclasses

import numpy as np

from h2s_keras.data.clips.sampling import clip_span
from h2s_keras.evaluation.measure import check_finite, log_softmax


@dataclasses.dataclass
class Window:
    """What a model says of one window of frames.

    Attributes:
        start, stop: frames that this answer stands for, stop not included.
        frames: list of these frames as they came, uint8 (height, width, 3).
        probabilities: float32 (classes,).
        flow: float32 (h, w, 2), flow of the window's middle pair on the model's finest
            grid, in pixels of it; None of an exported network.
    """

    start: int
    stop: int
    frames: list
    probabilities: np.ndarray
    flow: np.ndarray | None


def answer_window(model, held, told, count):
    """The Window of a clip of (frame or None, crop); the last is repeated as needed."""
    span = clip_span(model.num_frames, model.frame_stride)
    crops = [crop for _, crop in held]
    crops += [crops[-1]] * (span - len(crops))
    clip = np.stack(crops[:: model.frame_stride])
    outputs = model.predict_on_batch(clip[None])
    logits = np.asarray(outputs["logits"], "float64")[0]
    check_finite(logits, f"frames {told} to {count}")
    # An exported network answers without its flow.
    flow = outputs.get("flow2")
    if flow is not None:
        flow = np.asarray(flow[0], "float32")[len(flow[0]) // 2]
    shown = [frame for frame, _ in held if frame is not None][told - count :]
    probabilities = np.exp(log_softmax(logits)).astype("float32")
    return Window(told, count, shown, probabilities, flow)
