"""Which examples of a training stream a host reads: whole rows of every global batch."""

from h2s_keras.errors import UserError


def host_batch_size(batch_size, host=0, hosts=1):
    """Rows of every global batch that one host reads.

    Args:
        batch_size: examples of the global batch.
        host: number of this host, from 0.
        hosts: number of hosts.

    Returns:
        int.

    Raises:
        UserError: there is no such host, or the batch cannot be shared evenly.
    """
    if batch_size < 1 or hosts < 1 or not 0 <= host < hosts:
        raise UserError(
            f"no host {host} of {hosts} can read batches of {batch_size}; count the hosts "
            "from 0 and give a batch of 1 or more"
        )
    if batch_size % hosts:
        raise UserError(
            f"a batch of {batch_size} cannot be shared evenly by {hosts} hosts; make it a "
            f"multiple of {hosts}"
        )
    return batch_size // hosts


def example_numbers(batch_size, start_step=0, host=0, hosts=1):
    """The endless stream of example numbers of one host, as a `tf.data.Dataset` of int64.

    Global batch `k` holds the examples `k * batch_size ... (k + 1) * batch_size - 1`; the
    host reads the same rows of every batch, so that all hosts together read what one
    would, each example once.

    Args:
        batch_size: examples of the global batch.
        start_step: first batch.
        host, hosts: as `host_batch_size`, which also says what is refused.

    Example:

    ```python
    list(example_numbers(4, host=1, hosts=2).take(4).as_numpy_iterator())   # 2, 3, 6, 7
    ```
    """
    import tensorflow as tf

    rows = host_batch_size(batch_size, host, hosts)
    numbers = tf.data.Dataset.range(start_step * rows, tf.int64.max)
    if hosts == 1:
        return numbers
    return numbers.map(lambda i: i // rows * batch_size + host * rows + i % rows)
