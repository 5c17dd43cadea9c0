"""Writes the golden tensors beside this file: python tests/models/golden/make_golden.py

Weights and clips come from NumPy's generator, so no backend's random numbers matter.
Run it only when an output is meant to change, and say so in the change log.
"""

import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent


def fill(model, seed=0):
    """Random weights of He size in a fixed order, from NumPy alone."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        shape = tuple(variable.shape)
        fan_in = max(1, int(np.prod(shape[:-1])))
        variable.assign(rng.normal(0, np.sqrt(1.0 / fan_in), shape).astype("float32"))
    return model


def clips(count, frames, size, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, frames, *size, 3)).astype("uint8")


def motion_net(**options):
    from h2s_keras.models import MotionNet

    model = MotionNet(num_frames=3, variant="tiny", **options)
    model.build((None, 3, None, None, 3))
    return fill(model)


def two_stream(branched=False):
    from h2s_keras.models import HiddenTwoStreamBuilder

    builder = HiddenTwoStreamBuilder(5, 3, (32, 32)).motion("tiny")
    builder.temporal("tiny", branched=branched).spatial("tiny")
    return fill(builder.build())


def outputs():
    """{name of the file: tensors}"""
    return {
        "motion_net_tiny": motion_net()(clips(2, 3, (32, 32))),
        "two_stream_tiny": two_stream()(clips(2, 3, (32, 32))),
        "two_stream_tiny_branched": two_stream(True)(clips(2, 3, (32, 32))),
    }


if __name__ == "__main__":
    for name, tensors in outputs().items():
        arrays = {key: np.asarray(value, "float32") for key, value in tensors.items()}
        if name != "motion_net_tiny":
            arrays = {k: v for k, v in arrays.items() if k.endswith("logits")}
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
        print(name, {key: value.shape for key, value in arrays.items()})
