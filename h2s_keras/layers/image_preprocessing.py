from typing import Any

import keras
from keras import ops

from h2s_keras.tensor_types import Tensor

# Mean of ImageNet in RGB order, 0..255; the release states it as BGR 104, 117, 123.
RGB_MEAN = (123.0, 117.0, 104.0)

MODES = {
    # mode: (RGB mean, scale after subtracting it, RGB order is reversed)
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), False),
    "caffe": ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0), True),
    "tf": ((127.5, 127.5, 127.5), (1 / 127.5,) * 3, False),
    "torch": (
        (123.675, 116.28, 103.53),
        (1 / 58.395, 1 / 57.12, 1 / 57.375),
        False,
    ),
    "tsn": (RGB_MEAN, (1.0, 1.0, 1.0), True),
    "unit": (RGB_MEAN, (1 / 255,) * 3, False),
}


@keras.saving.register_keras_serializable(package="h2s_keras")
class ImagePreprocessing(keras.layers.Layer):
    """Mean, scale and channel order that a CNN was trained with, as part of the model.

    Args:
        mode: "unit" (RGB minus the ImageNet mean, over 255: MotionNet), "caffe" (BGR
            minus mean: VGG, ResNet), "tsn" (the same with the mean 104, 117, 123 of the
            Temporal Segment Networks), "tf" (-1..1: ResNetV2, Inception, MobileNet),
            "torch" (mean and deviation: DenseNet) or "none" (EfficientNet, ConvNeXt and
            others that scale inside).

    Input shape:
        (..., 3) RGB, 0..255, any dtype.

    Output shape:
        (..., 3) in the layer's compute dtype; the subtraction is done in float32.

    Raises:
        ValueError: for an unknown mode.

    Example:
        >>> ImagePreprocessing("unit")(np.zeros((1, 8, 8, 3), "uint8")).shape
        (1, 8, 8, 3)
    """

    def __init__(self, mode: str = "unit", **kwargs: Any) -> None:
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        if mode not in MODES:
            raise ValueError(f"mode must be one of {sorted(MODES)}; received {mode!r}.")
        self.mode = mode
        # Nothing to build; under JAX Keras traces a model with unbuilt layers every batch.
        self.built = True

    def call(self, images: Tensor) -> Tensor:
        mean, scale, reverse = MODES[self.mode]
        values = (ops.cast(images, "float32") - ops.convert_to_tensor(mean, "float32")) * (
            ops.convert_to_tensor(scale, "float32")
        )
        if reverse:
            values = ops.flip(values, axis=-1)
        return ops.cast(values, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}
