"""Measures a network on held-out clips: flow against truth, streams against labels."""

import numpy as np

from h2s_keras.data.synthetic.action_clips import APPEARANCES, MOTIONS
from h2s_keras.evaluation.statistics import accuracy, log_softmax
from h2s_keras.metrics.end_point_error import EndPointError


def measure_flow(motion_net, batches):
    """End-point error of MotionNet and of the zero-flow baseline.

    Args:
        motion_net: MotionNet.
        batches: dicts with "clip" (batch, time, H, W, 3) and "flow" (batch, time-1, H,
            W, 2), pixels.

    Returns:
        dict "end_point_error", "zero_flow_error" (pixels) and "ratio" of the two.
    """
    error, zero = EndPointError(), EndPointError()
    for batch in batches:
        estimate = motion_net.estimate_flow(batch["clip"], batch_size=32)
        error.update_state(batch["flow"], estimate)
        zero.update_state(batch["flow"], np.zeros_like(estimate))
    values = float(error.result()), float(zero.result())
    return {
        "end_point_error": values[0],
        "zero_flow_error": values[1],
        "ratio": values[0] / values[1],
    }


def collect_scores(network, batches):
    """Log-probabilities of every stream for every video, averaged over its clips.

    Args:
        network: HiddenTwoStream.
        batches: dicts with "clip" (or "flow" alone, for a network on stored flow), "label"
            and optionally "video".

    Returns:
        (scores, labels): dict of stream ("temporal", "spatial", "fused") to float32
        (videos, classes), and int (videos,).
    """
    parts, labels, videos = {}, [], []
    for batch in batches:
        # Not predict_on_batch: under a strategy it answers once for each replica.
        clips = batch["clip"] if "clip" in batch else batch["flow"]  # stored flow
        outputs = network.predict(clips, batch_size=len(clips), verbose=0)
        for name in ("temporal_logits", "spatial_logits", "logits"):
            if name in outputs:
                parts.setdefault(name, []).append(outputs[name])
        labels.append(batch["label"])
        start = 0 if not videos else videos[-1][-1] + 1
        count = len(batch["label"])
        videos.append(batch.get("video", np.arange(start, start + count)))
    labels, videos = np.concatenate(labels), np.concatenate(videos)
    _, first, inverse = np.unique(videos, return_index=True, return_inverse=True)
    scores = {}
    for name, values in parts.items():
        stream = {"logits": "fused"}.get(name, name.removesuffix("_logits"))
        clips = log_softmax(np.concatenate(values).astype("float64"))
        total = np.zeros((len(first), clips.shape[1]))
        np.add.at(total, inverse, clips)
        scores[stream] = (total / np.bincount(inverse)[:, None]).astype("float32")
    return scores, labels[first]


def grouped_accuracy(scores, labels, by):
    """Accuracy on the motions or on the appearances of the synthetic classes.

    The probabilities of the classes that share a motion (or an appearance) are summed.

    Args:
        scores: log-probabilities (clips, 12).
        labels: int (clips,), 0..11.
        by: "motion" or "appearance".
    """
    grid = np.exp(scores).reshape(-1, len(MOTIONS), len(APPEARANCES))
    if by == "motion":
        return accuracy(grid.sum(axis=2), labels // len(APPEARANCES))
    return accuracy(grid.sum(axis=1), labels % len(APPEARANCES))
