"""Figures of a run on held-out clips, and how they were taken in words."""

import itertools

from h2s_keras.data.synthetic.action_clips import CLASS_NAMES
from h2s_keras.evaluation.measure import collect_scores, grouped_accuracy, measure_flow
from h2s_keras.evaluation.protocol import Protocol
from h2s_keras.evaluation.statistics import accuracy, wilson_interval
from h2s_keras.models.motion_net_of import motion_net_of
from h2s_keras.training.validation import motion_sentence

# Pixels of a batch, of all frames: what a batch may take in memory follows from it.
_BATCH_PIXELS = 4_000_000


def measure_batch(config):
    """Clips to measure at a time: as many as fit in a bounded batch, at most 32."""
    height, width = config.data.image_size
    clip = config.data.num_frames * height * width
    return max(1, min(32, _BATCH_PIXELS // clip))


def measure(network, data, batch_size, stage=None):
    """Figures on held-out clips: of what `stage` trains, or of everything.

    Without a test they are those of the validation videos, where there are some.
    """
    streams = ("motion", "temporal", "spatial") if stage is None else stage.streams
    trained = streams if stage is None else stage.train or streams
    figures = {}
    synthetic = tuple(data.class_names) == CLASS_NAMES
    if hasattr(data, "test_clips") and "motion" in trained:
        figures.update(measure_flow(motion_net_of(network), data.evaluation(batch_size)))
    names = [
        name
        for name in ("temporal", "spatial")
        if name in streams and getattr(network, name, None) is not None
    ]
    if not names:
        return figures
    scores, labels = held_out_scores(network, data, batch_size)
    if stage is None:
        names.append("fused")
    return {**figures, **action_figures(scores, labels, names, synthetic)}


def motion_figures(stages):
    """Figures of the last stage that learned motion from pairs, without its history."""
    found = [figures for figures in stages.values() if "warped_error" in figures]
    return {k: v for k, v in found[-1].items() if k != "history"} if found else {}


def held_out_scores(network, data, batch_size):
    """(scores, labels) of the test videos, as `collect_scores`.

    Without a test those of the validation videos, and (empty dict, None) where there are
    neither, or none of the test videos can be read.
    """
    if len(data.class_names) < 2:
        return {}, None
    validates = getattr(data, "validates", False)
    batches = data.evaluation(batch_size)
    first = next(batches, None)
    if first is None and not getattr(data, "test", ()) and validates:
        batches = data.validation_batches(batch_size)
        first = next(batches, None)
    if first is None:
        return {}, None
    return collect_scores(network, itertools.chain([first], batches))


def action_figures(scores, labels, names, synthetic=False):
    """Accuracies of the streams by name, and "tested", the number of videos."""
    figures = {}
    for name in names:
        if name not in scores:
            continue
        figures[f"{name}_accuracy"] = accuracy(scores[name], labels)
        if synthetic:
            for by in ("motion", "appearance"):
                value = grouped_accuracy(scores[name], labels, by)
                figures[f"{name}_{by}_accuracy"] = value
    if scores:
        figures["tested"] = len(labels)
    return figures


def accuracy_intervals(figures):
    """dict of each accuracy's name to its 95 % interval (low, high), Wilson's."""
    return {
        name: wilson_interval(value, figures["tested"])
        for name, value in figures.items()
        if name.endswith("accuracy")
    }


def protocol_of(config, data):
    """How the figures were taken, in words, to stand beside every number."""
    size = "x".join(str(side) for side in config.data.image_size)
    frames = config.data.num_frames
    if hasattr(data, "test_clips"):
        return f"{data.test_count} held-out synthetic clips, {frames} frames of {size}"
    if config.model.temporal is None:
        if not data.validates:
            return "no test: data.validation sets a share of the videos aside"
        return (
            f"pairs of frames of {size} of {len(data.validation)} videos (or the end of a "
            "single one) set aside, by which the weights to keep were chosen; the "
            "difference that warping by the flow leaves, as a share of zero flow's"
        )
    group, weights, videos = config.data.test_group, None, data.test
    which = "of the test list, which is not used in training"
    if group is not None:
        which = f"of the group {group!r} left out of training"
    if not data.test:
        if not getattr(data, "validates", False):
            return "no test: set data.test_group to leave a group out"
        videos = data.validation
        which = "set aside for validation, by which the weights to keep were chosen"
        if config.refit:
            which += " (the saved model has learned from them since)"
    if config.model.spatial and config.model.motion != "stored":
        weights = config.model.fusion
    about = Protocol.of_run(config.data).describe(
        frames,
        config.data.stride,
        config.data.image_size,
        config.data.rate,
        weights,
    )
    return f"{len(videos)} videos {which}; {about}"


def one_line(figures):
    """Figures of a stage as text for the log."""
    if "warped_error" in figures:
        return motion_sentence(figures)
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.3f}"
        for name, value in figures.items()
        if isinstance(value, float)
    )
