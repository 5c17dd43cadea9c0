"""Training steps of this library, as `h2s train` takes them, one stage a process."""

import json
import os
import sys

from inputs import training_inputs
from serve import serve

STAGES = {
    "motion": {"streams": ["motion"], "flow_loss": {}, "optimizer": "adam"},
    "temporal": {"streams": ["temporal"], "train": ["temporal"]},
    "end_to_end": {
        "streams": ["temporal"],
        "train": ["motion", "temporal"],
        "flow_loss": {},
    },
    "spatial": {"streams": ["spatial"]},
}


def main(options):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import numpy as np

    from h2s_keras.models import HiddenTwoStreamBuilder, MotionNet
    from h2s_keras.training.stages import prepare_stage

    name, (_, frames, height, width, _) = options["stage"], options["clips"]
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(options.get("policy", "float32"))
    # Each process holds what its stage runs and little more.
    if name == "motion":
        network = MotionNet(frames, options["variant"])
        network.build(tuple(options["clips"]))
        parts = [network]
    else:
        builder = HiddenTwoStreamBuilder(options["classes"], frames, (height, width))
        if name == "spatial":
            builder.motion("tiny").temporal("tiny").spatial("vgg16", dropout=0.0)
        else:
            builder.motion(options["variant"]).temporal("vgg16", dropout=0.0)
        network = builder.build()
        parts = [network.spatial] if name == "spatial" else [network.motion]
        parts += [network.temporal] if name != "spatial" else []
    weights = [weight for part in parts for weight in part.weights]
    np.savez(options["weights"], **{weight.path: weight.numpy() for weight in weights})
    common = {
        "optimizer": "sgd",
        "schedule": "constant",
        "global_clipnorm": None,
        "steps": 1,
    }
    stage = {**common, **STAGES[name], "name": name, "learning_rate": options["rate"]}
    model = prepare_stage(network, stage)
    clips, labels = training_inputs(options["clips"], options["classes"])

    def step():
        model.reset_metrics()
        done = model.train_on_batch(clips, labels, return_dict=True)
        return keras.ops.convert_to_tensor(done["loss"])

    def fit(count):
        batches = ((clips, labels) for _ in range(count))
        done = model.fit(batches, steps_per_epoch=count, shuffle=False, verbose=0)
        return keras.ops.convert_to_tensor(done.history["loss"][-1])

    if options["steps"] > 1:
        # A single step of JAX waits and copies more than one of `fit`.
        runs = {"step": lambda: fit(1), "steps": lambda: fit(options["steps"])}
    else:
        runs = {"step": step}
    return serve(runs, peak_bytes=device_peak_bytes())


def device_peak_bytes():
    """A function that gives the largest memory of the accelerator, or None on a CPU."""
    import keras

    if keras.backend.backend() != "jax":
        return None
    import jax

    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return None
    return lambda: device.memory_stats()["peak_bytes_in_use"]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
