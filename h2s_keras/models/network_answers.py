"""What networks do beside computing: look at clips, name outputs, enlarge flow."""

from typing import Any

import keras
import numpy as np
from keras import ops

from h2s_keras.errors import UserError
from h2s_keras.ops.clip_range import looked_at, warn_unit_range
from h2s_keras.ops.flow import resize_flow
from h2s_keras.tensor_types import Tensor


class NamedShapes(dict):
    """Shapes of a network's outputs by name.

    Keras' wrappers, as TimeDistributed, know one output alone and ask for its axis 0 or 1:
    they get an answer in words.
    """

    def __missing__(self, name):
        known = ", ".join(repr(key) for key in self)
        if isinstance(name, str):
            raise KeyError(f"There is no output {name!r}; there are {known}.")
        raise ValueError(
            f"This network answers with a dict of {known}, and the wrapper takes models of "
            "one output: choose one, keras.Model(clips, network(clips)['...']) with "
            "clips = keras.Input((frames, height, width, 3))."
        )

    def spec(self, dtype: str) -> dict[str, keras.KerasTensor]:
        """The same as a plain dict of KerasTensors."""
        return {name: keras.KerasTensor(shape, dtype) for name, shape in self.items()}


def full_resolution_flow(network: keras.Model, clips: Tensor, batch_size: int) -> Tensor:
    """`estimate_flow` of a MotionNet, or of one that another runtime computes.

    Args:
        network: has `num_frames`, `size_multiple` and `predict_on_batch`.
        clips, batch_size: as `MotionNet.estimate_flow`.

    Returns:
        NumPy float32 (batch, num_frames-1, height, width, 2), pixels.
    """
    clips, frames = np.asarray(clips), network.num_frames
    if clips.ndim != 5 or clips.shape[1] != frames or clips.shape[4] != 3:
        raise UserError(
            f"estimate_flow takes clips (batch, {frames}, height, width, 3); "
            f"received shape {clips.shape}."
        )
    warn_unit_range(clips, f"{type(network).__name__}.estimate_flow")
    height, width = clips.shape[2:4]
    below, right = -height % network.size_multiple, -width % network.size_multiple
    padded = np.pad(clips, ((0, 0), (0, 0), (0, below), (0, right), (0, 0)), mode="edge")
    size = padded.shape[2:4]
    results = []
    for start in range(0, len(padded), batch_size):
        batch = padded[start : start + batch_size]
        # Compiled, once for a shape. Under a strategy each replica answers for all clips,
        # one after the other.
        with looked_at():
            flow = network.predict_on_batch(batch)["flow2"][: len(batch)]
        full = resize_flow(ops.convert_to_tensor(flow), size)
        results.append(ops.convert_to_numpy(full)[:, :, :height, :width])
    if not results:
        return np.zeros((0, frames - 1, height, width, 2), "float32")
    return np.concatenate(results)


class ChecksClips:
    """For keras.Model: looks at the clips of calls on arrays, before they are compiled."""

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        warn_unit_range(x, f"{type(self).__name__}.fit")
        with looked_at():
            return super().fit(x, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        warn_unit_range(x, f"{type(self).__name__}.evaluate")
        with looked_at():
            return super().evaluate(x, *args, **kwargs)  # type: ignore[misc]

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        warn_unit_range(x, f"{type(self).__name__}.predict")
        with looked_at():
            return super().predict(x, *args, **kwargs)  # type: ignore[misc]

    def predict_on_batch(self, x: Any) -> Any:
        warn_unit_range(x, f"{type(self).__name__}.predict")
        with looked_at():
            return super().predict_on_batch(x)  # type: ignore[misc]
