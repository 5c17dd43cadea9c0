"""Golden warps of TensorFlow Addons 0.23: python -m tox -e tfa

Runs tfa.image.dense_image_warp, forward and backward, on random inputs and keeps inputs,
outputs and gradients in tfa_warp.npz beside this file. TensorFlow Addons needs TensorFlow
2.15 with Keras 2.15 and cannot be imported beside Keras 3, so this script has a tox
environment of its own and imports nothing of the package.

    python make_tfa_golden.py            compares the stored file with a fresh run
    python make_tfa_golden.py --write    writes it

Everything is stored in the order and the sign of TensorFlow Addons: flow is (dy, dx), and
output[y, x] = image[y - dy, x - dx].
"""

import argparse
import pathlib
import sys

import numpy as np

PATH = pathlib.Path(__file__).with_name("tfa_warp.npz")
SEED = 20171704
# name: (batch, height, width, channels), largest displacement
CASES = {
    "small": ((2, 12, 17, 3), 0.9),
    "middle": ((2, 16, 11, 2), 4.0),
    "outside": ((1, 10, 13, 3), 30.0),
    "two_by_two": ((3, 2, 2, 1), 1.5),
}
# float32 rounding must not carry a position over a whole pixel, where slopes jump.
MARGIN = 0.01


def inputs():
    """dict case -> (image, flow, upstream gradient), float32."""
    rng, result = np.random.default_rng(SEED), {}
    for name, (shape, reach) in CASES.items():
        image = rng.normal(size=shape).astype("float32")
        flow = rng.uniform(-reach, reach, (*shape[:3], 2))
        whole = np.floor(flow)
        flow = whole + np.clip(flow - whole, MARGIN, 1 - MARGIN)
        upstream = rng.normal(size=shape).astype("float32")
        result[name] = (image, flow.astype("float32"), upstream)
    return result


def compute():
    """All arrays of the golden file."""
    import keras
    import tensorflow as tf
    import tensorflow_addons as tfa

    arrays = {
        "seed": np.array(SEED),
        "versions": np.array(
            [
                f"tensorflow {tf.__version__}",
                f"keras {keras.__version__}",
                f"tensorflow-addons {tfa.__version__}",
                f"numpy {np.__version__}",
            ]
        ),
    }
    for name, (image, flow, upstream) in inputs().items():
        image, flow = tf.constant(image), tf.constant(flow)
        with tf.GradientTape() as tape:
            tape.watch([image, flow])
            output = tfa.image.dense_image_warp(image, flow)
        gradients = tape.gradient(output, [image, flow], output_gradients=upstream)
        values = (image, flow, upstream, output, *gradients)
        keys = ("image", "flow", "upstream", "output", "image_gradient", "flow_gradient")
        for key, value in zip(keys, values, strict=True):
            arrays[f"{name}/{key}"] = np.asarray(value, "float32")
    return arrays


def compare(stored, fresh, tolerance=1e-6):
    """The largest difference; raises where names or shapes differ."""
    if set(stored) != set(fresh):
        raise SystemExit(f"other arrays: {sorted(set(stored) ^ set(fresh))}")
    worst = 0.0
    for name in sorted(fresh):
        if name == "versions":
            continue
        if stored[name].shape != fresh[name].shape:
            raise SystemExit(f"{name}: {stored[name].shape} and {fresh[name].shape}")
        worst = max(worst, float(np.abs(stored[name] - fresh[name]).max()))
    print(f"{PATH.name}: largest difference {worst:.1e}; {', '.join(stored['versions'])}")
    return worst <= tolerance


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the golden file")
    if parser.parse_args().write:
        np.savez_compressed(PATH, **compute())
        print(f"{PATH.name}: {PATH.stat().st_size} bytes")
    else:
        with np.load(PATH) as archive:
            sys.exit(not compare(dict(archive), compute()))
