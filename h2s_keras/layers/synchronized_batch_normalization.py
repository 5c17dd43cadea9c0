from typing import Any

import keras

from h2s_keras.tensor_types import Tensor


@keras.saving.register_keras_serializable(package="h2s_keras")
class SynchronizedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation whose replicas share their statistics, on every backend.

    On TensorFlow the moments are averaged over the replicas of a strategy. On JAX a
    distributed batch is one global array, so its moments are shared already, and Keras
    has no replicas on PyTorch: there the option of Keras, which refuses to run on both,
    is left off. A saved model moves between backends.

    Args:
        frozen: normalise with the stored mean and variance also in training and leave
            them as they are; scale and shift go on learning. Unlike `trainable = False`
            it survives when a stage of training sets `trainable` of the whole network.
        **kwargs: of keras.layers.BatchNormalization, but "synchronized".

    Input shape, output shape:
        as keras.layers.BatchNormalization.

    Raises:
        ValueError: as keras.layers.BatchNormalization, for arguments that do not fit.

    Example:
        >>> SynchronizedBatchNormalization(epsilon=1e-5)(keras.ops.ones((2, 4, 4, 8))).shape
        (2, 4, 4, 8)

    Reference: Ioffe & Szegedy 2015; freezing: Wang et al. 2016, Temporal Segment Networks,
    section 3.2 ("partial BN").
    """

    def __init__(self, frozen: bool = False, **kwargs: Any) -> None:
        kwargs.pop("synchronized", None)
        shared = keras.backend.backend() == "tensorflow"
        super().__init__(synchronized=shared, **kwargs)
        self.frozen = frozen

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        return super().call(inputs, training=training and not self.frozen, mask=mask)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # The option follows the backend that loads the model, not the one that saved it.
        del config["synchronized"]
        return {**config, "frozen": self.frozen}
