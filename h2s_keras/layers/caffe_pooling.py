from typing import Any

import keras
from keras import ops

from h2s_keras.tensor_types import Tensor

MODES = ("max", "average")


@keras.saving.register_keras_serializable(package="h2s_keras")
class CaffePooling(keras.layers.Layer):
    """Pooling with Caffe's padding and rounding, which neither "same" nor "valid" is.

    Both sides get `padding`; the output size is rounded up, so a last window may reach
    beyond the image, but none starts there. The maximum ignores what lies outside. The
    average counts the padding as zeros, and only the padding: what a window covers beyond
    it does not count.

    Args:
        pool_size: side of the square window.
        strides: step between windows, at most pool_size.
        padding: pixels on every side, less than pool_size.
        mode: "max" or "average".

    Input shape:
        float (batch, height, width, channels).

    Output shape:
        (batch, h, w, channels) with h = ceil((height + 2 padding - pool_size) / strides)
        + 1, less 1 where the last window would start outside; w alike.

    Raises:
        ValueError: for an unknown mode, or sizes that do not go together.

    Example:
        >>> CaffePooling(3, strides=2)(keras.ops.ones((1, 112, 112, 64))).shape
        (1, 56, 56, 64)

    Reference: Caffe's PoolingLayer, as the released networks were trained with.
    """

    def __init__(
        self,
        pool_size: int,
        strides: Any = 1,
        padding: int = 0,
        mode: str = "max",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.built = True  # without weights, as ImagePreprocessing says
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}; received {mode!r}.")
        if not (1 <= strides <= pool_size and 0 <= padding < pool_size):
            raise ValueError(
                "pooling needs 1 <= strides <= pool_size and 0 <= padding < pool_size; "
                f"received pool_size={pool_size}, strides={strides}, padding={padding}."
            )
        self.pool_size, self.strides = pool_size, strides
        self.padding, self.mode = padding, mode

    @property
    def _after(self):
        """Padding at the far side: as much as keeps every window that Caffe has.

        strides - 1 more than `padding` rounds the size up; at most pool_size - 1 leaves
        no window that starts outside.
        """
        return min(self.padding + self.strides - 1, self.pool_size - 1)

    def call(self, inputs: Tensor) -> Tensor:
        options = {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": "valid",
            "data_format": "channels_last",
        }
        edges = (self.padding, self._after)
        widths = ((0, 0), edges, edges, (0, 0))
        if self.mode == "max":
            padded = ops.pad(inputs, widths, constant_values=-float("inf"))
            return ops.max_pool(padded, **options)
        mean = ops.average_pool(ops.pad(inputs, widths), **options)
        if self._after == self.padding:
            return mean
        # Share of every window that lies on the image or its padding.
        beyond = (0, self._after - self.padding)
        counted = ops.ones_like(inputs[:1, :, :, :1])
        inner = (self.padding, self.padding)
        counted = ops.pad(counted, ((0, 0), inner, inner, (0, 0)), constant_values=1)
        counted = ops.pad(counted, ((0, 0), beyond, beyond, (0, 0)))
        return mean / ops.average_pool(counted, **options)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, channels = input_shape
        return (batch, *(self._pooled(side) for side in (height, width)), channels)

    def _pooled(self, side):
        if side is None:
            return None
        return (side + self.padding + self._after - self.pool_size) // self.strides + 1

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "mode": self.mode,
        }
