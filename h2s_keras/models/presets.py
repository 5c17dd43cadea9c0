"""Trained networks by the name of a preset, or from files."""

import os

import keras

from h2s_keras.errors import UserError
from h2s_keras.model_files import model_file, preset_name
from h2s_keras.models.preset_files import read_preset


def load_model(path):
    """Loads a preset, or a .keras file of this library, also by the folder of a run.

    Args:
        path: name of a preset ("quickstart", "tiny_synthetic", ...), a file or a folder.
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


def load_motion_net(path):
    """MotionNet of a preset or from its own file, also out of a whole two-stream model.

    Args:
        path: as for `load_model`.

    Raises:
        UserError: as `load_model`, or the model holds no MotionNet.
    """
    from h2s_keras.models.motion_net import MotionNet, motion_net_of

    model = load_model(path)
    model = motion_net_of(model)
    if not isinstance(model, MotionNet):
        raise UserError(f"{path}: holds a {type(model).__name__}, not a MotionNet")
    return model


def load_flow_network(path):
    """The MotionNet of `load_motion_net` for flow of single pairs of frames.

    One with `coarse_to_fine` takes two frames, whatever clips it was saved for; any other
    keeps its own number.
    """
    motion_net = load_motion_net(path)
    return motion_net.with_num_frames(2) if motion_net.coarse_to_fine else motion_net
