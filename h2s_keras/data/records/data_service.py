"""tf.data service: other machines decode and augment the records.

Whole batches are handed out one by one to whichever worker is free. While no worker is
lost, every batch of the stream, and so every example of an epoch, comes exactly once; what
a batch holds is a function of the seed and its number, as without the service. Only the
order in which neighbouring batches arrive depends on the workers. A batch that was with a
worker when that died is lost (at most once).
"""

import queue
import re
import socket
import threading
import time

from h2s_keras.data.clips.process_end import check_running
from h2s_keras.errors import UserError

_ADDRESS = re.compile(r"grpc://(?P<host>[^:/]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]+)")
_TIMEOUT = 10
# Seconds without a batch and without an answer after which a dispatcher counts as lost:
# time enough to be started again.
PATIENCE = 60
# What a client reads when a dispatcher came back that remembers nothing of it.
FORGOTTEN = re.compile(r"(Iteration|Iteration client|Dataset|Job) id \d+ not found")


def distribute(dataset, service, on_error=None):
    """Has the workers of a service produce the elements of a data set.

    Args:
        dataset: of pure TensorFlow ops; the numbers of its source, a range, are shared out.
        service: address of the dispatcher, `grpc://host:port`.
        on_error: function called with the exception that ends the data set, since tf.data
            makes another of it: a `UserError` for a lost dispatcher, or what the service
            says; None for no function.

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
    shared = dataset.prefetch(1).apply(shared)

    def batches():
        with _Feed(shared, service) as feed:
            try:
                yield from feed
            except Exception as error:
                if on_error is not None:
                    on_error(error)
                raise

    return tf.data.Dataset.from_generator(batches, output_signature=shared.element_spec)


def check_dispatcher(service):
    """Raises a UserError unless something listens at the address `grpc://host:port`."""
    match = _ADDRESS.fullmatch(str(service))
    if match is None:
        raise UserError(
            f"a data service is given as grpc://host:port; received {service!r}"
        )
    try:
        _connect(service)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"{service}: no dispatcher of tf.data service answers there ({error}); start "
            "it (docs/records.md), or leave the data service out"
        ) from None


def _connect(service):
    match = _ADDRESS.fullmatch(service)
    address = (match["host"].strip("[]"), int(match["port"]))
    socket.create_connection(address, _TIMEOUT).close()


class _Feed:
    """The elements of a service, and an error where TensorFlow would wait for ever.

    TensorFlow's client waits for a lost dispatcher in a call that nothing can end, neither
    Ctrl-C nor a limit. So a thread of its own makes that call, and whoever takes elements
    looks, while there is none, whether the dispatcher still answers.
    """

    _PROBE = 1.0
    _END = object()

    def __init__(self, dataset, service):
        self.dataset, self.service = dataset, service
        self.ready = queue.Queue(1)
        self.stopped = threading.Event()

    def __enter__(self):
        # A daemon: in that call it would keep the process from ending.
        threading.Thread(target=self._run, name="data service", daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.stopped.set()

    def __iter__(self):
        while True:
            item = self._next()
            if item is self._END:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def _next(self):
        silent_since = None
        while True:
            try:
                return self.ready.get(timeout=self._PROBE)
            except queue.Empty:
                check_running()
                asked = time.monotonic()
            try:
                _connect(self.service)
                silent_since = None
            except OSError:
                silent_since = asked if silent_since is None else silent_since
            if silent_since is not None and time.monotonic() - silent_since > PATIENCE:
                raise UserError(
                    f"{self.service}: the dispatcher of the data service has not answered "
                    f"for {PATIENCE:g} s; start it again on the same port and go on "
                    "with --resume"
                )

    def _run(self):
        try:
            for element in self.dataset:
                self._put(element)
                if self.stopped.is_set():
                    return
            self._put(self._END)
        except Exception as error:  # Raised again where the elements are taken.
            self._put(error)

    def _put(self, item):
        while not self.stopped.is_set():
            try:
                self.ready.put(item, timeout=self._PROBE)
                return
            except queue.Full:
                continue
