"""Trained networks by the name of a preset, or from files."""

import os

import keras

from h2s_keras.errors import UserError
from h2s_keras.models.preset_files import preset_index, read_preset

# A family has a network for each number of frames.
FAMILIES = ("tiny_synthetic",)


def preset_name(path, num_frames=None):
    """The preset that a name given as a path means, or None where it is a path.

    Args:
        path: what a user gave as a model. What lies on disk under that name goes first.
        num_frames: which of a family ("tiny_synthetic"); None: 11, as MotionNet has.

    Raises:
        UserError: for a family without this number of frames.
    """
    path = os.fspath(path)
    if os.path.exists(path):
        return None
    index = preset_index()
    if path in index:
        return path
    if path not in FAMILIES:
        return None
    frames = 11 if num_frames is None else num_frames
    if f"{path}_{frames}" not in index:
        known = sorted(
            about["num_frames"]
            for name, about in index.items()
            if name.startswith(f"{path}_")
        )
        raise UserError(
            f"the preset {path!r} takes {' or '.join(map(str, known))} frames; "
            f"received {frames}"
        )
    return f"{path}_{frames}"


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
    if os.path.isdir(path):
        path = os.path.join(path, "model.keras")
    if not os.path.isfile(path):
        known = ", ".join(sorted(preset_index()))
        raise UserError(
            f"{path}: no such model file; give the .keras file of a run, or a preset "
            f"({known})"
        )
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
