"""From scores to the figures of recognition, each with its interval and protocol."""

import numpy as np

from h2s_keras.evaluation.fusion import normalize_scores
from h2s_keras.evaluation.statistics import (
    bootstrap_interval,
    class_table,
    confusion_matrix,
    effective_count,
    expected_calibration_error,
    log_softmax,
    mcnemar_test,
    mean_class_accuracy,
    most_confused_pairs,
    top_k_correct,
    wilson_interval,
)
from h2s_keras.metrics.video_mean_average_precision import VideoMeanAveragePrecision


def recognition_results(scores, samples=1000):
    """All figures of saved or fresh scores.

    Args:
        scores: VideoScores with labels.
        samples: draws of the bootstrap, which gives the interval of the class mean; 0
            leaves that out. Top-1 and top-5 have Wilson's intervals.

    Returns:
        dict "protocol", "model_sha256", "videos", "streams" (stream to a dict of figures,
        all but "map_*" missing where a video has several classes) and, of the fused
        scores, "classes" (rows of `class_table`), "confusion", "confused" (rows).
    """
    labels = np.asarray(scores.labels)
    count = scores.fused.shape[1]
    names = scores.class_names or [str(number) for number in range(count)]
    results = {
        "protocol": scores.protocol,
        "model_sha256": scores.checksum,
        "videos": len(labels),
        "class_names": list(names),
        "streams": {
            stream: stream_figures(values, labels, samples)
            for stream, values in scores.streams.items()
        },
    }
    if labels.ndim == 1:
        confusion = confusion_matrix(labels, scores.fused.argmax(axis=1), len(names))
        results["confusion"] = confusion.tolist()
        results["classes"] = class_table(confusion, names)
        results["confused"] = most_confused_pairs(confusion, names)
    return results


def stream_figures(scores, labels, samples=1000):
    """Figures of one score matrix (videos, classes): shares from 0 to 1.

    For average precision the videos are ranked by the probability of the class, since
    logits of different videos have no common zero.
    """
    figures = {}
    if labels.ndim == 1:
        right = top_k_correct(scores, labels).astype("float64")
        best = scores.argmax(axis=1)
        figures["top1"] = float(right.mean())
        figures["top1_interval"] = wilson_interval(figures["top1"], len(labels))
        if scores.shape[1] > 5:
            figures["top5"] = float(top_k_correct(scores, labels, 5).mean())
            figures["top5_interval"] = wilson_interval(figures["top5"], len(labels))
        figures["mean_class"] = mean_class_accuracy(labels, best)
        if samples:
            mean = figures["mean_class"]
            interval = bootstrap_interval(
                mean_class_accuracy, labels, best, samples=samples
            )
            if mean in (0, 1):
                # Whatever is drawn again is the same: the bootstrap has nothing to go by.
                interval = wilson_interval(mean, effective_count(labels))
            figures["mean_class_interval"] = interval
        figures["ece"] = expected_calibration_error(probabilities(scores), labels)
    ranked = scores if is_probability(scores) else log_softmax(scores.astype("float64"))
    for rule in ("thumos", "activitynet"):
        metric = VideoMeanAveragePrecision(scores.shape[1], len(scores), rule)
        truth = labels if labels.ndim == 1 else labels.astype("float32")
        metric.update_state(truth, ranked, np.arange(len(scores)))
        figures[f"map_{rule}"] = float(metric.result())
    return figures


def is_probability(scores):
    """Whether the rows of a score matrix are probabilities already."""
    return bool(np.min(scores) >= 0 and np.allclose(np.sum(scores, axis=1), 1, atol=1e-3))


def probabilities(scores):
    """Rows that sum to 1: the scores themselves where they do, or their softmax."""
    return scores if is_probability(scores) else normalize_scores(scores, "softmax")


def compared(scores, other, rows, columns):
    """Paired test of the fused top-1 of two sets of scores on the same videos.

    Args:
        scores, other: VideoScores; `rows` and `columns` put the videos and the classes of
            `other` in the order of `scores`.

    Returns:
        dict as `mcnemar_test`, with both accuracies.
    """
    first = top_k_correct(scores.fused, scores.labels)
    second = top_k_correct(other.fused[rows][:, columns], scores.labels)
    return {
        "first_top1": float(first.mean()),
        "second_top1": float(second.mean()),
        **mcnemar_test(first, second),
    }


FIGURES = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_class": "class mean",
    "map_thumos": "mAP (THUMOS)",
    "map_activitynet": "mAP (ActivityNet)",
    "ece": "calibration error",
}


def figure_rows(results):
    """(header, rows) of the table of figures: one row per stream, in percent."""
    streams = results["streams"]
    shown = [key for key in FIGURES if any(key in one for one in streams.values())]

    def cell(figures, key):
        if key not in figures:
            return ""
        text = f"{100 * figures[key]:.1f} %"
        if f"{key}_interval" in figures:
            low, high = figures[f"{key}_interval"]
            text += f" ({100 * low:.1f}-{100 * high:.1f})"
        return text

    order = [name for name in ("spatial", "temporal", "fused") if name in streams]
    order += [name for name in streams if name not in order]
    rows = [(name, *(cell(streams[name], key) for key in shown)) for name in order]
    return ("stream", *(FIGURES[key] for key in shown)), rows
