"""Trained networks by the name of a preset, or from files."""

import os

import keras

from h2s_keras.errors import UserError
from h2s_keras.model_files import model_file, preset_name
from h2s_keras.models.preset_files import read_preset


def load_model(path):
    """Loads a preset, or a .keras file of this library, also by the folder of a run.

    Args:
        path: name of a preset ("quickstart", "tiny_synthetic_2", ...), a file or a folder.
            What lies on disk under that name goes first.

    Raises:
        UserError: if it is missing, damaged or something else.
    """
    import h2s_keras

    h2s_keras.register()
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


def load_motion_net(path, num_frames=None):
    """MotionNet of a preset or from its own file, also out of a whole two-stream model.

    Args:
        path: as for `load_model`, or a family of presets ("tiny_synthetic").
        num_frames: which of a family; None: 11, as MotionNet itself has.

    Raises:
        UserError: as `load_model`; a family without this number of frames.
    """
    from h2s_keras.models.motion_net import MotionNet, motion_net_of

    model = load_model(preset_name(path, num_frames) or path)
    model = motion_net_of(model)
    if not isinstance(model, MotionNet):
        raise UserError(f"{path}: holds a {type(model).__name__}, not a MotionNet")
    return model
