"""The tiny MotionNet of 11 frames that comes with this package, from made-up clips alone.

Reproduces: the preset "tiny_synthetic" of 11 frames, for recognition: all ten flows of a
    clip in one pass. As the recipe tiny_synthetic, without the pass from coarse to fine,
    which takes two frames.
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
    (stage,) = config["stages"]
    stage["flow_options"] = {}
    stage["steps"] = 4 if smoke else 3500
    return config
