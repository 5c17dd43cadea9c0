"""Layers that read channels last, whatever the user's Keras is set to."""

import contextlib
from typing import Any

import keras


@contextlib.contextmanager
def channels_last() -> Any:
    """Sets Keras' image format for the layers made inside, and puts it back.

    Clips are channels last in all of this library. A `~/.keras/keras.json` that says
    "channels_first" would let a backbone take the height for channels.

    Example:
        >>> with channels_last():
        ...     keras.layers.Conv2D(8, 3).data_format
        'channels_last'
    """
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)
