"""The questions of the paper, asked of synthetic clips: what does each part buy?

Reproduces: the ablations of arXiv 1704.00389 (its tables 3 to 5 and sections 4.3 to 4.6) at
    toy size: terms of the loss and design of MotionNet, stacked against branched, what is
    learned end to end, learned flow against TV-L1, fusion against its streams.
Command: python -m benchmarks ablation --out runs/ablation   (TV-L1 needs the extra `flow`)
Hardware: 2 cores, 4 GiB; 12 runs for each of 3 seeds, about 40 minutes when idle.
Expected: docs/results.md, measured with this file. A frame shows the appearance alone, so
    the temporal figure is the share of right motions (chance 25 %). The loss is weighted as
    in the paper, where SSIM makes 3 % of the gradient (docs/concepts.md), so "without SSIM"
    says nothing of the published row, which was run with the released weights.
"""


def get_config(smoke=False):
    steps = (lambda full: 4) if smoke else (lambda full: full)
    packed = 16 if smoke else 2000
    flow_loss = {"smoothness_weight": 2.5}
    motion = {
        "name": "motion",
        "streams": ["motion"],
        "steps": steps(400),
        "learning_rate": 1e-3,
        "warmup": 30,
        "flow_loss": {**flow_loss, "smoothness_ramp": 150},
    }
    temporal = {
        "name": "temporal",
        "streams": ["temporal"],
        "train": ["temporal"],
        "steps": steps(200),
        "learning_rate": 2e-3,
        "warmup": 20,
    }
    end_to_end = {
        "name": "end_to_end",
        "streams": ["temporal"],
        "train": ["motion", "temporal"],
        "steps": steps(100),
        "learning_rate": 5e-4,
        "lr_multipliers": {"motion": 0.2},
    }
    spatial = {
        "name": "spatial",
        "streams": ["spatial"],
        "steps": steps(100),
        "learning_rate": 2e-3,
        "warmup": 20,
    }
    both = [motion, temporal]

    def loss_without(term):
        changed = {**motion, "flow_loss": {**motion["flow_loss"], f"{term}_weight": 0.0}}
        return [changed, temporal]

    tuned = {**end_to_end, "flow_loss": flow_loss}
    return {
        "name": "ablation",
        "seed": 1,
        "seeds": [1] if smoke else [1, 2, 3],
        "table": None,
        "data": {
            "kind": "synthetic",
            "num_frames": 3,
            "image_size": (32, 32) if smoke else (48, 48),
            "seed": 1,
            "test_count": 16 if smoke else 480,
        },
        "model": {"motion": "tiny", "temporal": "tiny", "adapter": {"bound": 20.0}},
        "batch_size": 4 if smoke else 16,
        "stages": both,
        "figures": {
            "end_point_error": "EPE, pixels",
            "ratio": "share of zero flow",
            "temporal_motion_accuracy": "temporal, motions",
            "spatial_accuracy": "spatial, classes",
            "fused_accuracy": "fused, classes",
        },
        "variants": [
            {"name": "full", "question": "1 loss and design"},
            {
                "name": "without smoothness",
                "question": "1 loss and design",
                "stages": loss_without("smoothness"),
            },
            {
                "name": "without SSIM",
                "question": "1 loss and design",
                "stages": loss_without("ssim"),
            },
            {
                "name": "without small displacement",
                "question": "1 loss and design",
                "model": {"motion_options": {"small_displacement": False}},
            },
            {
                "name": "without convolution between deconvolutions",
                "question": "1 loss and design",
                "model": {"motion_options": {"intermediate_convolution": False}},
            },
            {
                "name": "frozen motion, as long",
                "question": "2 what is tuned",
                "model": {"initial": "full"},
                "stages": [{**end_to_end, "train": ["temporal"], "lr_multipliers": {}}],
            },
            {
                "name": "action loss only",
                "question": "2 what is tuned",
                "model": {"initial": "full"},
                "stages": [end_to_end],
            },
            {
                "name": "all losses",
                "question": "2 what is tuned",
                "model": {"initial": "full"},
                "stages": [tuned],
            },
            {
                "name": "branched",
                "question": "3 stacked or branched",
                "model": {"initial": "full", "branched": True, "adapter": {}},
                "stages": [temporal, tuned],
            },
            {
                "name": "TV-L1 flow",
                "question": "4 learned or TV-L1 flow",
                "model": {"motion": "stored"},
                "stored_flow": "tvl1",
                "packed_clips": packed,
                "stages": [{**temporal, "steps": steps(300)}],
            },
            {
                "name": "true flow",
                "question": "4 learned or TV-L1 flow",
                "model": {"motion": "stored"},
                "stored_flow": "true",
                "packed_clips": packed,
                "stages": [{**temporal, "steps": steps(300)}],
            },
            {
                "name": "fusion",
                "question": "5 fusion",
                "model": {"initial": "all losses", "spatial": "tiny", "fusion": (1.0, 1.0)},
                "stages": [spatial],
            },
        ],
    }
