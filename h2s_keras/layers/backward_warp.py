from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from h2s_keras.ops.warp import PADDINGS, backward_warp, check_grids
from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class BackwardWarp(keras.layers.Layer):
    """Fetches every pixel from where its flow points: bilinear and differentiable.

    Args:
        padding: "zeros" (taps outside the image contribute zero, as released) or
            "border" (positions are clamped to the image).
        return_mask: also return where the sampled position lies inside the image.

    Call arguments:
        inputs: `[image, flow]`.

    Input shape:
        - image: (batch, height, width, channels), any dtype and dynamic size.
        - flow: float (batch, height, width, 2) = (x, y), pixels of the image's grid. It is
          never cast down to the policy's compute dtype; coordinates are float32.

    Output shape:
        (batch, height, width, channels) in the dtype of the image, float32 for integers;
        with `return_mask` a pair with float32 (batch, height, width, 1).

    Raises:
        ValueError: for another padding, or image and flow on different grids.

    Example:
        >>> next_frame = keras.random.uniform((1, 64, 64, 3))
        >>> flow = keras.ops.zeros((1, 64, 64, 2))
        >>> BackwardWarp()([next_frame, flow]).shape      # equals next_frame
        (1, 64, 64, 3)

    Reference: arXiv 1704.00389, section 3.1; Jaderberg et al. 2015, equation 5.
    """

    def __init__(
        self, padding: str = "zeros", return_mask: bool = False, **kwargs: Any
    ) -> None:
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.built = True  # without weights, as ImagePreprocessing says
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {PADDINGS}; received {padding!r}.")
        self.padding = padding
        self.return_mask = return_mask

    def call(self, inputs: Sequence[Tensor]) -> Any:
        self._check_pair(inputs)
        image, flow = (ops.convert_to_tensor(tensor) for tensor in inputs)
        return backward_warp(image, flow, self.padding, self.return_mask)

    def _check_pair(self, inputs):
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(
                "BackwardWarp takes a list [image, flow]; received "
                f"{type(inputs).__name__}. Call it as BackwardWarp()([image, flow])."
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        image = tuple(input_shape[0])
        return (image, image[:3] + (1,)) if self.return_mask else image

    def compute_output_spec(self, inputs: Sequence[Tensor]) -> Any:
        self._check_pair(inputs)
        image, flow = inputs
        check_grids(image, flow, self.padding)
        dtype = image.dtype if "float" in str(image.dtype) else "float32"
        shapes = self.compute_output_shape([tensor.shape for tensor in inputs])
        if not self.return_mask:
            return keras.KerasTensor(shapes, dtype=dtype)
        warped, mask = shapes
        return (
            keras.KerasTensor(warped, dtype=dtype),
            keras.KerasTensor(mask, dtype="float32"),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "padding": self.padding,
            "return_mask": self.return_mask,
        }
