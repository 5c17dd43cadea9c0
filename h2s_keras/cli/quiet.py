"""Importing Keras late and quietly."""

import contextlib
import os
import sys


def tell_device(say):
    """Prints what computes, and a GPU that is there and not used."""
    from h2s_keras.training.devices import device_line, find_devices, unused_gpu

    with _silence():
        # TensorFlow's C++ tells why it cannot use a GPU in many lines.
        devices = find_devices()
    say(device_line(devices))
    warning = unused_gpu(devices)
    if warning:
        say(warning)


def import_keras():
    """Imports Keras without the notes that TensorFlow's C++ prints before it can log.

    Every command that needs Keras calls it once its arguments make sense, so that mistakes
    answer at once.
    """
    if "keras" in sys.modules:
        return
    with _silence():
        import keras  # noqa: F401


@contextlib.contextmanager
def _silence():
    """Nothing that C++ writes to stderr is seen."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
