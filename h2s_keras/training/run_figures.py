"""Figures of a run on held-out clips, and how they were taken in words."""

from h2s_keras.data.synthetic import CLASS_NAMES
from h2s_keras.evaluation.measure import (
    accuracy,
    collect_scores,
    grouped_accuracy,
    measure_flow,
)
from h2s_keras.evaluation.protocol import Protocol
from h2s_keras.evaluation.statistics import wilson_interval
from h2s_keras.models.motion_net import motion_net_of

MEASURE_BATCH = 32


def measure(network, data, stage=None):
    """Figures on held-out clips: of what `stage` trains, or of everything."""
    streams = ("motion", "temporal", "spatial") if stage is None else stage["streams"]
    trained = streams if stage is None else stage["train"] or streams
    figures = {}
    synthetic = tuple(data.class_names) == CLASS_NAMES
    if hasattr(data, "test_clips") and "motion" in trained:
        figures.update(measure_flow(motion_net_of(network), data.evaluation(MEASURE_BATCH)))
    names = [name for name in ("temporal", "spatial") if name in streams]
    if not names or len(data.class_names) < 2:
        return figures
    batches = data.evaluation(MEASURE_BATCH)
    first = next(batches, None)
    if first is None:
        return figures
    scores, labels = collect_scores(network, _chain(first, batches))
    if stage is None:
        names.append("fused")
    for name in names:
        if name not in scores:
            continue
        figures[f"{name}_accuracy"] = accuracy(scores[name], labels)
        if synthetic:
            for by in ("motion", "appearance"):
                value = grouped_accuracy(scores[name], labels, by)
                figures[f"{name}_{by}_accuracy"] = value
    figures["tested"] = len(labels)
    return figures


def accuracy_intervals(figures):
    """dict of each accuracy's name to its 95 % interval (low, high), Wilson's."""
    return {
        name: wilson_interval(value, figures["tested"])
        for name, value in figures.items()
        if name.endswith("accuracy")
    }


def _chain(first, rest):
    yield first
    yield from rest


def protocol_of(config, data):
    """How the figures were taken, in words, to stand beside every number."""
    size = "x".join(str(side) for side in config["data"]["image_size"])
    frames = config["data"]["num_frames"]
    if hasattr(data, "test_clips"):
        return f"{data.test_count} held-out synthetic clips, {frames} frames of {size}"
    if not data.test:
        return "no test: set data.test_group to leave a group out"
    group, weights = config["data"].get("test_group"), None
    which = "of the test list, which is no part"
    if group is not None:
        which = f"of the group {group!r} left out"
    if config["model"]["spatial"] and config["model"]["motion"] != "stored":
        weights = config["model"]["fusion"]
    about = Protocol.of_run(config["data"]).describe(
        frames,
        config["data"].get("stride", 1),
        config["data"]["image_size"],
        config["data"].get("rate"),
        weights,
    )
    return f"{len(data.test)} videos {which} of training; {about}"


def one_line(figures):
    """Figures of a stage as text for the log."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.3f}" if isinstance(value, float) else f"{value}"
        for name, value in figures.items()
        if name != "tested"
    )
