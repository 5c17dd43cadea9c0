"""Importing Keras late and quietly."""

import sys

from h2s_keras.silence import silent_stderr


def import_keras():
    """Imports Keras without the notes that TensorFlow's C++ prints before it can log.

    Every command that needs Keras calls it once its arguments make sense, so that mistakes
    answer at once.
    """
    if "keras" in sys.modules:
        return
    with silent_stderr():
        import keras  # noqa: F401


def print_device(say):
    """Prints what computes, and a GPU that is there and not used."""
    from h2s_keras.training.devices import device_line, find_devices, unused_gpu

    devices = find_devices()
    say(device_line(devices))
    warning = unused_gpu(devices)
    if warning:
        say(warning)
