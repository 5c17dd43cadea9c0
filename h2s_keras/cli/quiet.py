"""Importing Keras late and quietly."""

import importlib.util
import logging
import os
import sys

from h2s_keras.errors import UserError
from h2s_keras.process import silent_stderr

_BACKENDS = ("tensorflow", "jax", "torch")


def import_keras():
    """Imports Keras without the notes that TensorFlow's C++ prints before it can log.

    Nor does TensorFlow then count how many networks are compiled, as in a run of stages.

    Every command that needs Keras calls it once its arguments make sense, so that mistakes
    answer at once.

    Raises:
        UserError: the environment names a backend that is unknown or not installed.
    """
    if "keras" in sys.modules:
        return
    check_backend(os.environ.get("KERAS_BACKEND"))
    try:
        with silent_stderr():
            import keras  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"Keras cannot be imported ({error}); install what is missing, or choose "
            "another backend with KERAS_BACKEND"
        ) from error
    tensorflow = logging.getLogger("tensorflow")
    tensorflow.addFilter(lambda record: "tf.function retracing" not in record.getMessage())


def print_device(say):
    """Prints what computes, and a GPU that is there and not used."""
    from h2s_keras.training.devices import device_line, find_devices, unused_gpu

    devices = find_devices()
    say(device_line(devices))
    warning = unused_gpu(devices)
    if warning:
        say(warning)


def check_backend(name):
    """Raises a UserError for a value of KERAS_BACKEND that cannot be had; None passes."""
    if not name:
        return
    if name not in _BACKENDS:
        raise UserError(
            f"KERAS_BACKEND={name}: is not supported; it may be {', '.join(_BACKENDS)}"
        )
    # The packages are called like the backends.
    if importlib.util.find_spec(name) is None:
        raise UserError(
            f"KERAS_BACKEND={name}: the package {name} is not installed here; install it "
            f"(pip install {name}), or leave KERAS_BACKEND out for TensorFlow"
        )
