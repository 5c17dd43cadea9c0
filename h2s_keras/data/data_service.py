"""tf.data service: other machines decode and augment the records.

Whole batches are handed out one by one to whichever worker is free. While no worker is
lost, every batch of the stream, and so every example of an epoch, comes exactly once; what
a batch holds is a function of the seed and its number, as without the service. Only the
order in which neighbouring batches arrive depends on the workers. A batch that was with a
worker when that died is lost (at most once).
"""

import re
import socket

from h2s_keras.errors import UserError

_ADDRESS = re.compile(r"grpc://(?P<host>[^:/]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]+)")
_TIMEOUT = 10


def distribute(dataset, service):
    """Has the workers of a service produce the elements of a data set.

    Args:
        dataset: of pure TensorFlow ops; the numbers of its source, a range, are shared out.
        service: address of the dispatcher, `grpc://host:port`.

    Returns:
        `tf.data.Dataset` of the same elements.

    Raises:
        UserError: the address is none, or nobody answers there.

    Example:

    ```python
    dataset = distribute(dataset, "grpc://10.0.0.5:5050")
    ```
    """
    import tensorflow as tf

    check_dispatcher(service)
    policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC
    shared = tf.data.experimental.service.distribute(policy, service)
    return dataset.prefetch(1).apply(shared)


def check_dispatcher(service):
    """Raises a UserError unless something listens at the address `grpc://host:port`."""
    match = _ADDRESS.fullmatch(str(service))
    if match is None:
        raise UserError(
            f"a data service is given as grpc://host:port; received {service!r}"
        )
    address = (match["host"].strip("[]"), int(match["port"]))
    # TensorFlow itself would wait an hour for it.
    try:
        socket.create_connection(address, _TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"{service}: no dispatcher of tf.data service answers there ({error}); start "
            "it (docs/records.md), or leave the data service out"
        ) from None
