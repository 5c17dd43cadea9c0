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
    if not branched:
        builder.adapter(bound=20.0)
    builder.temporal("tiny", branched=branched).spatial("tiny")
    return fill(builder.build())


def fill_deep(model, seed=0):
    """As `fill`, so that the input is still seen behind fifty layers: He size for ReLU."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape, kind = tuple(variable.shape), variable.path.rpartition("/")[2]
        values = rng.normal(0, 1, shape)
        if kind == "kernel":
            values *= np.sqrt(2 / np.prod(shape[:-1]))
        else:
            # Around one: what multiplies or divides. Around zero: what is added.
            values = 0.1 * values + (kind in ("gamma", "moving_variance"))
        variable.assign(np.abs(values) if kind == "moving_variance" else values)
    return model


def images(shape, seed=2):
    """Images of about -1..1, or adapted flow where there are more channels."""
    rng = np.random.default_rng(seed)
    scale = 1 if shape[-1] == 3 else 40
    return rng.normal(0, scale, (2, *shape)).astype("float32")


def bn_inception():
    from h2s_keras.models.bn_inception import bn_inception

    return fill_deep(bn_inception((32, 64, 4), width=0.125))


def inception_v1():
    from h2s_keras.models.i3d import inception_v1

    return fill_deep(inception_v1((32, 48, 3), width=0.125))


def i3d(shape):
    from h2s_keras.models.i3d import i3d

    return fill_deep(i3d(shape, width=0.125))


# Name of the file: how the network is made, and what it reads.
NETWORKS = {
    "bn_inception": (bn_inception, (32, 64, 4)),
    "inception_v1": (inception_v1, (32, 48, 3)),
    "i3d_flow": (lambda: i3d((32, 32, 8)), (32, 32, 8)),
    "i3d_rgb": (lambda: i3d((5, 32, 48, 3)), (5, 32, 48, 3)),
}


def outputs():
    """{name of the file: tensors}"""
    return {
        "motion_net_tiny": motion_net()(clips(2, 3, (32, 32))),
        "two_stream_tiny": two_stream()(clips(2, 3, (32, 32))),
        "two_stream_tiny_branched": two_stream(True)(clips(2, 3, (32, 32))),
        **{
            name: {"maps": build()(images(shape))}
            for name, (build, shape) in NETWORKS.items()
        },
    }


if __name__ == "__main__":
    for name, tensors in outputs().items():
        arrays = {key: np.asarray(value, "float32") for key, value in tensors.items()}
        if name.startswith("two_stream"):
            arrays = {k: v for k, v in arrays.items() if k.endswith("logits")}
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
        print(name, {key: value.shape for key, value in arrays.items()})
