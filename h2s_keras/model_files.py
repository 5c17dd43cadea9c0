"""What a name given as a model means: a preset, a file or a run folder. Without Keras."""

import json
import os
import shlex

from h2s_keras.errors import UserError

PRESETS = os.path.join(os.path.dirname(__file__), "models", "weights")
INDEX = "index.json"
# A family has a network for each number of frames.
FAMILIES = ("tiny_synthetic",)


def preset_index(folder=PRESETS):
    """What is known of every preset.

    Returns:
        dict name -> dict "file", "sha256", "kind" (class of the network), "num_frames",
        "parameters", "trained" (the command), "date" and "figures".
    """
    with open(os.path.join(folder, INDEX), encoding="utf-8") as file:
        return json.load(file)


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


def model_file(path):
    """The .keras file that a path means: itself, or that of a run folder.

    Raises:
        UserError: there is none.
    """
    path = os.fspath(path)
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


def check_model(path, num_frames=None):
    """Tells at once that a name is neither a preset nor on disk; the rest needs Keras.

    Args, raises: as `preset_name` and `model_file`.
    """
    if preset_name(path, num_frames) is not None:
        return
    if os.path.isdir(path):
        check_finished(path)
    else:
        model_file(path)
