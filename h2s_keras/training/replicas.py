"""Sums over the replicas of a `tf.distribute` strategy; everywhere else the value itself.

With `in_place.py` what a training step asks of the backend. On JAX with
`keras.distribution` a value is global already, and PyTorch trains on one device.
"""

import keras


def sum_over_replicas(values):
    """Sums a tensor, or each tensor of a list, over the replicas.

    Inside a replica the result is the same on all of them; outside one, and without a
    strategy, `values` come back as they are.

    Example:

    ```python
    clips = sum_over_replicas(local_clips)      # of the global batch
    ```
    """
    if keras.backend.backend() != "tensorflow":
        return values
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        return values
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
