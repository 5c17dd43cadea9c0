"""Suite `serving_latency`: an export's serving_default against the compiled Keras model."""

import tempfile

import keras
import numpy as np
import tensorflow as tf

from benchmarks.harness import measure, timed
from h2s_keras.export import export_saved_model
from h2s_keras.models import HiddenTwoStreamBuilder

# name: (frames, size, motion, temporal, spatial, branched, batch)
CASES = {
    "tiny two-stream": (3, 64, "tiny", "tiny", "tiny", False, 1),
    "tiny two-stream, batch 5": (3, 64, "tiny", "tiny", "tiny", False, 5),
    "tiny branched": (3, 64, "tiny", "tiny", None, True, 1),
    "resnet50 two-stream": (3, 128, "tiny", "resnet50", "resnet50", False, 1),
    "motionnet and vgg16": (11, 224, "motionnet", "vgg16", None, False, 1),
}


def run(settings, figures):
    for case, options in CASES.items():
        _measure_case(figures, settings, case, options)
        if settings.smoke:
            break


def _measure_case(figures, settings, case, options):
    frames, size, motion, temporal, spatial, branched, batch = options
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
        functions = {
            "keras": timed(lambda: compiled(clips).numpy()),
            "export": timed(lambda: signature(clips=clips)["logits"].numpy()),
        }
        seconds = measure(functions, settings.rounds)
    figures.ratio(case, seconds, "export", "keras")
