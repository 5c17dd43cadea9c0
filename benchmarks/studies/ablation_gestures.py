"""The questions of the paper on real video: three gestures, one person left out in turn.

Reproduces: the ablations of arXiv 1704.00389 (its table 4 and sections 4.4 and 4.6) on the
    set of the recipe `gestures`, shorter: what is tuned end to end, learned flow against
    TV-L1, fusion against its streams.
Command: python -m benchmarks ablation_gestures --set data.root=gestures
    --out runs/ablation_gestures (TV-L1 needs the extra `flow`)
Hardware: 2 cores with bfloat16 arithmetic, 4 GiB; 6 runs of 3 people for each of 3 seeds,
    about 40 minutes when idle.
Expected: docs/results.md, measured with this file. 27 videos; chance is 33 %.
"""


def get_config(smoke=False):
    steps = (lambda full: 4) if smoke else (lambda full: full)
    if smoke:
        size = {"num_frames": 3, "image_size": (32, 32)}
        data = {"kind": "synthetic", "seed": 1, "test_count": 16, **size}
    else:
        data = {
            "kind": "videos",
            "root": None,
            "num_frames": 5,
            "image_size": (48, 48),
            "stride": 4,
            "group_pattern": r"A\dP(\d)T\d",
            "test_group": "each",
        }
    flow_loss = {"smoothness_weight": 2.5}
    motion = {
        "name": "motion",
        "streams": ["motion"],
        "steps": steps(300),
        "learning_rate": 1e-3,
        "warmup": 30,
        "flow_loss": {**flow_loss, "smoothness_ramp": 100},
    }
    temporal = {
        "name": "temporal",
        "streams": ["temporal"],
        "train": ["temporal"],
        "steps": steps(200),
        "learning_rate": 1e-3,
        "warmup": 20,
    }
    end_to_end = {
        "name": "end_to_end",
        "streams": ["temporal"],
        "train": ["motion", "temporal"],
        "steps": steps(100),
        "learning_rate": 3e-4,
        "lr_multipliers": {"motion": 0.2},
    }
    spatial = {
        "name": "spatial",
        "streams": ["spatial"],
        "steps": steps(100),
        "learning_rate": 1e-3,
        "warmup": 20,
    }
    question = "what is tuned"
    start = {"initial": "frozen motion"}
    frozen = {**end_to_end, "train": ["temporal"], "lr_multipliers": {}}
    variants = [
        {"name": "frozen motion", "question": question},
        {
            "name": "frozen, as long",
            "question": question,
            "model": start,
            "stages": [frozen],
        },
        {
            "name": "action loss only",
            "question": question,
            "model": start,
            "stages": [end_to_end],
        },
        {
            "name": "all losses",
            "question": question,
            "model": start,
            "stages": [{**end_to_end, "flow_loss": flow_loss}],
        },
        {
            "name": "TV-L1 flow",
            "question": "learned or TV-L1 flow",
            "model": {"motion": "stored"},
            "stored_flow": "tvl1",
            "stages": [{**temporal, "steps": steps(300)}],
        },
        {
            "name": "fusion",
            "question": "fusion",
            "model": {"initial": "all losses", "spatial": "tiny"},
            "stages": [spatial],
        },
    ]
    return {
        "name": "ablation_gestures",
        "seed": 1,
        "seeds": [1] if smoke else [1, 2, 3],
        "dtype_policy": "mixed_bfloat16",
        "data": data,
        "model": {
            "motion": "tiny",
            "adapter": {"bound": 20.0},
            "temporal": "tiny",
            "temporal_dropout": 0.5,
            "spatial": None,
            "spatial_dropout": 0.5,
        },
        "batch_size": 4 if smoke else 8,
        "stages": [motion, temporal],
        "figures": {
            "temporal_accuracy": "temporal",
            "spatial_accuracy": "spatial",
            "fused_accuracy": "fused",
        },
        "table": None,
        "variants": variants,
    }
