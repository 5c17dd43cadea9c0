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
    common = {"optimizer": "sgd", "schedule": "constant", "clip_norm": None, "steps": 1}
    stage = {**common, **STAGES[name], "name": name, "learning_rate": options["rate"]}
    model = prepare_stage(network, stage)
    clips, labels = training_inputs(options["clips"], options["classes"])

    def step():
        model.reset_metrics()
        done = model.train_on_batch(clips, labels, return_dict=True)
        return keras.ops.convert_to_tensor(done["loss"])

    return serve({"step": step})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
