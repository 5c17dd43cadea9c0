"""A full-size training step: peak memory of the process, and where its time goes.

    python benchmarks/full_size_step.py --batch 8 --runs 3 --out results.json

MotionNet and VGG16 end to end (action loss and all unsupervised losses, SGD with
momentum), 11 frames of 224x224. The time is split by growing the step: data, forward,
with losses, with gradients, with the update; each share is the difference of the medians
of two of them, taken in turns in one process. `--rematerialize` forgets activations and
computes them again. Peak memory is the process's largest resident set.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from h2s_keras.data import SyntheticClips
from h2s_keras.recipes import ucf101
from h2s_keras.training.recipe_network import build_network
from h2s_keras.training.stages import prepare_stage


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stage", default="end_to_end", help="of the recipe ucf101")
    parser.add_argument("--policy", default="float32")
    parser.add_argument("--rematerialize", action="store_true")
    parser.add_argument("--memory_only", action="store_true", help="two whole steps")
    parser.add_argument("--out", help="JSON file to add the result to")
    return parser.parse_args()


def make(options):
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(options.policy)
    config = ucf101.get_config()
    config["model"].update(temporal_weights=None, spatial=None)
    config["model"]["rematerialize"] = options.rematerialize
    stage = next(s for s in config["stages"] if s["name"] == options.stage)
    stage["accumulate"] = 1
    network = build_network(config, [str(number) for number in range(101)])
    model = prepare_stage(network, stage)
    clips = SyntheticClips(num_frames=11, image_size=(224, 224))
    return model, iter(clips.dataset(options.batch))


def peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def steps_of(model):
    """The step in growing parts; each a compiled function of (clips, labels)."""
    weights = model.trainable_variables

    def loss_of(clips, labels):
        outputs = model(clips, training=True)
        return outputs, model.compute_loss(x=clips, y=labels, y_pred=outputs)

    @tf.function
    def forward(clips, labels):
        return [tf.reduce_sum(x) for x in model(clips, training=True).values()]

    @tf.function
    def losses(clips, labels):
        return loss_of(clips, labels)[1]

    @tf.function
    def gradients(clips, labels):
        with tf.GradientTape() as tape:
            loss = loss_of(clips, labels)[1]
        found = tape.gradient(loss, weights)
        return [tf.reduce_sum(x) for x in found if x is not None]

    @tf.function
    def update(clips, labels):
        with tf.GradientTape() as tape:
            loss = loss_of(clips, labels)[1]
        model.optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    return {"forward": forward, "loss": losses, "backward": gradients, "update": update}


def main():
    options = parse()
    model, batches = make(options)
    result = {
        "stage": options.stage,
        "batch": options.batch,
        "policy": options.policy,
        "rematerialize": options.rematerialize,
        "parameters": int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "gib_before_the_first_step": round(peak_gib(), 2),
    }
    if options.memory_only:
        for _ in range(2):
            clips, labels = next(batches)
            model.train_on_batch(clips.numpy(), labels.numpy())
        result["peak_gib"] = round(peak_gib(), 2)
    else:
        parts = steps_of(model)
        times = {name: [] for name in ("data", *parts)}
        for run in range(options.runs + 1):
            started = time.perf_counter()
            clips, labels = next(batches)
            times["data"].append(time.perf_counter() - started)
            for name, part in parts.items():
                started = time.perf_counter()
                [np.asarray(x) for x in tf.nest.flatten(part(clips, labels))]
                times[name].append(time.perf_counter() - started)
            if run == 0:  # Tracing and first touches.
                times = {name: [] for name in times}
        medians = {name: statistics.median(values) for name, values in times.items()}
        before = {"forward": 0.0, "loss": medians["forward"], "backward": medians["loss"]}
        before["update"] = medians["backward"]
        total = medians["data"] + medians["update"]
        result["runs"] = options.runs
        result["share_of_step"] = {
            "data": round(medians["data"] / total, 3),
            **{n: round((medians[n] - b) / total, 3) for n, b in before.items()},
        }
        result["spread_of_the_whole_step"] = round(
            (max(times["update"]) - min(times["update"])) / medians["update"], 3
        )
        result["peak_gib"] = round(peak_gib(), 2)
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        with open(options.out, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
