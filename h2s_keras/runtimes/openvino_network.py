"""A network computed by OpenVINO instead of Keras, for inference on CPUs."""

import os
import tempfile

import keras
import numpy as np

from h2s_keras.runtimes.check_runtime import check_runtime
from h2s_keras.runtimes.runtime_network import RuntimeNetwork


class OpenVinoNetwork(RuntimeNetwork):
    """Answers of a MotionNet or two-stream model, computed by OpenVINO in float32.

    The weights are those of now; a model that is trained further needs a new one. Every
    shape of a batch is compiled once, which takes seconds.

    Args:
        model: MotionNet or HiddenTwoStream, on the backend TensorFlow.

    Attributes:
        class_names, num_frames, image_size, frame_stride, frame_rate: those that `model`
            has.

    Raises:
        UserError: openvino is not installed, another backend runs, or the model is an
            export; a new shape after the weights of the model have changed.

    Example:
        >>> network = OpenVinoNetwork(MotionNet(num_frames=3, variant="tiny"))
        >>> network.predict_on_batch(np.zeros((1, 3, 64, 64, 3), "uint8"))["flow2"].shape
        (1, 2, 32, 32, 2)
    """

    def __init__(self, model):
        check_runtime("openvino")
        super().__init__(model, "openvino")
        import openvino

        self._core = openvino.Core()
        self._converted, self._compiled = {}, {}

    def _predict(self, clips, dtype):
        key = (clips.shape, dtype)
        if key not in self._compiled:
            self._compiled[key] = self._compile(*key)
        network = self._compiled[key]
        results = network(clips)
        return {_name_of(port): np.array(results[port]) for port in network.outputs}

    def _compile(self, shape, dtype):
        key = (shape[1:], dtype)
        if key not in self._converted:
            self._converted[key] = self._convert(*key)
        # A fixed shape lets OpenVINO choose layouts once and for all.
        converted = self._converted[key].clone()
        converted.reshape(list(shape))
        # Left alone, it computes in bfloat16 where the processor can.
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        return self._core.compile_model(converted, "CPU", options)

    def _convert(self, shape, dtype):
        self._check_weights()
        signature = [keras.InputSpec(shape=(None, *shape), dtype=dtype)]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "network.xml")
            self._model.export(
                path, format="openvino", input_signature=signature, verbose=False
            )
            return self._core.read_model(path).clone()


def _name_of(port):
    """The name that the model gave an output; others are paths inside the graph."""
    return min(port.get_names(), key=len)
