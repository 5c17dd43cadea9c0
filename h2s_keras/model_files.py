"""What a name given as a model means: a preset, a file or a run folder. Without Keras."""

import json
import os

from h2s_keras.errors import UserError

PRESETS = os.path.join(os.path.dirname(__file__), "models", "weights")
INDEX = "index.json"


def preset_index(folder=PRESETS):
    """What is known of every preset.

    Returns:
        dict name -> dict "file", "sha256", "kind" (class of the network), "num_frames",
        "parameters", "trained" (the command), "date" and "figures".
    """
    with open(os.path.join(folder, INDEX), encoding="utf-8") as file:
        return json.load(file)


def preset_name(path):
    """The preset that a name given as a path means, or None where it is a path.

    Args:
        path: what a user gave as a model. What lies on disk under that name goes first.
    """
    path = os.fspath(path)
    return path if not os.path.exists(path) and path in preset_index() else None


def model_file(path):
    """The .keras file that a path means: itself, or that of a run folder.

    Raises:
        UserError: there is none.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        path = os.path.join(path, "model.keras")
    if not os.path.isfile(path):
        known = ", ".join(sorted(preset_index()))
        raise UserError(
            f"{path}: no such model file; give the .keras file of a run, or a preset "
            f"({known})"
        )
    return path


def check_model(path):
    """Raises at once where a name is neither a preset nor on disk; the rest needs Keras.

    Raises:
        UserError: as `model_file`.
    """
    if preset_name(path) is None and not os.path.isdir(path):
        model_file(path)
