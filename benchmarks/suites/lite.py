"""Suite `lite`: LiteRT files on the held-out clips of the quickstart.

python -m benchmarks lite quickstart/model.keras
"""

import os
import tempfile
import time
import warnings

import numpy as np
import tensorflow as tf

from h2s_keras.data.synthetic.action_clips import APPEARANCES, SyntheticClips
from h2s_keras.export.lite import PRECISIONS, export_lite
from h2s_keras.models import load_model
from h2s_keras.ops.flow import resize_flow

TEST, CALIBRATION = 480, 100


def end_point_error(flow, truth):
    """Mean end-point error of flow at half size (batch, pairs, h, w, 2), its own pixels."""
    full = np.asarray(resize_flow(flow, truth.shape[2:4]))
    return float(np.sqrt(((full - truth) ** 2).sum(axis=-1)).mean())


def add_arguments(parser):
    parser.add_argument("model", help="two-stream model on synthetic clips, a .keras file")


def run(settings, figures):
    count = 8 if settings.smoke else TEST
    warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
    model = load_model(settings.options.model)
    options = {"num_frames": model.num_frames, "image_size": model.image_size, "seed": 1}
    dataset = SyntheticClips(split="test", **options).dataset(count, count, with_flow=True)
    test = next(dataset.as_numpy_iterator())
    dataset = SyntheticClips(split="train", **options).dataset(CALIBRATION, CALIBRATION)
    calibration = next(dataset.as_numpy_iterator())[0]
    rows = []
    labels, motions = test["label"], test["label"] // len(APPEARANCES)

    def row(name, size, logits, flow, milliseconds):
        best = logits.argmax(axis=-1)
        shares = (
            best == labels,
            best // len(APPEARANCES) == motions,
            best == reference,
        )
        rows.append(
            [
                name,
                f"{size / 1e6:.2f}",
                *(f"{np.mean(share):.1%}" for share in shares),
                f"{end_point_error(flow, test['flow']):.3f}",
                f"{milliseconds:.1f}",
            ]
        )

    started = time.perf_counter()
    outputs = model.predict(test["clip"], batch_size=1, verbose=0)
    milliseconds = (time.perf_counter() - started) * 1e3 / count
    reference = outputs["temporal_logits"].argmax(axis=-1)
    size = sum(w.nbytes for p in (model.motion, model.temporal) for w in p.get_weights())
    row("Keras", size, outputs["temporal_logits"], outputs["flow2"], milliseconds)
    with tempfile.TemporaryDirectory() as folder:
        for precision in PRECISIONS:
            path = os.path.join(folder, f"{precision}.tflite")
            size = export_lite(model, path, precision, calibration)
            runner = tf.lite.Interpreter(path, num_threads=1).get_signature_runner()
            started = time.perf_counter()
            results = [runner(clips=clip[None]) for clip in test["clip"]]
            milliseconds = (time.perf_counter() - started) * 1e3 / count
            logits = np.concatenate([result["logits"] for result in results])
            flow = np.concatenate([result["flow"] for result in results]) / 2
            flow = np.transpose(flow, (0, 3, 1, 2, 4))
            row(precision, size, logits, flow, milliseconds)
    header = ["file", "MB", "classes", "motions", "as Keras", "EPE, pixels", "ms per clip"]
    figures.table(f"{count} clips, one thread", header, rows)
