"""Networks computed by OpenVINO or LiteRT (XNNPACK) instead of Keras, on CPUs."""

import contextlib
import os
import tempfile
import zlib

import keras
import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.models.network_answers import full_resolution_flow
from h2s_keras.ops.clip_range import warn_unit_range
from h2s_keras.process import usable_cores
from h2s_keras.runtimes import check_runtime, openvino_function

_FACTS = (
    *("class_names", "num_frames", "image_size", "frame_stride", "frame_rate"),
    "size_multiple",
)
# A prime: no change of places inside a kernel shifts values by whole rows.
_ROW = 4093


class RuntimeNetwork:
    """Base of networks that answer like a model, computed by another runtime.

    The weights are those that the model has when this is made. Shapes are converted when
    they first come; a new one is refused once the model has other weights, since its
    answers would not go with those of the shapes before.

    A subclass gives `_predict(clips, dtype)` and calls `_check_weights` before it converts.

    Args:
        model: MotionNet or HiddenTwoStream; one without weights gets its first ones.
        runtime: its name, for errors.

    Attributes:
        class_names, num_frames, image_size, frame_stride, frame_rate, size_multiple: those
            that `model` has.

    Raises:
        UserError: the model is an export, which has a runtime of its own, or the backend
            is not TensorFlow, whose graphs the converters know; later, if a new
            shape comes after the weights of the model have changed.
    """

    def __init__(self, model, runtime):
        if not isinstance(model, keras.Model):
            raise UserError(
                f"runtime {runtime!r} takes a .keras model; received {type(model).__name__}"
            )
        if keras.backend.backend() != "tensorflow":
            raise UserError(
                f"runtime {runtime!r} converts on the backend TensorFlow; set "
                "KERAS_BACKEND=tensorflow, a .keras file goes with every backend"
            )
        if not model.built:
            model.build((None, model.num_frames, None, None, 3))
        self._model, self._runtime = model, runtime
        self._checksum = _checksum(model)
        for name in _FACTS:
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))

    def is_current(self):
        """Whether the model still has the weights that this network answers with."""
        return self._checksum == _checksum(self._model)

    def _check_weights(self):
        if not self.is_current():
            raise UserError(
                f"the model's weights have changed since it was given to the runtime "
                f"{self._runtime!r}; give it again: in_runtime(model, {self._runtime!r})"
            )

    def predict_on_batch(self, clips):
        """dict of NumPy float32 arrays, as the model itself answers.

        Args:
            clips: uint8 (batch, num_frames, height, width, 3), RGB; others, such as warped
                clips, are taken as float32.
        """
        clips = np.asarray(clips)
        warn_unit_range(clips, f"{type(self).__name__}.predict_on_batch")
        dtype = "uint8" if clips.dtype == np.uint8 else "float32"
        return self._predict(np.ascontiguousarray(clips, dtype), dtype)

    def estimate_flow(self, clips, batch_size=8):
        """As `MotionNet.estimate_flow`, of a MotionNet."""
        return full_resolution_flow(self, clips, batch_size)


def _checksum(model):
    """Of all weights, at the speed of reading them.

    A CRC of everything would take as long as computing a clip; that of the sum of long rows
    takes a fraction. Weights that change leave it as it was by a rare chance only.
    """
    checksum = 0
    for weight in model.weights:
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        values = values.reshape(-1).view("uint8")
        whole = len(values) // (8 * _ROW) * (8 * _ROW)
        rows = values[:whole].view("uint64").reshape(-1, _ROW)
        total = np.add.reduce(rows, axis=0)
        checksum = zlib.crc32(total.view("uint8"), checksum)
        checksum = zlib.crc32(values[whole:], checksum)
    return checksum


class OpenVinoNetwork(RuntimeNetwork):
    """Answers of a MotionNet or two-stream model, computed by OpenVINO in float32.

    Every shape of a batch is compiled once, which takes seconds.

    Example:
        >>> network = OpenVinoNetwork(MotionNet(num_frames=3, variant="tiny"))
        >>> network.predict_on_batch(np.zeros((1, 3, 64, 64, 3), "uint8"))["flow2"].shape
        (1, 2, 32, 32, 2)
    """

    def __init__(self, model):
        super().__init__(model, "openvino")
        import openvino

        self._core = openvino.Core()
        self._converted, self._compiled = {}, {}

    def _predict(self, clips, dtype):
        key = (clips.shape, dtype)
        if key not in self._compiled:
            self._compiled[key] = self._compile(*key)
        return self._compiled[key](clips)

    def _compile(self, shape, dtype):
        key = (shape[1:], dtype)
        if key not in self._converted:
            self._converted[key] = self._convert(*key)
        # A fixed shape lets OpenVINO choose layouts once and for all.
        converted = self._converted[key].clone()
        converted.reshape(list(shape))
        return openvino_function(self._core, converted)

    def _convert(self, shape, dtype):
        self._check_weights()
        signature = [keras.InputSpec(shape=(None, *shape), dtype=dtype)]
        with tempfile.TemporaryDirectory() as folder, _built_for(self._model, shape):
            path = os.path.join(folder, "network.xml")
            self._model.export(
                path, format="openvino", input_signature=signature, verbose=False
            )
            return self._core.read_model(path).clone()


@contextlib.contextmanager
def _built_for(model, shape):
    """Lets Keras' export trace `model` with clips of this shape.

    It traces with the shape that a model was built with, which may lack the size. A
    MotionNet that goes coarse to fine needs it to know the number of its passes.
    """
    built = model._build_shapes_dict
    if getattr(model, "coarse_to_fine", False):
        model._build_shapes_dict = {"input_shape": (None, *shape)}
    try:
        yield
    finally:
        model._build_shapes_dict = built


class LiteNetwork(RuntimeNetwork):
    """Answers of a MotionNet or two-stream model, computed by LiteRT.

    Every shape of a batch is converted once, which takes seconds; a smaller batch is
    filled up to one that is known.

    Args:
        model: as `RuntimeNetwork`.
        eight_bits: convolutions and dense layers in 8 bits: weights once, activations by
            the range that each batch has, so that no clips are needed to calibrate.

    Raises:
        UserError: as `RuntimeNetwork`, or the model has layers that LiteRT does not have.

    Example:
        >>> network = LiteNetwork(MotionNet(num_frames=3, variant="tiny"))
        >>> network.predict_on_batch(np.zeros((1, 3, 64, 64, 3), "uint8"))["flow2"].shape
        (1, 2, 32, 32, 2)
    """

    def __init__(self, model, eight_bits=False):
        super().__init__(model, "litert_8bit" if eight_bits else "litert")
        self._eight_bits, self._runners = eight_bits, {}

    def _predict(self, clips, dtype):
        count, shape = len(clips), clips.shape[1:]
        batch = min(
            (
                size
                for size, *rest in self._runners
                if rest == [shape, dtype] and size >= count
            ),
            default=count,
        )
        key = (batch, shape, dtype)
        if key not in self._runners:
            self._runners[key] = self._convert(*key)
        if batch > count:
            clips = np.concatenate([clips, np.repeat(clips[-1:], batch - count, axis=0)])
        _, run = self._runners[key]
        return {name: value[:count] for name, value in run(clips=clips).items()}

    def _convert(self, batch, shape, dtype):
        """The interpreter, which must outlive its runner, and the runner."""
        import tensorflow as tf
        from ai_edge_litert.interpreter import Interpreter

        self._check_weights()
        module = tf.Module()
        module.weights = [weight.value for weight in self._model.weights]
        module.run = tf.function(
            lambda clips: self._model(clips, training=False),
            input_signature=[tf.TensorSpec((batch, *shape), dtype, name="clips")],
        )
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [module.run.get_concrete_function()], module
        )
        if self._eight_bits:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        try:
            content = converter.convert()
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"LiteRT cannot run this network ({reason})") from error
        interpreter = Interpreter(model_content=content, num_threads=usable_cores())
        return interpreter, interpreter.get_signature_runner()


def in_runtime(model, runtime):
    """`model` itself, or what computes it by another runtime.

    Args:
        model: MotionNet or HiddenTwoStream.
        runtime: "keras"; "openvino" or "litert", float32 by those libraries; or
            "litert_8bit", LiteRT with weights and activations of 8 bits: about a third of
            the time, and not the same numbers (docs/performance.md).

    Returns:
        An object with `predict_on_batch`, `class_names`, `num_frames`, `image_size` and
        `frame_stride` of the model, and of a MotionNet with `estimate_flow`. Another
        runtime keeps the weights of now: after further training a shape that it knows gets
        the old answers and a new shape a UserError.

    Raises:
        UserError: the runtime is unknown or not installed, or does not take this model.
    """
    check_runtime(runtime)
    if runtime == "openvino":
        return OpenVinoNetwork(model)
    if runtime != "keras":
        return LiteNetwork(model, eight_bits=runtime == "litert_8bit")
    return model
