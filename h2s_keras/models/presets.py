"""Trained networks from files."""

import os

import keras

from h2s_keras.errors import UserError


def load_model(path):
    """Loads a .keras file of this library, also by the folder of a training run.

    Raises:
        UserError: if it is missing, damaged or something else.
    """
    import h2s_keras

    h2s_keras.register()
    path = os.fspath(path)
    if os.path.isdir(path):
        path = os.path.join(path, "model.keras")
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such model file; give the .keras file of a run")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be loaded as a Keras model ({reason})") from error


def load_motion_net(path):
    """MotionNet from its own file or out of a whole two-stream model."""
    from h2s_keras.models.motion_net import MotionNet

    model = load_model(path)
    model = getattr(model, "motion", model)
    if not isinstance(model, MotionNet):
        raise UserError(f"{path}: holds a {type(model).__name__}, not a MotionNet")
    return model
