"""Run by test_replicas.py in a process with two logical devices: one against two.

Usage: replicas_script.py POLICY CASE...; prints a line of JSON for each case.
"""

import contextlib
import json
import sys

import keras
import numpy as np
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from h2s_keras.models import HiddenTwoStreamBuilder  # noqa: E402
from h2s_keras.training.devices import (  # noqa: E402
    make_strategy,
    share_statistics,
    unsynchronized_layers,
)
from h2s_keras.training.stages import prepare_stage  # noqa: E402

POLICY, *CASES = sys.argv[1:]
SIZE, BATCH, STEPS = 16, 4, 5
COMMON = {
    "steps": STEPS,
    "learning_rate": 1e-2,
    "schedule": "constant",
    "optimizer": "sgd",
    "global_clipnorm": 1.0,
    "weight_decay": 1e-3,
    "weight_decay_kind": "coupled",
}
BOTH = {
    "name": "end_to_end",
    "streams": ["temporal"],
    "train": ["motion", "temporal"],
    "flow_loss": {"smoothness_weight": 2.5, "smoothness_ramp": 3, "smoothness_start": 0.1},
    "lr_multipliers": {"motion": 0.5, "temporal.bias": 2.0},
}
STAGES = {
    "motion": {"name": "motion", "streams": ["motion"], "flow_loss": {}},
    "temporal": {"name": "temporal", "streams": ["temporal"], "train": ["temporal"]},
    "end_to_end": BOTH,
    "spatial": {"name": "spatial", "streams": ["spatial"]},
    "accumulated": {**BOTH, "gradient_accumulation_steps": 5, "ema": 0.9},
    "partial": BOTH,
    "poisoned": BOTH,
}


def normalized_backbone():
    inputs = keras.Input((SIZE, SIZE, 3))
    hidden = keras.layers.Conv2D(8, 3, strides=2, padding="same")(inputs)
    hidden = keras.layers.BatchNormalization(momentum=0.5)(hidden)
    return keras.Model(inputs, keras.layers.ReLU()(hidden))


def run(case, strategy, policy):
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        builder = HiddenTwoStreamBuilder(4, 3, (SIZE, SIZE)).motion("tiny")
        builder.temporal("tiny", dropout=0.0)
        builder.spatial(normalized_backbone(), dropout=0.0, preprocessing="unit")
        network = builder.build()
        source = np.random.default_rng(1)
        for variable in network.trainable_variables:
            size = np.sqrt(1.0 / max(1, int(np.prod(variable.shape[:-1]))))
            variable.assign(source.normal(0, size, variable.shape).astype("float32"))
        for layer in network.motion.head.flow_convolutions:
            layer.kernel.assign(layer.kernel * 0.01)
        if case != "unsynchronized":
            share_statistics(unsynchronized_layers(network), True)
        start = network.get_weights()
        stage = STAGES["spatial" if case == "unsynchronized" else case]
        model = prepare_stage(network, {**COMMON, **stage})
        if policy == "mixed_float16" and case != "poisoned":
            # Low enough that no update is lost to finding it.
            model.optimizer.dynamic_scale.assign(256.0)
    rng = np.random.default_rng(0)
    count = BATCH * STEPS - (1 if case == "partial" else 0)
    clips = rng.integers(0, 256, (count, 3, SIZE, SIZE, 3)).astype("float32")
    labels = rng.integers(0, 4, count)
    if case == "poisoned":
        clips[2 * BATCH + 3] = np.inf  # a clip of the second replica
    data = tf.data.Dataset.from_tensor_slices((clips, labels)).batch(BATCH)
    history = model.fit(data, epochs=1, verbose=0, shuffle=False)
    model.optimizer.use_averages()
    optimizer = model.optimizer
    figures = {
        "loss": history.history["loss"][0],
        "iterations": int(optimizer.iterations.numpy()),
        "bad_batch": int(optimizer.bad_batch.numpy()),
        "scale": float(optimizer.dynamic_scale.numpy()),
        "batches": int(optimizer.batches.numpy()),
    }
    return start, network.get_weights(), figures


def largest(first, second):
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


single, mirrored = None, make_strategy("mirrored")
for case in CASES:
    assert mirrored.num_replicas_in_sync == 2
    start, one, one_figures = run(case, single, POLICY)
    start_two, two, two_figures = run(case, mirrored, POLICY)
    assert all(np.array_equal(a, b) for a, b in zip(start, start_two, strict=True))
    rounding = 0.0
    if POLICY != "float32":
        rounding = largest(one, run(case, single, "float32")[1])
    result = {
        "moved": largest(start, one),
        "apart": largest(one, two),
        "rounding": rounding,
        "finite": all(bool(np.isfinite(w).all()) for w in two),
        "one": one_figures,
        "two": two_figures,
    }
    print(json.dumps({case: result}), flush=True)
