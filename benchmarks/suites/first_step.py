"""Processor time until the first training step is done, and of the steps after it.

    python benchmarks/first_step.py

Two streams of the tiny networks end to end, 4 clips of 3 frames of 64x64. Nearly all of the
first figure is the tracing of the step. To compare two versions of the library, run it
with each on PYTHONPATH, in turns.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from h2s_keras.models import HiddenTwoStreamBuilder
from h2s_keras.training.stages import prepare_stage

STAGE = {
    "name": "end_to_end",
    "streams": ["temporal"],
    "train": ["motion", "temporal"],
    "steps": 10,
    "learning_rate": 1e-3,
    "flow_loss": {},
}


def main():
    keras.utils.set_random_seed(0)
    network = (
        HiddenTwoStreamBuilder(12, 3, (64, 64)).motion("tiny").temporal("tiny").build()
    )
    model = prepare_stage(network, STAGE)
    clips = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64, 3)).astype("uint8")
    batch = tf.data.Dataset.from_tensors((clips, np.arange(4)))
    first = timed(model, batch)
    later = min(timed(model, batch.repeat(10)) / 10 for _ in range(4))
    total = sum(float(np.abs(weight).sum()) for weight in network.get_weights())
    print(f"first step {first:.2f} s, later {later:.3f} s of the processor")
    print(f"sum of all weights afterwards {total:.6f}")


def timed(model, dataset):
    started = time.process_time()
    model.fit(dataset, epochs=1, verbose=0)
    return time.process_time() - started


if __name__ == "__main__":
    main()
