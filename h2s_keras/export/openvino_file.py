"""The whole network as an OpenVINO file, through the extra `openvino`."""

import os
import tempfile

import keras
import numpy as np

from h2s_keras.errors import FileError, UserError
from h2s_keras.export.exported_file import ExportedFile, write_facts
from h2s_keras.export.inference import inference_network
from h2s_keras.export.onnx_file import Answers, check_answers, convert
from h2s_keras.files import write_file


def export_openvino(model, path, classes=None):
    """Exports a network as an OpenVINO file and compares it with the network.

    Writes `path`, its weights beside it (`.bin` instead of `.xml`) and `path.json` (classes
    and how frames are taken). Input and outputs are those of `export_onnx`.

    Args:
        model: built HiddenTwoStream, as for `export_saved_model`.
        path: of the new file, ending in .xml.
        classes: names in the order of the logits; by default the model's own.

    Returns:
        Size of both files in bytes.

    Raises:
        UserError: the extra is not installed, wrong path, a network that the converter
            does not take, or a file that answers otherwise.

    Example:
        >>> count = export_openvino(model, "jump.xml")
    """
    path = os.fspath(path)
    if not path.endswith(".xml"):
        raise UserError(f"{path}: the name of an OpenVINO file must end in .xml; rename it")
    weights = path.removesuffix(".xml") + ".bin"
    for name in (path, weights):
        if os.path.exists(name):
            raise UserError(f"{name}: exists already; give another name")
    if keras.backend.backend() != "tensorflow":
        raise UserError("export_openvino runs on TensorFlow; set KERAS_BACKEND=tensorflow")
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise UserError(
            "OpenVINO needs the package openvino: pip install 'h2s_keras[openvino]'"
        ) from error
    network, _ = inference_network(model)
    answers = Answers(network)
    shape = (network.num_frames, *network.image_size, 3)
    with tempfile.TemporaryDirectory() as folder:
        made = os.path.join(folder, "network.xml")
        convert(answers, made, "openvino", "OpenVINO", (None, *shape))
        write_facts(made, network, classes)
        clips = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype="uint8")
        check_answers(
            "OpenVINO", ExportedFile(made).predict_on_batch(clips), answers(clips)
        )
        size = 0
        for source, target in (
            (made.removesuffix(".xml") + ".bin", weights),
            (f"{made}.json", f"{path}.json"),
            (made, path),
        ):
            with open(source, "rb") as file:
                content = file.read()
            write_file(target, content, FileError)
            size += len(content) if target != f"{path}.json" else 0
    return size
