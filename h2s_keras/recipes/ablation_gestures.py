"""The questions of the paper on real video: three gestures, one person left out in turn.

Reproduces: the ablations of arXiv 1704.00389 (its table 4 and sections 4.4 and 4.6) on the
    set of the recipe `gestures`, shorter: what is tuned end to end, learned flow against
    TV-L1, fusion against its streams.
Command: h2s train ablation_gestures --set data.root=gestures --out runs/ablation_gestures
    (TV-L1 needs the extra `flow`)
Hardware: 2 cores with bfloat16 arithmetic, 4 GiB; 6 runs of 3 people for each of 3 seeds,
    about 40 minutes when idle.
Expected: docs/results.md, measured with this file. 27 videos; chance is 33 %.
"""

from h2s_keras.recipes import gestures


def get_config(smoke=False):
    config = gestures.get_config(smoke)
    motion, temporal, end_to_end, spatial = config["stages"]
    flow_loss = motion["flow_loss"]
    steps = (lambda full: 4) if smoke else (lambda full: full)
    motion.update(steps=steps(300), smoothness_ramp=100)
    temporal.update(steps=steps(200))
    end_to_end.update(steps=steps(100), flow_loss=None)
    spatial.update(steps=steps(100))
    if not smoke:
        config["data"].update(num_frames=5, image_size=(48, 48))
    question = "what is tuned"
    start = {"initial": "frozen motion"}
    frozen = {**end_to_end, "train": ["temporal"], "rate_factors": {}}
    config.update(
        name="ablation_gestures",
        dtype_policy="mixed_bfloat16",
        seeds=[1] if smoke else [1, 2, 3],
        table=None,
        stages=[motion, temporal],
        figures={
            "temporal_accuracy": "temporal",
            "spatial_accuracy": "spatial",
            "fused_accuracy": "fused",
        },
    )
    config["model"]["spatial"] = None
    config["variants"] = [
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
    return config
