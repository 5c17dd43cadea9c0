"""Suite `formats`: every file of `h2s export` on the held-out clips of the quickstart.

python -m benchmarks formats quickstart

Formats whose package is not installed are left out. Times are of one clip, the formats in
turns; LiteRT holds motion and temporal stream, the others all streams.
"""

import importlib.util
import os
import tempfile

import numpy as np

from benchmarks.harness import measure, timed
from h2s_keras import export
from h2s_keras.data.synthetic.action_clips import APPEARANCES, SyntheticClips
from h2s_keras.models import load_model
from h2s_keras.ops.flow import resize_flow

TEST, CALIBRATION, BATCH = 480, 100, 8


def end_point_error(flow, truth):
    """Mean end-point error of flow at half size (batch, pairs, h, w, 2), its own pixels."""
    full = np.asarray(resize_flow(flow, truth.shape[2:4]))
    return float(np.sqrt(((full - truth) ** 2).sum(axis=-1)).mean())


def add_arguments(parser):
    parser.add_argument("model", help="two-stream model on synthetic clips, a .keras file")


def exported(model, folder, calibration):
    """{format: network that was written and taken back}, and {format: bytes}."""
    networks, sizes = {}, {}

    def file(name, package, write, ending):
        if importlib.util.find_spec(package) is None:
            return
        path = os.path.join(folder, name + ending)
        sizes[name] = write(path)
        networks[name] = export.ExportedFile(path)

    classes = model.class_names or [str(number) for number in range(model.num_classes)]
    path = export.export_saved_model(model, os.path.join(folder, "saved"), classes)
    networks["savedmodel"] = export.SavedNetwork(path)
    files = [os.path.join(root, name) for root, _, names in os.walk(path) for name in names]
    sizes["savedmodel"] = sum(os.path.getsize(name) for name in files)
    for name, precision in (
        ("litert", "float32"),
        ("litert_8bit", "dynamic"),
        ("int8", "int8"),
    ):
        file(
            name,
            "ai_edge_litert",
            lambda path, p=precision: export.export_lite(model, path, p, calibration),
            ".tflite",
        )
    file("onnx", "tf2onnx", lambda path: export.export_onnx(model, path), ".onnx")
    file("openvino", "openvino", lambda path: export.export_openvino(model, path), ".xml")
    return networks, sizes


def run(settings, figures):
    count = BATCH if settings.smoke else TEST
    model = load_model(settings.options.model)
    options = {"num_frames": model.num_frames, "image_size": model.image_size, "seed": 1}
    dataset = SyntheticClips(split="test", **options).dataset(count, count, with_flow=True)
    test = next(dataset.as_numpy_iterator())
    dataset = SyntheticClips(split="train", **options).dataset(CALIBRATION, CALIBRATION)
    calibration = next(dataset.as_numpy_iterator())[0]
    clips, labels = test["clip"], test["label"]
    reference = model.predict(clips, batch_size=BATCH, verbose=0)
    whole = sum(weight.nbytes for weight in model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        networks, sizes = exported(model, folder, calibration)
        networks, sizes = {"Keras": model, **networks}, {"Keras": whole, **sizes}
        functions = {
            name: timed(lambda network=network: network.predict_on_batch(clips[:1]))
            for name, network in networks.items()
        }
        seconds = measure(functions, settings.rounds)
        rows = []
        for name, network in networks.items():
            parts = [
                network.predict_on_batch(clips[first : first + BATCH])
                for first in range(0, count, BATCH)
            ]
            logits = np.concatenate([part["logits"] for part in parts])
            lite = name.startswith(("litert", "int8"))
            expected = reference["temporal_logits" if lite else "logits"]
            best = logits.argmax(axis=-1)
            error = ""
            if "flow" in parts[0]:
                flow = np.concatenate([part["flow"] for part in parts]) / 2
                flow = np.transpose(flow, (0, 3, 1, 2, 4))
                error = f"{end_point_error(flow, test['flow']):.3f}"
            elif "flow2" in parts[0]:
                error = f"{end_point_error(reference['flow2'], test['flow']):.3f}"
            ratios = np.divide(seconds[name], seconds["Keras"])
            motions = best // len(APPEARANCES) == labels // len(APPEARANCES)
            rows.append(
                [
                    name,
                    f"{sizes[name] / 1e6:.2f}",
                    *(f"{np.mean(right):.1%}" for right in (best == labels, motions)),
                    f"{np.mean(best == expected.argmax(axis=-1)):.1%}",
                    f"{np.abs(_shares(logits) - _shares(expected)).max():.1e}",
                    error,
                    f"{1e3 * np.median(seconds[name]):.1f}",
                    f"{np.median(ratios):.2f}",
                ]
            )
    header = ["format", "MB", "classes", "motions", "as Keras", "largest change of a score"]
    header += ["EPE, pixels", "ms per clip", "of Keras'"]
    figures.table(f"{count} clips", header, rows)


def _shares(logits):
    """Probabilities in float64."""
    shares = np.exp(logits.astype("float64") - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)
