"""Importing Keras late and quietly."""

import os
import sys


def import_keras():
    """Imports Keras without the notes that TensorFlow's C++ prints before it can log.

    Every command that needs Keras calls it once its arguments make sense, so that mistakes
    answer at once.
    """
    if "keras" in sys.modules:
        return
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        import keras  # noqa: F401
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
