"""Latency of an export's serving_default against the compiled Keras model, interleaved.

Command: python benchmarks/serving_latency.py
"""

import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from h2s_keras.export import export_saved_model
from h2s_keras.models import HiddenTwoStreamBuilder

# name: (frames, size, motion, temporal, spatial, branched, batch, repeats)
CASES = {
    "tiny two-stream": (3, 64, "tiny", "tiny", "tiny", False, 1, 300),
    "tiny two-stream, batch 5": (3, 64, "tiny", "tiny", "tiny", False, 5, 100),
    "tiny branched": (3, 64, "tiny", "tiny", None, True, 1, 300),
    "resnet50 two-stream": (3, 128, "tiny", "resnet50", "resnet50", False, 1, 40),
    "motionnet and vgg16": (11, 224, "motionnet", "vgg16", None, False, 1, 12),
}


def measure(frames, size, motion, temporal, spatial, branched, batch, repeats):
    """Median milliseconds of (Keras, export) and the median ratio of neighbouring runs."""
    keras.utils.set_random_seed(0)
    builder = HiddenTwoStreamBuilder(["a", "b", "c", "d"], frames, (size, size))
    builder.motion(motion).temporal(temporal, branched=branched)
    model = (builder if spatial is None else builder.spatial(spatial)).build()
    shape = (frames, size, size, 3)
    compiled = tf.function(
        lambda clips: model(clips, training=False)["logits"],
        input_signature=[tf.TensorSpec((None, *shape), tf.uint8)],
    )
    clips = np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype="uint8")
    clips = tf.constant(clips)
    with tempfile.TemporaryDirectory() as folder:
        loaded = tf.saved_model.load(export_saved_model(model, folder + "/h2s"))
        signature = loaded.signatures["serving_default"]
        runs = {
            "keras": lambda: compiled(clips).numpy(),
            "export": lambda: signature(clips=clips)["logits"].numpy(),
        }
        for run in [*runs.values()] * 2:
            run()
        times = {name: [] for name in runs}
        for turn in range(repeats):
            for name in sorted(runs, reverse=bool(turn % 2)):
                started = time.perf_counter()
                runs[name]()
                times[name].append(1e3 * (time.perf_counter() - started))
    ratio = np.median(np.divide(times["export"], times["keras"]))
    return np.median(times["keras"]), np.median(times["export"]), ratio


def main():
    for name, case in CASES.items():
        print("| {} | {:.1f} | {:.1f} | {:.2f} |".format(name, *measure(*case)), flush=True)


if __name__ == "__main__":
    main()
