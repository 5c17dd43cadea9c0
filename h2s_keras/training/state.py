"""Everything a stage needs to go on, in one file that is never half written."""

import json
import os
import re

import keras
import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.files import sha256, whole_file

_KEPT = 2
_NAME = re.compile(r"state-(\d+)-(\d+)\.npz")


def _variables(stage_model):
    """Weights, seeds of random layers, metrics and optimiser slots, in a fixed order."""
    return [*stage_model.variables, *stage_model.optimizer.variables]


def save_state(folder, stage_index, step, stage_model, seconds=0.0):
    """Writes `state-STAGE-STEP.npz` atomically and drops all but the newest two.

    A reader sees the old files or the new one, never a part; the checksum in the last
    entry proves that what is read is what was written. `seconds` is how long the stage has
    trained so far, see `saved_seconds`.
    """
    arrays = {
        f"v{index}": keras.ops.convert_to_numpy(variable.value)
        for index, variable in enumerate(_variables(stage_model))
    }
    arrays = {
        # NumPy's file format has no bfloat16; float32 holds it exactly.
        name: value.astype("float32") if value.dtype.kind == "V" else value
        for name, value in arrays.items()
    }
    arrays["seconds"] = np.array(float(seconds))
    arrays["checksum"] = np.array(_checksum(arrays))
    path = state_path(folder, stage_index, step)
    try:
        with whole_file(path, sync=True) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise UserError(
            f"{path}: the training state could not be written ({error.strerror or error}); "
            "what was saved before is whole: free some space or mend the folder, then go "
            "on with --resume"
        ) from error
    for old in find_states(folder)[_KEPT:]:
        os.unlink(old[2])
    return path


def state_path(folder, stage_index, step):
    return os.path.join(folder, f"state-{stage_index:02d}-{step:08d}.npz")


def find_states(folder):
    """(stage, step, path) of the states in `folder`, newest first."""
    states = []
    for name in os.listdir(folder):
        match = _NAME.fullmatch(name)  # And not a copy that somebody made of one.
        if match:
            states.append((*map(int, match.groups()), os.path.join(folder, name)))
    return sorted(states, reverse=True)


def read_state(path):
    """Arrays of a state file.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        checksum = str(arrays.pop("checksum"))
    except Exception as error:
        raise UserError(f"{path}: damaged training state ({error})") from error
    if checksum != _checksum(arrays):
        raise UserError(f"{path}: damaged training state (the checksum differs)")
    arrays.pop("seconds", None)
    return [arrays[f"v{index}"] for index in range(len(arrays))]


def saved_seconds(path):
    """How long a stage had trained at a saved state, which `read_state` could read."""
    with np.load(path, allow_pickle=False) as file:
        return float(file["seconds"]) if "seconds" in file.files else 0.0


def restore_state(stage_model, arrays):
    """Puts the arrays of `read_state` back; the model must be built and compiled.

    Raises:
        UserError: if they belong to another model.
    """
    variables = _variables(stage_model)
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in arrays]:
        raise UserError(
            "The saved training state belongs to another model or configuration; start "
            "anew in another --out folder."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _checksum(arrays):
    def parts():
        for name in sorted(arrays, key=lambda name: (len(name), name)):
            array = np.ascontiguousarray(arrays[name])
            yield json.dumps([name, str(array.dtype), array.shape]).encode()
            yield array.data if array.size else b""

    return sha256(parts())
