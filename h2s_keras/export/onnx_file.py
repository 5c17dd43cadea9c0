"""The whole network as one ONNX file, through the extra `onnx`."""

import os

import keras
import numpy as np

from h2s_keras.errors import FileError, UserError
from h2s_keras.export.inference import inference_network
from h2s_keras.files import write_file

TOLERANCE = 1e-3  # of logits and of flow in pixels, relative to values above 1


def export_onnx(model, path):
    """Exports a network as an ONNX file and compares it with the network in onnxruntime.

    The file takes `clips` uint8 (batch, T, H, W, 3) RGB of any batch size and gives
    `logits` and `probabilities` float32 (batch, classes) of all streams and `flow`
    float32 (batch, H/2, W/2, T-1, 2), pixels of full resolution.

    Args:
        model: built HiddenTwoStream, as for `export_saved_model`.
        path: of the new file, ending in .onnx.

    Returns:
        Size of the file in bytes.

    Raises:
        UserError: the extra is not installed, wrong path, a network that the converter
            does not take, or a file that answers otherwise.

    Example:
        >>> export_onnx(model, "jump.onnx")
        8741023
    """
    path = os.fspath(path)
    if not path.endswith(".onnx"):
        raise UserError(f"{path}: the name of an ONNX file must end in .onnx; rename it")
    if os.path.exists(path):
        raise UserError(f"{path}: exists already; give another name")
    if keras.backend.backend() != "tensorflow":
        raise UserError("export_onnx runs on TensorFlow; set KERAS_BACKEND=tensorflow")
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ONNX needs the package {error.name}: pip install 'h2s_keras[onnx]'"
        ) from error
    network, _ = inference_network(model)
    content = _convert(network)
    session = onnxruntime.InferenceSession(content)
    _compare(network, session)
    write_file(path, content, FileError)
    return len(content)


class _Answers(keras.Model):
    """A network with the outputs of the file."""

    def __init__(self, network):
        super().__init__(name="answers")
        self.network = network
        self.built = True

    def call(self, clips):
        from h2s_keras.export.signatures import flow_of, logits_of

        logits = logits_of(self.network, clips)
        return {
            "logits": logits,
            "probabilities": keras.ops.softmax(logits),
            "flow": flow_of(self.network, clips),
        }


def _convert(network):
    import tempfile

    shape = (None, network.num_frames, *network.image_size, 3)
    signature = [keras.InputSpec(shape=shape, dtype="uint8", name="clips")]
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "model.onnx")
        try:
            _Answers(network).export(
                name, format="onnx", input_signature=signature, verbose=False
            )
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"this network cannot become an ONNX file ({reason})"
            ) from error
        with open(name, "rb") as file:
            return file.read()


def _compare(network, session):
    shape = (2, network.num_frames, *network.image_size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    names = [output.name for output in session.get_outputs()]
    actual = dict(
        zip(names, session.run(names, {session.get_inputs()[0].name: clips}), strict=True)
    )
    for name, expected in _Answers(network)(clips).items():
        expected = np.asarray(expected)
        error = np.abs(actual[name] - expected).max() / max(1.0, np.abs(expected).max())
        if not error < TOLERANCE:
            raise UserError(
                f"the ONNX file gives another {name} in onnxruntime than the network (by "
                f"{error:.2g}); it is not written"
            )
