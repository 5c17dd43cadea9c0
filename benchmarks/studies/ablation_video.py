"""The questions of the paper on real video, every group left out of training in turn.

Reproduces: the ablations of arXiv 1704.00389 (its table 4 and sections 4.4 to 4.6) on a
    small set of one's own: whether motion has to be learned, what is tuned end to end,
    stacked against branched, learned flow against that of a preset and TV-L1, fusion
    against its streams.
Command: python -m benchmarks ablation_video --set data.root=gestures
    --out runs/ablation_video (TV-L1 needs the extra `flow`; for another set give its
    data.group_pattern)
Hardware: 2 cores with bfloat16 arithmetic, 4 GiB; 11 runs of 3 people for each of 3 seeds,
    about a minute each, those from scratch three.
Expected: docs/results.md, measured with this file. 27 videos; chance is 33 %. Every
    temporal stream takes 500 steps in all, so that none is better for its length alone.
    The branched network has heads of its own: the temporal CNN is not the same one.
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
            # Of 30 frames a second, the 0.8 seconds in which something happens.
            "num_frames": 7,
            "stride": 4,
            "image_size": (64, 64),
            "short": "hold",
            "clips_per_video": 10,
            "group_pattern": r"A\dP(\d)T\d",
            "test_group": "each",
        }
    flow_loss = {"smoothness_weight": 2.5}
    motion = {
        "name": "motion",
        "streams": ["motion"],
        "steps": steps(500),
        "learning_rate": 1e-3,
        "warmup": 30,
        "flow_loss": {**flow_loss, "smoothness_ramp": 100},
    }
    temporal = {
        "name": "temporal",
        "streams": ["temporal"],
        "train": ["temporal"],
        "steps": steps(400),
        "learning_rate": 2e-3,
        "warmup": 20,
        "weight_decay": 1e-4,
        "label_smoothing": 0.1,
    }
    as_long = {**temporal, "steps": steps(500)}
    end_to_end = {
        **temporal,
        "name": "end_to_end",
        "train": ["motion", "temporal"],
        "steps": steps(100),
        "learning_rate": 2e-4,
        "freeze_normalization": True,
        "lr_multipliers": {"motion": 0.2},
    }
    frozen = {**end_to_end, "train": ["temporal"], "lr_multipliers": {}}
    tuned = {**end_to_end, "flow_loss": flow_loss}
    # A MotionNet without weights learns nothing at the rate of the small CNN.
    scratch = {**as_long, "train": ["motion", "temporal"], "learning_rate": 5e-4}
    spatial = {**temporal, "name": "spatial", "streams": ["spatial"], "train": ["spatial"]}
    start = {"initial": "learned, frozen"}
    learned, other = "has motion to be learned", "learned or other flow"
    question = "what is tuned"

    def variant(name, question, stages, model=None, **rest):
        return {
            "name": name,
            "question": question,
            "stages": stages,
            "model": model or {},
            **rest,
        }

    variants = [
        variant("random motion, frozen", learned, [as_long]),
        variant("learned, frozen", learned, [motion, temporal]),
        variant("frozen, as long", question, [frozen], start),
        variant("action loss only", question, [end_to_end], start),
        variant("all losses", question, [tuned], start),
        variant(
            "branched",
            "stacked or branched",
            [temporal, tuned],
            {**start, "branched": True, "temporal": "tiny"},
        ),
        variant("preset, frozen", other, [as_long], {"motion": "small_video"}),
        variant(
            "TV-L1 flow",
            other,
            [as_long],
            {"motion": "stored"},
            stored_flow="tvl1",
            packed_clips=16,  # of the synthetic clips of a smoke run
        ),
        variant(
            "fusion", "fusion", [spatial], {"initial": "all losses", "spatial": "small"}
        ),
        variant("from scratch, action loss", learned, [scratch]),
        variant("from scratch, all losses", learned, [{**scratch, "flow_loss": flow_loss}]),
    ]
    return {
        "name": "ablation_video",
        "seed": 1,
        "seeds": [1] if smoke else [1, 2, 3],
        "dtype_policy": "mixed_bfloat16",
        "data": data,
        "model": {
            "motion": "tiny",
            "temporal": "small",
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
