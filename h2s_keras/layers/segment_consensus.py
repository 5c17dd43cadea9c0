from typing import Any

import keras
from keras import ops

from h2s_keras.tensor_types import Tensor

MODES = ("average", "max", "top_k")


@keras.saving.register_keras_serializable(package="h2s_keras")
class SegmentConsensus(keras.layers.Layer):
    """Joins the class scores of a video's segments into one score per class.

    Args:
        mode: "average" (published), "max", or "top_k": the mean of the k best segments
            of each class, for long untrimmed videos.
        k: segments kept by "top_k"; ignored otherwise.

    Input shape:
        float (batch, segments, classes).

    Output shape:
        (batch, classes).

    Raises:
        ValueError: for an unknown mode, k < 1, rank other than 3, or fewer than k
            segments.

    Example:
        >>> SegmentConsensus()(keras.ops.ones((2, 3, 101))).shape
        (2, 101)

    Reference: Wang et al. 2016, Temporal Segment Networks, section 3.1.
    """

    def __init__(self, mode: str = "average", k: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}; received {mode!r}.")
        if k < 1:
            raise ValueError(f"k must be at least 1; received {k}.")
        self.mode, self.k = mode, k
        # Nothing to build; under JAX Keras traces a model with unbuilt layers every batch.
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        if len(inputs.shape) != 3:
            raise ValueError(
                "SegmentConsensus takes scores (batch, segments, classes); received "
                f"shape {tuple(inputs.shape)}."
            )
        if self.mode == "average":
            return ops.mean(inputs, axis=1)
        if self.mode == "max":
            return ops.max(inputs, axis=1)
        segments = inputs.shape[1]
        if segments is not None and segments < self.k:
            raise ValueError(
                f"top_k with k={self.k} needs at least {self.k} segments; received shape "
                f"{tuple(inputs.shape)}."
            )
        best, _ = ops.top_k(ops.transpose(inputs, (0, 2, 1)), self.k)
        return ops.mean(best, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode, "k": self.k}
