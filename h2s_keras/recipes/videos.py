"""Your own videos, sorted into a folder for each class.

Reproduces: nothing published; it is the method of arXiv 1704.00389 at a size that a
    laptop trains: tiny MotionNet on your videos without their labels, temporal CNN on
    its flow, both end to end, spatial CNN, fusion.
Command: h2s train videos --set data.root=my_videos --out runs/mine
    (my_videos/CLASS/any.mp4; or --set data.csv=table.csv with columns path and class)
Hardware: 2 cores, 4 GiB; about 25 minutes.
Expected: depends on the videos. Leave a person or scene out to know: --set
    data.group_pattern='person(\\d+)' --set data.test_group=1 (or =each, one run a group).
"""


def get_config(smoke=False):
    steps = (lambda full: 4) if smoke else (lambda full: full)
    data = {
        "kind": "videos",
        "root": None,
        "csv": None,
        "train_list": None,
        "test_list": None,
        "classes": None,
        "num_frames": 7,
        "image_size": (96, 96),
        "stride": 3,
        "rate": None,
        "decode_size": None,
        "short": "loop",
        "max_skip": 1,
        "segments": None,
        "flip": True,
        "no_flip_classes": (),
        "flip_map": None,
        "color_jitter": None,
        "rand_augment": None,
        "group_pattern": None,
        "group_column": None,
        "test_group": None,
        "clips_per_video": 5,
        "on_bad_file": "raise",
        "cache_bytes": 1e9,
    }
    if smoke:
        size = {"num_frames": 3, "image_size": (32, 32)}
        data = {"kind": "synthetic", "seed": 1, "test_count": 16, **size}
    flow_loss = {"weighting": "paper", "smoothness_weight": 2.5}
    return {
        "name": "videos",
        "seed": 1,
        "data": data,
        "model": {
            "motion": "tiny",
            "temporal": "tiny",
            "temporal_weights": None,
            "temporal_dropout": 0.5,
            "spatial": "tiny",
            "spatial_weights": None,
            "spatial_dropout": 0.5,
            "branched": False,
            "fusion": (1.0, 1.5),
        },
        "batch_size": 4 if smoke else 8,
        "stages": [
            {
                "name": "motion",
                "streams": ["motion"],
                "steps": steps(800),
                "learning_rate": 1e-3,
                "warmup": 30,
                "flow_loss": flow_loss,
                "smoothness_ramp": 200,
                "smoothness_start": 0.1,
            },
            {
                "name": "temporal",
                "streams": ["temporal"],
                "train": ["temporal"],
                "steps": steps(500),
                "learning_rate": 1e-3,
                "warmup": 20,
            },
            {
                "name": "end_to_end",
                "streams": ["temporal"],
                "train": ["motion", "temporal"],
                "steps": steps(200),
                "learning_rate": 3e-4,
                "rate_factors": {"motion": 0.2},
                "flow_loss": flow_loss,
            },
            {
                "name": "spatial",
                "streams": ["spatial"],
                "steps": steps(300),
                "learning_rate": 1e-3,
                "warmup": 20,
            },
        ],
    }
