"""A network computed by LiteRT (XNNPACK) instead of Keras, for inference on CPUs."""

import numpy as np

from h2s_keras.cores import usable_cores
from h2s_keras.errors import UserError
from h2s_keras.runtimes.check_runtime import check_runtime
from h2s_keras.runtimes.runtime_network import RuntimeNetwork


class LiteNetwork(RuntimeNetwork):
    """Answers of a MotionNet or two-stream model, computed by LiteRT.

    The weights are those of now; a model that is trained further needs a new one. Every
    shape of a batch is converted once, which takes seconds; a smaller batch is filled up to
    one that is known.

    Args:
        model: MotionNet or HiddenTwoStream, on the backend TensorFlow.
        eight_bits: convolutions and dense layers in 8 bits: weights once, activations by
            the range that each batch has, so that no clips are needed to calibrate.

    Attributes:
        class_names, num_frames, image_size, frame_stride, frame_rate: those that `model`
            has.

    Raises:
        UserError: ai-edge-litert is not installed, another backend runs, the model is an
            export, or has layers that LiteRT does not have; a new shape after the weights
            of the model have changed.

    Example:
        >>> network = LiteNetwork(MotionNet(num_frames=3, variant="tiny"))
        >>> network.predict_on_batch(np.zeros((1, 3, 64, 64, 3), "uint8"))["flow2"].shape
        (1, 2, 32, 32, 2)
    """

    def __init__(self, model, eight_bits=False):
        runtime = "litert_8bit" if eight_bits else "litert"
        check_runtime(runtime)
        super().__init__(model, runtime)
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
