"""Suite `first_step`: processor time of the first training step and of later ones.

Two streams of the tiny networks end to end, 4 clips of 3 frames of 64x64. Nearly all of the
first figure is the tracing of the step. To compare two versions of the library, run it
with each on PYTHONPATH, in turns.
"""

import time

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


def run(settings, figures):
    keras.utils.set_random_seed(0)
    network = (
        HiddenTwoStreamBuilder(12, 3, (64, 64)).motion("tiny").temporal("tiny").build()
    )
    model = prepare_stage(network, STAGE)
    clips = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64, 3)).astype("uint8")
    batch = tf.data.Dataset.from_tensors((clips, np.arange(4)))
    first = timed(model, batch)
    later = [timed(model, batch.repeat(10)) / 10 for _ in range(settings.rounds)]
    case = "processor seconds"
    figures.add(case, "the first step", [first])
    figures.add(case, "a later step", later)
    # Equal for two versions that compute the same.
    total = sum(float(np.abs(weight).sum()) for weight in network.get_weights())
    figures.value("sum of all weights afterwards", total)


def timed(model, dataset):
    started = time.process_time()
    model.fit(dataset, epochs=1, verbose=0)
    return time.process_time() - started
