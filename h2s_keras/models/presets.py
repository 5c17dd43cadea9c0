"""Trained networks by the name of a preset, or from files."""

import os

import keras

from h2s_keras.errors import UserError
from h2s_keras.model_files import model_file, preset_name
from h2s_keras.models.preset_files import read_preset


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Loads a preset, or a network of this library from where Keras can load it.

    Args:
        path: name of a preset ("quickstart", "tiny_synthetic", ...), a .keras file, the
            folder of a run or of a `save_to_preset`, or a remote path such as
            "hf://user/name". What lies on disk under that name goes first.

    Raises:
        UserError: if it is missing, damaged or something else.
    """
    path = os.fspath(path)
    name = preset_name(path)
    if name is not None:
        return read_preset(name)
    path = model_file(path)
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be loaded as a Keras model ({reason})") from error
