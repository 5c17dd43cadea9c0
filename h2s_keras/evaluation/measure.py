"""Measures a network on held-out clips: flow against truth, streams against labels."""

import itertools

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
            and optionally "video"; those of a video follow each other. No more
            clips are computed at a time than the first batch holds.

    Returns:
        (scores, labels): dict of stream ("temporal", "spatial", "fused") to float32
        (videos, classes), and int (videos,).
    """
    labels, batches = {}, iter(batches)
    first = next(batches)

    def clips_of_videos():
        for batch in itertools.chain([first], batches):
            clips = batch["clip"] if "clip" in batch else batch["flow"]  # stored flow
            videos = batch.get("video", len(labels) + np.arange(len(clips)))
            for video, clip, label in zip(videos, clips, batch["label"], strict=True):
                labels[int(video)] = label
                yield int(video), clip

    sums, counts = {}, {}
    clips = join_repeats(clips_of_videos())
    while part := list(itertools.islice(clips, len(first["label"]))):
        stacked = np.stack([clip for _, clip, _ in part])
        # Not predict_on_batch: under a strategy it answers once for each replica.
        outputs = network.predict(stacked, batch_size=len(stacked), verbose=0)
        for name in ("temporal_logits", "spatial_logits", "logits"):
            if name not in outputs:
                continue
            values = log_softmax(np.asarray(outputs[name], "float64"))
            videos = sums.setdefault(name, {})
            for (video, _, count), row in zip(part, values, strict=True):
                videos[video] = videos.get(video, 0.0) + count * row
        for video, _, count in part:
            counts[video] = counts.get(video, 0) + count
    videos = sorted(labels)
    scores = {}
    for name, totals in sums.items():
        stream = {"logits": "fused"}.get(name, name.removesuffix("_logits"))
        means = [totals[video] / counts[video] for video in videos]
        scores[stream] = np.array(means, "float32")
    return scores, np.array([labels[video] for video in videos])


def join_repeats(clips):
    """Clips that follow themselves as one: short videos give a clip several times over.

    Args:
        clips: iterable of (number of the video, array).

    Yields:
        (number of the video, array, how often it came).

    Example:

    ```python
    list(join_repeats([(0, "a"), (0, "a"), (1, "a")]))   # [(0, "a", 2), (1, "a", 1)]
    ```
    """
    held, count = None, 0
    for video, clip in clips:
        if held and held[0] == video and np.array_equal(held[1], clip):
            count += 1
            continue
        if held:
            yield *held, count
        held, count = (video, clip), 1
    if held:
        yield *held, count


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
