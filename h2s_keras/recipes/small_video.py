"""The small MotionNet for real video that comes with this package.

Reproduces: the preset "small_video" of 2 frames: a thirteenth of the arithmetic of
    "tiny_synthetic" of 2 frames. No photograph is seen; the clips are made by this package
    (`FilmedLayers`) with what ordinary video has: still cameras, parts without texture,
    thin things, darkness, motions from a twentieth of a pixel up, and what H.264, MPEG-4
    and MJPEG leave of it.
Command: h2s train small_video --out runs/small_video
Hardware: 2 cores, 4 GiB.
Expected: docs/results.md, measured with this file.
"""


def get_config(smoke=False):
    return {
        "name": "small_video",
        "seed": 1,
        "tensorboard": False,
        "data": {
            "kind": "moving_layers",
            "filmed": 1.0,
            "num_frames": 2,
            "image_size": (64, 64),
            "targets": "flow",
            "seed": 0,
            "max_displacement": 12.0,
            "pool": 16 if smoke else 3072,
            "test_count": 16 if smoke else 256,
        },
        "model": {
            "motion": "small",
            "motion_options": {"coarse_to_fine": True},
            "temporal": None,
        },
        "batch_size": 4,
        "stages": [
            {
                "name": "motion",
                "streams": ["motion"],
                "steps": 4 if smoke else 5000,
                "learning_rate": 2e-3,
                "warmup": 50,
                "ema": 0.998,
                "flow_loss": {"kind": "supervised"},
                # A quarter of the size, half, then all of it, as it is used.
                "flow_options": {"refinement": 2},
                # Convolutions of few channels are faster in oneDNN than in XLA.
                "jit_compile": False,
            },
        ],
    }
