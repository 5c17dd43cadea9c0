"""Suite `training`: a step of every stage against the same step in plain PyTorch."""

import os
import tempfile

import numpy as np

from benchmarks.harness import measure
from benchmarks.peer_process import PeerProcess

STAGES = ("motion", "temporal", "end_to_end", "spatial")
CLIPS, SMOKE_CLIPS = (2, 11, 224, 224, 3), (2, 3, 64, 64, 3)
CLASSES = 101
# Of the loss, after each of the first steps: the peer makes the same updates.
TOLERANCE, STEPS = 1e-3, 3
# bfloat16 keeps 8 bits of a number, a step of 0.8 percent; it rounds everywhere else too.
BFLOAT16_TOLERANCE = 0.02
# Large enough that a wrong update shows in the loss of the next step.
RATES = {"motion": 1e-5, "temporal": 1e-2, "end_to_end": 1e-3, "spatial": 1e-4}
AIM = 1.0


def run(settings, figures):
    first = None
    for stage in STAGES:
        with tempfile.TemporaryDirectory() as folder:
            seconds = measure_stage(figures, settings, stage, folder)["ours"]
        if first is None:
            first = seconds
            continue
        pairs = zip(seconds, first, strict=True)
        what = f"time of a step of {stage} / {STAGES[0]}"
        figures.add("ours", what, [one / two for one, two in pairs])


def measure_stage(figures, settings, stage, folder, clips=CLIPS, steps=1, **device):
    """Times a stage's step in turns with PyTorch's, once both have found the same losses.

    Args:
        figures: Figures, which gets the ratio and both peaks of memory.
        settings: Settings.
        stage: one of STAGES.
        folder: where weights and losses may lie.
        clips: shape of the batch.
        steps: taken in one measured run; more than one go through `fit`.
        **device: for another place and precision than float32 on the cores: "policy" of
            ours, "device" and "bfloat16" of the peer.

    Returns:
        dict from "ours" and "PyTorch" to the seconds of a step in every round.
    """
    options = {
        "stage": stage,
        "variant": "tiny" if settings.smoke else "motionnet",
        "clips": SMOKE_CLIPS if settings.smoke else clips,
        "classes": CLASSES,
        "rate": RATES[stage],
        "threads": settings.threads,
        "steps": steps,
        "weights": os.path.join(folder, "weights.npz"),
        **device,
    }
    tolerance = BFLOAT16_TOLERANCE if device.get("bfloat16") else TOLERANCE
    batch, frames, height, width, _ = options["clips"]
    case = f"{stage}, {batch} of {frames}x{height}x{width}"
    # Two children, since memory is a process's own; ours writes the weights that both have.
    with PeerProcess("keras_training.py", options) as ours:
        with PeerProcess("torch_training.py", options) as peer:
            processes = {"ours": ours}
            for name, reason in peer.missing.items():
                figures.miss(name, reason)
            if peer.runs:
                processes["PyTorch"] = peer
                _check(figures, case, ours, peer, folder, tolerance)
            timed = "step" if steps == 1 else "steps"
            functions = {name: one.timer(timed) for name, one in processes.items()}
            seconds = measure(functions, settings.rounds)
            seconds = {name: [one / steps for one in s] for name, s in seconds.items()}
            figures.add_seconds(case, seconds)
            figures.ratio(case, seconds, "ours", "PyTorch", AIM)
            peaks = {name: one.peak_bytes for name, one in processes.items()}
    for name, peak in peaks.items():
        figures.value(f"peak memory of {name}, GiB, {case}", round(peak / 2**30, 2))
    if "PyTorch" in peaks:
        ratio = round(peaks["ours"] / peaks["PyTorch"], 2)
        figures.value(f"peak memory of ours / PyTorch, {case}", ratio)
    return seconds


def _check(figures, case, ours, peer, folder, tolerance):
    """Equal losses step after step: the same network, loss, gradients and update."""
    losses = np.array([_losses(ours, peer, folder) for _ in range(STEPS)])
    apart = float(np.max(np.abs(losses[:, 0] / losses[:, 1] - 1.0)))
    moved = float(np.ptp(losses[:, 0]) / losses[0, 0])
    figures.value(f"change of the loss in {STEPS} steps, relative, {case}", moved)
    figures.value(f"largest difference from PyTorch's loss, relative, {case}", apart)
    if not apart < tolerance:
        raise RuntimeError(f"{case}: losses {losses.tolist()} differ from PyTorch's")


def _losses(ours, peer, folder):
    path = os.path.join(folder, "loss.npy")
    losses = []
    for process in (ours, peer):
        process.seconds("step", save=path)
        losses.append(float(np.load(path)))
    return losses
