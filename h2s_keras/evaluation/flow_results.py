"""Accuracy of a MotionNet's flow on pairs of frames, pair by pair and in all."""

import numpy as np
from keras import ops

from h2s_keras.metrics import (
    AngularError,
    EndPointError,
    FlowOutlierRate,
    RegionEndPointError,
)
from h2s_keras.ops.warp import backward_warp

# Figure, title and unit, in the order of the table.
FIGURES = {
    "epe": "EPE px",
    "aae": "AAE deg",
    "fl_all": "Fl-all",
    "epe_boundary": "boundary px",
    "epe_0_10": "0-10 px",
    "epe_10_40": "10-40 px",
    "epe_40": "40+ px",
    "zero_epe": "zero flow px",
    "photometric": "photometric",
    "zero_photometric": "unwarped",
}
_REGIONS = {
    "epe_boundary": "boundary",
    "epe_0_10": (0, 10),
    "epe_10_40": (10, 40),
    "epe_40": (40, None),
}


def pair_flow(motion_net, frames):
    """Flow between two frames, by a MotionNet that takes any number of them.

    Frames beyond the second repeat it, as `h2s flow FRAME FRAME` does; a network of 2
    frames sees just the pair.

    Args:
        motion_net: MotionNet, or what `in_runtime` makes of it.
        frames: uint8 (2, height, width, 3).

    Returns:
        float32 (height, width, 2), pixels.
    """
    missing = motion_net.num_frames - 2
    clip = np.concatenate([frames, np.repeat(frames[1:], missing, axis=0)])
    return motion_net.estimate_flow(clip[None])[0, 0]


def flow_figures(frames, estimate, truth=None):
    """Figures of one pair.

    Args:
        frames: uint8 (2, height, width, 3).
        estimate: float (height, width, 2), pixels.
        truth: the same with NaN where unknown, or None.

    Returns:
        dict of floats: "photometric", the mean absolute difference in grey levels
        (0..255) between frame 1 and frame 2 warped back, where the flow stays inside;
        "zero_photometric" the same without warping; and with a truth "epe" (pixels), "aae"
        (degrees), "fl_all" (share), the EPE of regions and speeds (None where no pixel is
        of that kind), "zero_epe", the EPE of the zero-flow baseline, and "known"
        (pixels).
    """
    figures = photometric_error(frames, estimate)
    if truth is None:
        return figures
    for name, metric in (
        ("epe", EndPointError()),
        ("aae", AngularError()),
        ("fl_all", FlowOutlierRate()),
    ):
        metric.update_state(truth[None], estimate[None])
        figures[name] = float(metric.result())
    for name, region in _REGIONS.items():
        metric = RegionEndPointError(region)
        metric.update_state(truth[None], estimate[None])
        # Keras counts the share of the picture, here of one.
        pixels = round(float(metric.count) * truth[..., 0].size)
        figures[name] = float(metric.result()) if pixels else None
        figures[f"{name}_pixels"] = pixels
    zero = EndPointError()
    zero.update_state(truth[None], np.zeros_like(truth)[None])
    figures["zero_epe"] = float(zero.result())
    figures["known"] = int(np.isfinite(truth).all(axis=-1).sum())
    return figures


def photometric_error(frames, estimate):
    """As `flow_figures` for unlabelled frames: "photometric" and "zero_photometric"."""
    height, width = estimate.shape[:2]
    second = ops.convert_to_tensor(frames[1:].astype("float32"))
    flow = ops.convert_to_tensor(estimate[None].astype("float32"))
    warped = ops.convert_to_numpy(backward_warp(second, flow, padding="border"))[0]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    x, y = x + estimate[..., 0], y + estimate[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    first = frames[0].astype("float32")
    error = np.abs(first - warped).mean(axis=-1)
    still = np.abs(first - frames[1].astype("float32")).mean(axis=-1)
    return {
        "photometric": float(error[inside].mean()) if inside.any() else None,
        "zero_photometric": float(still.mean()),
    }


def flow_results(pairs, estimator, done=None):
    """Figures of every pair, and their mean over pairs.

    Args:
        pairs: `FlowPair`s.
        estimator: function of uint8 (2, height, width, 3) to float32 (height, width, 2).
        done: function called with the number of finished pairs, or None.

    Returns:
        dict "pairs" (name to figures), "mean" (over the pairs that have a figure, as
        Middlebury averages) and "pixels" (over all pixels with a known flow, as KITTI and
        Sintel do and the metrics of this library).

    Raises:
        FileError: a file of a pair cannot be read.

    Example:
        >>> pairs = find_flow_pairs("middlebury")
        >>> flow_results(pairs, lambda frames: pair_flow(motion_net, frames))["mean"]
    """
    results = {}
    for number, pair in enumerate(pairs, start=1):
        frames, truth = pair.read()
        results[pair.name] = flow_figures(frames, estimator(frames), truth)
        if done is not None:
            done(number)
    mean, pooled = {}, {}
    for key in FIGURES:
        found = [one for one in results.values() if one.get(key) is not None]
        values = [one[key] for one in found]
        counted = f"{key}_pixels" if key in _REGIONS else "known"
        weights = [one.get(counted, 0) for one in found]
        if found:
            mean[key] = float(np.mean(values))
        if any(weights) and "photometric" not in key:
            pooled[key] = float(np.average(values, weights=weights))
    return {"pairs": results, "mean": mean, "pixels": pooled}


def flow_rows(results):
    """(header, rows) of the table: one row per pair, their mean, and that of all pixels."""
    shown = [key for key in FIGURES if key in results["mean"]]

    def cell(key, value):
        if value is None:
            return "-"
        return f"{100 * value:.1f} %" if key == "fl_all" else f"{value:.3f}"

    named = [*results["pairs"].items(), ("mean", results["mean"])]
    if results["pixels"]:
        named.append(("all pixels", results["pixels"]))
    rows = [
        (name, *(cell(key, figures.get(key)) for key in shown)) for name, figures in named
    ]
    return ("pair", *(FIGURES[key] for key in shown)), rows
