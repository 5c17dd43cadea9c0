"""Behaviours frame by frame, of videos from one's own camera.

Reproduces: nothing published; the method of arXiv 1704.00389 with sigmoid outputs, over
    windows of 11 frames for the label of the middle one, and a temporal convolution over
    the features of all frames.
Command: h2s ethogram train videos.csv --out runs/mine
    (a table with the columns video and labels, or a folder of videos with their labels)
Hardware: 2 cores, 4 GiB; docs/ethogram.md has times.
Expected: docs/ethogram.md.
"""


def get_config(smoke=False):
    steps = (lambda full: 4) if smoke else (lambda full: full)
    return {
        "name": "ethogram",
        "seed": 1,
        "data": {
            # Pixels of a frame, in the shape of the first video's; or [height, width].
            "pixels": 32 * 32 if smoke else 112 * 112,
            "image_size": None,
            "num_frames": 11,
            # The last frame of a window is labelled, not the middle one.
            "causal": False,
            # One behaviour per frame at most.
            "exclusive": False,
            # "horizontal", "both" (cameras from above) or "none".
            "flip": "horizontal",
            "validation": 0.2,
            "test": 0.2,
        },
        "model": {
            "motion": "small_video",
            "temporal": "small",
            # Its maximum finds details of a few pixels.
            "spatial": "small_max",
            # A file, for backbones of keras.applications.
            "spatial_weights": None,
            "dropout": 0.5,
        },
        # Without labels, on all videos of the table.
        "motion": {"steps": steps(60), "batch_size": 8, "learning_rate": 1e-4},
        "streams": {
            "steps": steps(1000),
            "batch_size": 32,
            "learning_rate": 2e-3,
            "weight_decay": 1e-4,
            # Exponent of negatives / positives, the weight of a frame that shows it.
            "positive_weight": 0.25,
        },
        "head": {
            # Heads, each trained without the videos of one fold; their mean is used.
            "folds": 2 if smoke else 4,
            "steps": steps(250),
            "batch_size": 8,
            "window": 256,
            "filters": 64,
            "dilations": [1, 2, 4, 8, 16, 32],
            "dropout": 0.3,
            "learning_rate": 2e-3,
            "weight_decay": 1e-3,
            # Weight of the penalty on changes from frame to frame.
            "smoothness": 0.15,
            "positive_weight": 0.25,
        },
    }
