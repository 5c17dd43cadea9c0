from typing import Any

import keras
from keras import ops

from h2s_keras.ops.normalization import local_response_normalization
from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by the energy of its neighbouring channels.

        x / (bias + alpha * sum of x^2 over 2*radius + 1 channels)^beta

    It takes most of the local contrast out of the photometric and SSIM losses.

    Args:
        radius: channels on each side; 4 is the published window of 9.
        bias, alpha, beta: published 1, 1/9, 0.7.

    Input shape:
        (..., channels), any dtype.

    Output shape:
        As the input, in the compute dtype of the layer; computed in float32.

    Raises:
        ValueError: if radius is negative or bias is not positive.

    Example:
        >>> LocalResponseNormalization()(keras.ops.ones((1, 2, 2, 3))).shape
        (1, 2, 2, 3)

    Reference: Krizhevsky et al. 2012, section 3.3; released train prototxt.
    """

    def __init__(
        self,
        radius: int = 4,
        bias: float = 1.0,
        alpha: float = 1.0 / 9,
        beta: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.built = True  # without weights, as ImagePreprocessing says
        if radius < 0 or bias <= 0:
            raise ValueError(
                f"radius must be >= 0 and bias > 0; received {radius} and {bias}."
            )
        self.radius, self.bias, self.alpha, self.beta = radius, bias, alpha, beta

    def call(self, inputs: Tensor) -> Tensor:
        outputs = local_response_normalization(
            inputs, self.radius, self.bias, self.alpha, self.beta
        )
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "radius": self.radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }
