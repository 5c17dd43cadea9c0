"""The operations that one backend wants in a form of its own, for speed alone.

The one place where ops and layers ask for the backend. What each form brings is in
docs/performance.md.
"""

import keras
from keras import ops

from h2s_keras.tensor_types import Tensor


def take_rows(rows: Tensor, index: Tensor) -> Tensor:
    """`rows[index]`, for an index that was clipped before.

    `keras.ops.take` lets JAX fill rows that do not exist with NaN, a comparison and a
    selection a value: without it the warp with its gradient in flow takes a tenth to a
    third less time under JAX on a CPU (docs/performance.md, "The warp").

    Args:
        rows: (count, channels).
        index: int32, any shape, from 0 to count - 1.

    Returns:
        (*index.shape, channels), dtype of `rows`.

    Example:
        >>> take_rows(ops.reshape(ops.arange(6), (3, 2)), ops.convert_to_tensor([2, 0]))
        [[4, 5], [0, 1]]
    """
    if keras.backend.backend() == "jax":
        # What has no sign is not compared with 0 either.
        there = ops.convert_to_tensor(rows).at[ops.cast(index, "uint32")]
        return there.get(mode="promise_in_bounds")
    return ops.take(rows, index, axis=0)


def leaky_relu(tensor: Tensor, slope: float) -> Tensor:
    """`tensor` where it is positive, `slope * tensor` elsewhere.

    XLA makes it a part of cuDNN's convolutions in float16, under
    XLA_FLAGS=--xla_gpu_use_runtime_fusion=true, if it selects by "greater than 0".
    `keras.ops.leaky_relu` selects by "not less" under JAX and stays a pass of its own
    (docs/performance.md, "On a GPU").

    Args:
        tensor: float, any shape.
        slope: float.

    Returns:
        Shape and dtype of `tensor`.

    Example:
        >>> leaky_relu(ops.convert_to_tensor([-2.0, 3.0]), 0.1)
        [-0.2, 3.0]
    """
    if keras.backend.backend() == "jax":
        return ops.where(tensor > 0, tensor, tensor * slope)
    return ops.leaky_relu(tensor, slope)
