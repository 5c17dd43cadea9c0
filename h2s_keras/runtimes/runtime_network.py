"""What the networks have in common that another library computes instead of Keras."""

import zlib

import keras
import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.models.full_resolution_flow import full_resolution_flow
from h2s_keras.ops.clip_range import warn_unit_range

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
