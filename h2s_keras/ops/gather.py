"""Looking up rows by indices that are known to exist."""

import keras
from keras import ops


def take_rows(rows, index):
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
        there = ops.convert_to_tensor(rows).at[index]
        return there.get(mode="promise_in_bounds", wrap_negative_indices=False)
    return ops.take(rows, index, axis=0)
