"""Suite `plateau`: steps until MotionNet leaves zero flow, by the way it starts.

Trains the tiny MotionNet without labels on synthetic clips (3 frames of 48x48, batch 16),
and looks every 20 steps at 64 held-out clips. Counted is the first look at which the error
of flow is below half of that of zero flow, under otherwise equal conditions.
"""

import statistics
import sys

import keras

from h2s_keras.data import SyntheticClips
from h2s_keras.evaluation.measure import measure_flow
from h2s_keras.models import MotionNet
from h2s_keras.training.initial_weights import copy_initial_weights
from h2s_keras.training.stages import prepare_stage

LOSS = {"weighting": "paper", "smoothness_weight": 2.5}
CENSUS = {**LOSS, "photometric": "census"}
RECIPES = {
    "plain": {},
    "ramp of smoothness": {
        "flow_loss": {**LOSS, "smoothness_ramp": 200, "smoothness_start": 0.02}
    },
    "rate times 3": {"learning_rate": 3e-3},
    "census": {"flow_loss": CENSUS},
    "census, rate times 3": {"flow_loss": CENSUS, "learning_rate": 3e-3},
    "preset": {"initial": "tiny_synthetic"},
}


def steps_to_half(changes, seed, limit, every=20):
    keras.utils.set_random_seed(seed)
    motion_net = MotionNet(3, "tiny")
    motion_net.build((None, 3, 48, 48, 3))
    changes = dict(changes)
    initial = changes.pop("initial", None)
    if initial:
        copy_initial_weights(motion_net, initial)
    stage = {
        "name": "motion",
        "streams": ["motion"],
        "steps": limit,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "warmup": 30,
        "flow_loss": LOSS,
        **changes,
    }
    model = prepare_stage(motion_net, stage)
    clips = SyntheticClips(3, (48, 48), seed=seed)
    held_out = SyntheticClips(3, (48, 48), seed=seed, split="test")
    test = list(held_out.dataset(64, 64, with_flow=True).as_numpy_iterator())
    for step, (batch, labels) in enumerate(clips.dataset(16)):
        if step % every == 0 and measure_flow(motion_net, test)["ratio"] < 0.5:
            return step
        if step >= limit:
            return None
        model.train_on_batch(batch, labels)


def add_arguments(parser):
    parser.add_argument("--seeds", type=int, default=3, help="runs of each way (3)")
    parser.add_argument(
        "--limit", type=int, default=1500, help="steps after which to stop (1500)"
    )
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))


def run(settings, figures):
    options = settings.options
    seeds, limit = (1, 20) if settings.smoke else (options.seeds, options.limit)
    figures.value("limit", limit)
    for name in options.only:
        steps = []
        for seed in range(1, seeds + 1):
            steps.append(steps_to_half(RECIPES[name], seed, limit))
            print(f"{name}, seed {seed}: {steps[-1]}", file=sys.stderr, flush=True)
        figures.value(f"steps to half of zero flow, {name}, by seed", steps)
        median = statistics.median(limit if s is None else s for s in steps)
        figures.value(f"steps to half of zero flow, {name}, median", median)
