"""The tiny MotionNet of 11 frames that comes with this package, from made-up clips alone.

Reproduces: the preset "tiny_synthetic" of 11 frames, for recognition: all ten flows of a
    clip in one pass. As the recipe tiny_synthetic, but without the way from coarse to
    fine, which takes two frames; and it begins with what the preset of 2 frames knows,
    since from random weights it was still at zero flow after 750 steps.
Command: h2s train tiny_synthetic_11 --out runs/tiny_synthetic_11
Hardware: 2 cores with bfloat16 arithmetic, 4 GiB; about twenty minutes when idle.
Expected: docs/results.md, measured with this file.
"""

from h2s_keras.recipes import tiny_synthetic


def get_config(smoke=False):
    config = tiny_synthetic.get_config(smoke)
    config["name"] = "tiny_synthetic_11"
    config["data"]["num_frames"] = 11
    config["data"]["pool"] = 16 if smoke else 1536
    config["model"]["motion_options"] = {}
    config["model"]["initial"] = "tiny_synthetic_2"
    (stage,) = config["stages"]
    stage["flow_options"] = {}
    stage["steps"] = 4 if smoke else 2500
    return config
