"""What a name given as a model means: a preset, a file or a run folder. Without Keras."""

import json
import os
import shlex

from h2s_keras.errors import UserError
from h2s_keras.files import is_remote

# What `save_to_preset` and `keras.Model.save(folder, zipped=False)` leave in a folder.
WEIGHTS = "model.weights.h5"
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
    """What Keras loads for a path: a .keras file, a preset's folder, or a remote path.

    Args:
        path: that itself, or the folder of a run.

    Raises:
        UserError: there is none.
    """
    path = os.fspath(path)
    if is_remote(path) or os.path.isfile(os.path.join(path, WEIGHTS)):
        return path
    if os.path.isdir(path):
        check_finished(path)
        path = os.path.join(path, "model.keras")
    if not os.path.isfile(path):
        known = ", ".join(sorted(preset_index()))
        raise UserError(
            f"{path}: no such model file; give the .keras file of a run, or a preset "
            f"({known})"
        )
    return path


def weights_file(path):
    """The file on disk whose bytes tell a model from others; None of remote ones.

    Args:
        path: as for `model_file`.
    """
    path = model_file(path)
    if is_remote(path):
        return None
    return os.path.join(path, WEIGHTS) if os.path.isdir(path) else path


def check_finished(folder):
    """Raises a UserError for the folder of an unfinished run, or of several runs.

    Args:
        folder: any folder; one without a run passes.
    """
    folder = os.fspath(folder)
    try:
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            record = json.load(file)
        config, command = record["config"], shlex.split(record["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if os.path.exists(os.path.join(folder, "model.keras")):
        return
    parts = sorted(
        entry.name
        for entry in os.scandir(folder)
        if os.path.exists(os.path.join(entry.path, "model.keras"))
    )
    if parts and os.path.exists(os.path.join(folder, "results.json")):
        raise UserError(
            f"{folder}: holds several runs; give the folder of one of them, such as "
            f"{os.path.join(folder, parts[0])}"
        )
    again = "quickstart" if command[1:2] == ["quickstart"] else "train"
    name = config["name"] if isinstance(config, dict) and "name" in config else "a run"
    raise UserError(
        f"{folder}: the run {name!r} is unfinished and has no model yet; resume it with: "
        f"{shlex.join(['h2s', again, '--resume', '--out', folder])}"
    )


def check_model(path):
    """Raises at once where a name is neither a preset nor on disk; the rest needs Keras.

    Raises:
        UserError: as `model_file`.
    """
    if preset_name(path) is not None or is_remote(path):
        return
    if os.path.isdir(path):
        check_finished(path)
    else:
        model_file(path)
