"""What the networks have in common that another library computes in place of Keras."""

import keras
import numpy as np

from h2s_keras.errors import UserError


class RuntimeNetwork:
    """Base of networks that answer like a model, computed by another runtime.

    A subclass gives `_predict(clips, dtype)`.

    Args:
        model: MotionNet or HiddenTwoStream.
        runtime: its name, for errors.

    Attributes:
        class_names, num_frames, image_size, frame_stride: those that `model` has.

    Raises:
        UserError: the model is an export, which has a runtime of its own.
    """

    def __init__(self, model, runtime):
        if not isinstance(model, keras.Model):
            raise UserError(
                f"runtime {runtime!r} takes a .keras model; received {type(model).__name__}"
            )
        self._model = model
        for name in ("class_names", "num_frames", "image_size", "frame_stride"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))

    def predict_on_batch(self, clips):
        """dict of NumPy float32 arrays, as the model itself answers.

        Args:
            clips: uint8 (batch, num_frames, height, width, 3), RGB; others, such as warped
                clips, are taken as float32.
        """
        clips = np.asarray(clips)
        dtype = "uint8" if clips.dtype == np.uint8 else "float32"
        return self._predict(np.ascontiguousarray(clips, dtype), dtype)
