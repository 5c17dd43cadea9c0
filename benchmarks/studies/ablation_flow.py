"""What each option of the unsupervised loss buys, on synthetic clips of moving layers.

Reproduces: no published table; the options are those of UnFlow, UFlow, SelFlow and SMURF
    (see UnsupervisedFlowLoss and FlowObjective for the sources), each added to the loss of
    arXiv 1704.00389 alone, then together.
Command: python -m benchmarks ablation_flow --out runs/ablation_flow
Hardware: 2 cores with bfloat16 arithmetic, 4 GiB; 11 runs for each of 3 seeds, about two
    minutes each when idle.
Expected: docs/results.md, measured with this file. Zero flow has a ratio of 1.
"""


def get_config(smoke=False):
    steps = (lambda full: 4) if smoke else (lambda full: full)
    loss = {"smoothness_weight": 2.5, "smoothness_ramp": 150}
    motion = {
        "name": "motion",
        "streams": ["motion"],
        "steps": steps(600),
        "learning_rate": 1e-3,
        "warmup": 30,
        "flow_loss": loss,
    }
    census = {"photometric": "census"}
    edges = {"edge_weight": 10.0}
    late = steps(300)

    def with_options(question, name, *options, **rest):
        changed = {**motion, "flow_loss": {**loss}, **rest}
        for some in options:
            changed["flow_loss"].update(some)
        return {"name": name, "question": question, "stages": [changed]}

    occlusion = {"occlusion_start": late}
    student = {"self_supervision_weight": 1.0, "self_supervision_start": late}
    margin = with_options("border", "margin of 16 pixels", {"border": 0.0}, {"margin": 16})
    # What the network sees stays 64x64.
    margin["data"] = {"image_size": (96, 96)}
    return {
        "name": "ablation_flow",
        "seed": 1,
        "seeds": [1] if smoke else [1, 2, 3],
        "table": None,
        "dtype_policy": "mixed_bfloat16",
        "data": {
            "kind": "moving_layers",
            "num_frames": 3,
            "image_size": (64, 64),
            "seed": 1,
            "max_displacement": 8.0,
            "pool": 16 if smoke else 1024,
            "test_count": 16 if smoke else 256,
        },
        "model": {"motion": "tiny", "temporal": None},
        "batch_size": 4 if smoke else 8,
        "stages": [motion],
        "figures": {
            "end_point_error": "EPE, pixels",
            "zero_flow_error": "of zero flow",
            "ratio": "share of zero flow",
        },
        "variants": [
            {"name": "paper", "question": "the start"},
            with_options("the start", "without the ramp", {"smoothness_ramp": 0}),
            with_options("compared by", "census", census),
            with_options("smooth where", "edges", edges),
            with_options(
                "smooth where", "edges, second order", {**edges, "smoothness_order": 2}
            ),
            with_options(
                "hidden pixels",
                "forward-backward",
                {"occlusion": "forward_backward"},
                occlusion,
            ),
            with_options(
                "hidden pixels", "range map", {"occlusion": "range_map"}, occlusion
            ),
            margin,
            with_options("border", "self-supervision", (), student),
            with_options("frames", "constant velocity", {"consistency_weight": 10.0}),
            with_options("together", "census and edges", {**census, **edges}),
        ],
    }
