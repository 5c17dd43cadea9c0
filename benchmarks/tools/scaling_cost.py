"""Arithmetic of training and testing on paper: the tables of docs/scaling.md.

Command: python -m benchmarks.tools.scaling_cost

Operations are counted from the networks and from the values of the recipe ucf101; a
training step counts three times the forward pass, as a convolution has two gradients.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.motion_cost import layer_multiply_adds, multiply_adds
from h2s_keras.models import MotionNet, build_backbone
from h2s_keras.recipes import ucf101

SIZE, FRAMES, BACKWARD = 224, 11, 3
# Training videos, test videos and frames of a video; UCF101 split 1 by its lists,
# Kinetics-400 by its paper (ten seconds at 25 frames a second).
DATASETS = {"UCF101, split 1": (9537, 3783, 186), "Kinetics-400": (240_000, 20_000, 250)}
PROTOCOL = 25 * 10  # clips and crops of a test video
# Sustained rates in operations a second: what to divide by.
RATES = {"0.2 TFLOP/s": 0.2e12, "50 TFLOP/s": 50e12, "64 x 50 TFLOP/s": 64 * 50e12}
BILLION = 10**9


def backbone_operations(channels):
    """Operations of a VGG16 for one input."""
    shape = (SIZE, SIZE, channels)
    return 2 * layer_multiply_adds(build_backbone("vgg16", shape, 101, None, None, "vgg"))


def row(name, operations):
    times = " | ".join(_time(operations / rate) for rate in RATES.values())
    print(f"| {name} | {operations:.2g} | {times} |")


def _time(seconds):
    for unit, length in (("years", 365 * 86400), ("days", 86400), ("hours", 3600)):
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
    print("| work | operations | " + " | ".join(RATES) + " |")
    print("|---" * (2 + len(RATES)) + "|")
    config = ucf101.get_config()
    costs = {"motion": BACKWARD * motion, "temporal": motion + BACKWARD * temporal}
    costs["end_to_end"] = BACKWARD * (motion + temporal)
    costs["spatial"] = BACKWARD * spatial
    for stage in config.stages:
        batch = (stage.batch_size or config.batch_size) * stage.gradient_accumulation_steps
        row(f"UCF101, stage {stage.name}", stage.steps * batch * costs[stage.name])
    clip = motion + temporal + spatial
    for name, (train, test, frames) in DATASETS.items():
        row(f"{name}, testing by the protocol `paper`", test * PROTOCOL * clip)
        # Windows that share one frame take each pair once.
        windows = train * (frames // (FRAMES - 1))
        row(f"{name}, flow of every training frame once", windows * motion)
    row("a billion clips, both streams once", BILLION * clip)
    row("a billion clips, one epoch end to end", BILLION * costs["end_to_end"])


if __name__ == "__main__":
    main()
