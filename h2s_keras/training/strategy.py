"""Which devices of this machine train: one, or all of them as mirrored replicas."""

import functools

import keras

from h2s_keras.errors import UserError

STRATEGIES = ("none", "mirrored")


def make_strategy(name):
    """The tf.distribute strategy of a recipe's "strategy" value; None for one device.

    Args:
        name: "none" or "mirrored": one replica on each GPU, or on each logical CPU where
            there is no GPU.

    Raises:
        UserError: for another name, or where the backend cannot do it.

    Example:

    ```python
    strategy = make_strategy("mirrored")
    with strategy.scope():
        network = builder.build()
    ```
    """
    if name in (None, "none"):
        return None
    if str(name).startswith("multi"):
        raise UserError(
            f"strategy={name}: TensorFlow's MultiWorkerMirroredStrategy does not run with "
            "Keras 3; for many processes set KERAS_BACKEND=jax and give --processes, "
            "--process and --coordinator"
        )
    if name not in STRATEGIES:
        raise UserError(f"strategy must be one of {STRATEGIES}; received {name!r}")
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"strategy=mirrored is TensorFlow's; the backend is {keras.backend.backend()}. "
            "On JAX give --processes (one process for each device), or leave it out"
        )
    return _mirrored()


@functools.cache
def _mirrored():
    # Two strategies over the same devices in one process mix up their collectives.
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def unsynchronized_layers(network):
    """The layers of batch normalisation that do not share their statistics yet."""
    return [
        layer
        for layer in network._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
    ]


def share_statistics(layers, value):
    """Sets whether layers of batch normalisation share their statistics over replicas.

    Where they do not, each replica of TensorFlow normalises with its own few clips, and the
    statistics of the first replica alone are kept. Processes on JAX need no such thing: a
    batch is one global array there, and Keras refuses the option, also in a file.
    """
    for layer in layers:
        layer.synchronized = value
