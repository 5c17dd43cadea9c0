"""The whole network as one ONNX or OpenVINO file, through the extras of these names."""

import os
import tempfile

import keras
import numpy as np

from h2s_keras.errors import FileError, UserError, require_extra
from h2s_keras.export.exported_file import ExportedFile, write_facts
from h2s_keras.export.inference import inference_network
from h2s_keras.files import new_file, write_file

ONNX_PACKAGES = ("onnxruntime", "tf2onnx")
_TOLERANCE = 1e-3  # of logits and of flow in pixels, relative to values above 1
_OPSET = 17


def export_onnx(model, path, classes=None):
    """Exports a network as an ONNX file and compares it with the network in onnxruntime.

    The file takes `clips` uint8 (batch, T, H, W, 3) RGB of any batch size and gives
    `logits` and `probabilities` float32 (batch, classes) of all streams and `flow`
    float32 (batch, H/2, W/2, T-1, 2), pixels of full resolution.

    Args:
        model: built HiddenTwoStream, as for `export_saved_model`.
        path: path of the new file, ending in .onnx; `path.json` beside it gets the
            classes and how frames are taken.
        classes: names in the order of the logits; by default the model's own.

    Returns:
        Size of the file in bytes.

    Raises:
        UserError: the extra is not installed, wrong path, a network that the converter
            does not take, or a file that answers otherwise.

    Example:
        >>> count = export_onnx(model, "jump.onnx")
        >>> os.path.getsize("jump.onnx") == count
        True
    """
    path = new_file(path, ".onnx")
    check_tools("export_onnx", "onnx", ONNX_PACKAGES)
    network, _ = inference_network(model)
    shape = (2, network.num_frames, *network.image_size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    content, _ = onnx_content(Answers(network), clips, batch=None)
    write_file(path, content, FileError)
    write_facts(path, network, classes)
    return len(content)


def export_openvino(model, path, classes=None):
    """Exports a network as an OpenVINO file and compares it with the network.

    Writes `path`, its weights beside it (`.bin` instead of `.xml`) and `path.json` (classes
    and how frames are taken). Input and outputs are those of `export_onnx`.

    Args:
        model: built HiddenTwoStream, as for `export_saved_model`.
        path: path of the new file, ending in .xml.
        classes: names in the order of the logits; by default the model's own.

    Returns:
        Size of both files in bytes.

    Raises:
        UserError: the extra is not installed, wrong path, a network that the converter
            does not take, or a file that answers otherwise.

    Example:
        >>> count = export_openvino(model, "jump.xml")
    """
    path = new_file(path, ".xml")
    weights = new_file(path.removesuffix(".xml") + ".bin", ".bin")
    check_tools("export_openvino", "openvino", ("openvino",))
    network, _ = inference_network(model)
    answers = Answers(network)
    shape = (network.num_frames, *network.image_size, 3)
    with tempfile.TemporaryDirectory() as folder:
        made = os.path.join(folder, "network.xml")
        _convert(answers, made, "openvino", "OpenVINO", (None, *shape))
        write_facts(made, network, classes)
        clips = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype="uint8")
        actual = ExportedFile(made).predict_on_batch(clips)
        _check_answers("OpenVINO", actual, answers(clips))
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


def check_tools(caller, extra, packages):
    """UserError unless the packages of an extra are there and the backend is TensorFlow.

    Args:
        caller: what needs them, for the message.
        extra: its name.
        packages: names to import.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"{caller} runs on TensorFlow; set KERAS_BACKEND=tensorflow")
    require_extra(caller, extra, *packages)


def onnx_content(answers, clips, batch):
    """An ONNX file that gives in onnxruntime what `answers` gives.

    Args:
        answers: keras.Model from uint8 clips to a dict of float32 tensors.
        clips: uint8 (batch, T, H, W, 3), some clips to compare both on.
        batch: number of clips that the file takes; None for any.

    Returns:
        (content, outputs): bytes of the file, whose input is `clips` and whose outputs are
        the names of the dict, and what `answers` gives for `clips`, as NumPy arrays.

    Raises:
        UserError: the converter does not take the network, or the file answers otherwise.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "model.onnx")
        shape = (batch, *clips.shape[1:])
        _convert(answers, name, "onnx", "ONNX", shape, opset_version=_OPSET)
        with open(name, "rb") as file:
            content = file.read()
    expected = {name: np.asarray(value) for name, value in answers(clips).items()}
    session = onnxruntime.InferenceSession(content)
    names = [output.name for output in session.get_outputs()]
    actual = session.run(names, {"clips": clips})
    _check_answers("ONNX", dict(zip(names, actual, strict=True)), expected)
    return content, expected


class Answers(keras.Model):
    """A network with the outputs of the file.

    Args:
        network: HiddenTwoStream.
        pair: index of the pair of frames whose flow is given, without an axis for it; None
            for all pairs.
    """

    def __init__(self, network, pair=None):
        super().__init__(name="answers")
        self.network, self.pair = network, pair
        self.built = True

    def call(self, clips):
        from h2s_keras.export.signatures import full_size_flow

        outputs = self.network(clips, training=False)
        flow = full_size_flow(self.network, outputs["flow2"])
        return {
            "logits": outputs["logits"],
            "probabilities": keras.ops.softmax(outputs["logits"]),
            "flow": flow if self.pair is None else flow[:, :, :, self.pair],
        }


def _convert(answers, path, format, title, shape, **options):
    """Writes a file by Keras' own export.

    Args:
        answers: keras.Model from uint8 clips to a dict of float32 tensors.
        path: path of the new file.
        format, options: of `keras.Model.export`.
        title: title of the format, for the message.
        shape: shape of the clips; None for a batch of any size.

    Raises:
        UserError: the converter does not take the network.
    """
    signature = [keras.InputSpec(shape=shape, dtype="uint8", name="clips")]
    try:
        answers.export(
            path, format=format, input_signature=signature, verbose=False, **options
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"this network cannot become an {title} file ({reason})") from error


def _check_answers(format, actual, expected):
    """UserError where a file's answers are not those of its network.

    Args:
        format: format of the file, for the message.
        actual, expected: dicts of arrays or tensors by the names of the outputs.
    """
    for name, values in expected.items():
        values = np.asarray(values)
        error = np.abs(actual[name] - values).max() / max(1.0, np.abs(values).max())
        if not error < _TOLERANCE:
            raise UserError(
                f"the {format} file gives another {name} than the network (by "
                f"{error:.2g}); it is not written"
            )
