from typing import Any

import keras

from h2s_keras.ops.flow import channels_to_flow
from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class FlowVolume(keras.layers.Layer):
    """Stacked flow channels as a volume in time, for 3D networks.

    Args:
        scale: factor on the values; 1/128 brings adapted flow to -1..1.

    Input shape:
        float (batch, height, width, 2 * pairs), channels u0 v0 u1 v1 ...

    Output shape:
        (batch, pairs, height, width, 2), channels u v.

    Raises:
        ValueError: for an odd number of channels or another rank.

    Example:
        >>> FlowVolume()(keras.ops.ones((1, 32, 32, 20))).shape
        (1, 10, 32, 32, 2)
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.built = True  # without weights, as ImagePreprocessing says
        self.scale = scale

    def call(self, inputs: Tensor) -> Tensor:
        self._check(inputs.shape)
        return channels_to_flow(inputs) * self.scale

    def _check(self, shape):
        if len(shape) != 4 or shape[-1] is None or shape[-1] % 2:
            raise ValueError(
                "FlowVolume takes (batch, height, width, 2 * pairs) with channels u0 v0 "
                f"u1 v1 ...; received shape {tuple(shape)}."
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        self._check(input_shape)
        batch, height, width, channels = input_shape
        return (batch, channels // 2, height, width, 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
