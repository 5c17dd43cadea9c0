"""The tiny MotionNet that comes with this package, from made-up clips alone.

Reproduces: the preset "tiny_synthetic": flow of any two frames, without a photograph or a
    label ever seen. The loss is that of arXiv 1704.00389 with the options that
    docs/results.md measures.
Command: h2s train tiny_synthetic --out runs/tiny_synthetic
    (11 frames: --set data.num_frames=11 --set model.motion_options.coarse_to_fine=false
    --set stages.0.flow_options.refinement=false)
Hardware: 2 cores, 4 GiB.
Expected: docs/results.md, measured with this file.
"""


def get_config(smoke=False):
    steps = (lambda full: 4) if smoke else (lambda full: full)
    return {
        "name": "tiny_synthetic",
        "seed": 1,
        "data": {
            "kind": "moving_layers",
            "num_frames": 2,
            # The margin is cut off before MotionNet sees the clips.
            "image_size": (96, 96),
            "seed": 1,
            "max_displacement": 8.0,
            "pool": 16 if smoke else 4096,
            "test_count": 16 if smoke else 256,
        },
        "model": {
            "motion": "tiny",
            "motion_options": {"coarse_to_fine": True},
            "temporal": None,
        },
        "batch_size": 4 if smoke else 16,
        "stages": [
            {
                "name": "motion",
                "streams": ["motion"],
                "steps": steps(6000),
                "learning_rate": 1e-3,
                "warmup": 30,
                "flow_loss": {
                    "weighting": "paper",
                    "smoothness_weight": 10.0,
                    "border": 0.0,
                },
                "smoothness_ramp": 200,
                "smoothness_start": 0.1,
                "flow_options": {"margin": 16, "refinement": True},
            },
        ],
    }
