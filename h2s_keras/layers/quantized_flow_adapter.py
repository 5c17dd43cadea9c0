from typing import Any

import keras
from keras import ops

from h2s_keras.ops.flow import channels_to_flow, flow_to_channels, size_of
from h2s_keras.ops.quantize import dequantize_flow, quantize_flow
from h2s_keras.ops.resize import resize_bilinear
from h2s_keras.ops.warp import PADDINGS
from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class QuantizedFlowAdapter(keras.layers.Layer):
    """Turns the finest flow of MotionNet into the input of a temporal CNN.

    Flow is rescaled to pixels of full resolution, clipped to [-bound, bound], mapped
    onto 0..255, optionally rounded, enlarged to the input size (its values are full
    resolution pixels already and are not rescaled again) and centred.

    Args:
        bound: pixels of full resolution; published 20.
        levels: None (no rounding, as in the released graph), or the number of values
            kept; 256 equals flow stored as integers. Gradients pass straight through
            the rounding.
        scale: full resolution over the resolution of the flow; 2 for level 2.
        centre: subtracted at the end; published 128. `centre=127.5` maps zero motion
            to exactly 0.
        padding: of the enlargement. "border" repeats the outermost values. "zeros" is
            exactly the fixed deconvolution of the released graph, beyond whose edges lies
            0, the darkest level: zero flow becomes -0.5 inside, -32.4 at an edge and
            -56.3 in a corner. Weights of the release expect it.
        enlarge: False leaves the values on the grid of the flow, for a temporal CNN that
            reads them there: interpolated values tell it nothing and cost it three times
            the time of a small network.
        subtract_mean: from every field of flow its mean vector is subtracted first: what
            the whole picture does, such as a camera that pans or shakes.

    Call arguments:
        flow: float (batch, pairs, height, width, 2), pixels of its own grid.

    Output shape:
        (batch, scale*height, scale*width, 2*pairs) = u0 v0 u1 v1 ..., without `enlarge`
        (batch, height, width, 2*pairs), in the compute dtype of the layer; values from
        -centre to 255 - centre.

    Raises:
        ValueError: if bound or scale are not positive, levels is below 2, or for another
            padding.

    Example:
        >>> flow = keras.ops.zeros((1, 10, 112, 112, 2))
        >>> QuantizedFlowAdapter()(flow).shape
        (1, 224, 224, 20)

    Reference: arXiv 1704.00389, section 3.2; released end-to-end prototxt; subtraction of
    the mean flow: Simonyan and Zisserman 2014, section 3.1.
    """

    def __init__(
        self,
        bound: float = 20.0,
        levels: int | None = None,
        scale: int = 2,
        centre: float = 128.0,
        padding: str = "border",
        enlarge: bool = True,
        subtract_mean: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.built = True  # without weights, as ImagePreprocessing says
        if bound <= 0 or scale < 1:
            raise ValueError(
                f"bound must be > 0 and scale >= 1; received {bound} and {scale}."
            )
        if levels is not None and levels < 2:
            raise ValueError(f"levels must be None or at least 2; received {levels}.")
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {PADDINGS}; received {padding!r}.")
        self.bound, self.levels, self.scale, self.centre = bound, levels, scale, centre
        self.padding, self.enlarge = padding, enlarge
        self.subtract_mean = subtract_mean

    def call(self, flow: Tensor) -> Tensor:
        full = self.rescale(flow)
        values = flow_to_channels(quantize_flow(full, self.bound, self.levels))
        if not self.enlarge:
            return ops.cast(values - self.centre, self.compute_dtype)
        # The frame of zeros that the padding reads from; at scale 1 nothing is read.
        ring = int(self.padding == "zeros" and self.scale > 1)
        if ring:
            values = ops.pad(values, ((0, 0), (ring, ring), (ring, ring), (0, 0)))
        size = (size_of(values, 1) * self.scale, size_of(values, 2) * self.scale)
        values = resize_bilinear(values, size)
        if ring:
            values = values[:, self.scale : -self.scale, self.scale : -self.scale]
        return ops.cast(values - self.centre, self.compute_dtype)

    def rescale(self, flow: Tensor) -> Tensor:
        """Flow float32 in pixels of full resolution, on its own grid, before clipping."""
        full = ops.cast(flow, "float32") * float(self.scale)
        if self.subtract_mean:
            full = full - ops.mean(full, axis=(2, 3), keepdims=True)
        return full

    def inverse(self, channels: Tensor) -> Tensor:
        """The flow that `channels` stand for: (batch, pairs, H, W, 2), pixels, float32.

        Without the mean, where that was subtracted.
        """
        values = ops.cast(channels, "float32") + self.centre
        return channels_to_flow(dequantize_flow(values, self.bound))

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, pairs, height, width, _ = input_shape
        factor = self.scale if self.enlarge else 1
        return (
            batch,
            None if height is None else height * factor,
            None if width is None else width * factor,
            2 * pairs,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bound": self.bound,
            "levels": self.levels,
            "scale": self.scale,
            "centre": self.centre,
            "padding": self.padding,
            "enlarge": self.enlarge,
            "subtract_mean": self.subtract_mean,
        }
