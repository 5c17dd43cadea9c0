"""Arithmetic and time of training and testing: the tables of docs/scaling.md and paper.md.

Command: python -m benchmarks.tools.scaling_cost

Operations are counted from the networks and from the values of the recipes; a training
step counts three times the forward pass, as a convolution has two gradients. Hours are
those of one H200 at the clips per second that the suites `accelerator_training` and
`accelerator` measured there, without reading or decoding video.
"""

import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.motion_cost import layer_multiply_adds, multiply_adds
from h2s_keras.models import MotionNet, build_backbone
from h2s_keras.recipes import hmdb51, ucf101

RESULTS = pathlib.Path(__file__).parents[1] / "results"

SIZE, FRAMES, BACKWARD = 224, 11, 3
# Training videos, test videos and frames of a video; UCF101 split 1 by its lists,
# Kinetics-400 by its paper (ten seconds at 25 frames a second).
DATASETS = {"UCF101, split 1": (9537, 3783, 186), "Kinetics-400": (240_000, 20_000, 250)}
PROTOCOL = 25 * 10  # clips and crops of a test video
BILLION = 10**9


def measured_rates():
    """Clips per second on one H200: of each training stage, of flow and of scores."""
    rates = {}
    for suite, start in (
        ("accelerator_training", "clips a second, ours, steps of "),
        ("accelerator", "clips a second, ours, "),
    ):
        text = (RESULTS / f"0.1.0-{suite}-h200.json").read_text(encoding="utf-8")
        for entry in json.loads(text)["values"]:
            if entry["name"].startswith(start):
                # MotionNet comes before its tiny variant.
                what = entry["name"].removeprefix(start).split(",")[0]
                rates.setdefault(what, entry["value"])
    return rates


def backbone_operations(channels):
    """Operations of a VGG16 for one input."""
    shape = (SIZE, SIZE, channels)
    return 2 * layer_multiply_adds(build_backbone("vgg16", shape, 101, None, None, "vgg"))


def row(name, clips, operations, rate):
    time = _time(clips / rate)
    print(f"| {name} | {clips:,} | {clips * operations:.2g} | {rate:,.0f} | {time} |")


def _time(seconds):
    for unit, length in (("days", 86400), ("hours", 3600)):
        if seconds >= length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds / 60:.2g} minutes"


def main():
    network = MotionNet(FRAMES)
    network.build((None, FRAMES, SIZE, SIZE, 3))
    motion = 2 * multiply_adds(network, (SIZE, SIZE))
    temporal, spatial = backbone_operations(2 * (FRAMES - 1)), backbone_operations(3)
    print(
        f"GFLOP a clip: MotionNet {motion / 1e9:.1f}, temporal {temporal / 1e9:.1f}, "
        f"spatial {spatial / 1e9:.1f}\n"
    )
    print("| work | clips | operations | clips per second | time on one H200 |")
    print("|---" * 5 + "|")
    rates = measured_rates()
    costs = {"motion": BACKWARD * motion, "temporal": motion + BACKWARD * temporal}
    costs["end_to_end"] = BACKWARD * (motion + temporal)
    costs["spatial"] = BACKWARD * spatial
    for name, recipe in (("UCF101", ucf101), ("HMDB51", hmdb51)):
        config = recipe.get_config()
        for stage in config.stages:
            batch = stage.batch_size or config.batch_size
            clips = stage.steps * batch * stage.gradient_accumulation_steps
            kind = stage.name
            row(f"{name}, stage {kind}", clips, costs[kind], rates[kind])
    clip = motion + temporal + spatial
    for name, (train, test, frames) in DATASETS.items():
        row(f"{name}, protocol `paper`", test * PROTOCOL, clip, rates["scores"])
        # Windows that share one frame take each pair once.
        windows = train * (frames // (FRAMES - 1))
        row(f"{name}, flow of every training frame", windows, motion, rates["flow"])
    row("a billion clips, both streams once", BILLION, clip, rates["scores"])
    epoch = costs["end_to_end"], rates["end_to_end"]
    row("a billion clips, one epoch end to end", BILLION, *epoch)


if __name__ == "__main__":
    main()
