"""Trained networks from files, or by the name of a preset: an .npz file of the package."""

import io
import json
import os
from typing import Any

import keras
import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.files import is_remote, sha256
from h2s_keras.model_files import (
    PRESETS,
    model_file,
    preset_index,
    preset_name,
)
from h2s_keras.models.motion_net_of import motion_net_of


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


class SavesPreset:
    """For keras.Model: the folders that `from_preset` takes, as KerasHub lays them out."""

    def save_to_preset(self, folder: str | os.PathLike[str]) -> None:
        """Writes the network as a folder that `from_preset` reads.

        The folder holds `config.json`, `metadata.json` and `model.weights.h5`, as of
        KerasHub's presets and of `keras.Model.save(folder, zipped=False)`.

        Args:
            folder: new or empty, or "hf://user/name" for the Hugging Face Hub.

        Raises:
            UserError: the folder holds something.
        """
        folder = os.fspath(folder)
        if not is_remote(folder) and os.path.exists(folder):
            if not os.path.isdir(folder) or os.listdir(folder):
                raise UserError(f"{folder}: exists and is not an empty folder")
        self.save(folder, zipped=False)  # type: ignore[attr-defined]


def as_class(cls: Any, base: Any, model: Any, preset: str | os.PathLike[str]) -> Any:
    """`model`, as the class whose `from_preset` loaded it.

    Args:
        cls: class that was asked for.
        base: class of this package that has the `from_preset`.
        model: what the preset holds.
        preset: its name, for errors.

    Returns:
        `model`, or for a subclass a network of it with the same configuration and weights.

    Raises:
        UserError: the preset holds something else, or the subclass does not take it.
    """
    if isinstance(model, cls):
        return model
    if not isinstance(model, base):
        raise UserError(f"{preset}: holds a {type(model).__name__}, not a {base.__name__}")
    try:
        network = cls.from_config(model.get_config())
        if not network.built:
            network.build(model.get_build_config()["input_shape"])
        network.set_weights(model.get_weights())
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{preset}: cannot be loaded as {cls.__name__} ({error}); its __init__ takes "
            f"the arguments of {base.__name__}, and its weights are the same"
        ) from error
    return network


def read_preset(name: str, folder: str | os.PathLike[str] = PRESETS) -> keras.Model:
    """The network of a preset; offline, and only if its checksum holds.

    Args:
        name: name of a preset.
        folder: folder of the files.

    Returns:
        keras.Model of the dtype policy that it was written with, float32 for all that ship.

    Raises:
        UserError: no such preset, or its file is missing or damaged.

    Example:

    ```python
    read_preset("tiny_synthetic").num_frames      # 2
    ```
    """
    index = preset_index(folder)
    if name not in index:
        known = ", ".join(sorted(index))
        raise UserError(f"there is no preset {name!r}; there are {known}")
    path = os.path.join(folder, index[name]["file"])
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(
            f"{path}: the preset {name!r} cannot be read ({error.strerror}); install the "
            "package again"
        ) from None
    if sha256([data]) != index[name]["sha256"]:
        raise UserError(
            f"{path}: the preset {name!r} is damaged (its SHA-256 is not that of the "
            "index); install the package again"
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        config = json.loads(bytes(arrays["config"]).decode())
        weights = [
            arrays[f"weight_{number:03}"].astype("float32")
            for number in range(len(arrays.files) - 1)
        ]
    model = keras.saving.deserialize_keras_object(config)
    return with_weights(model, weights)


def with_weights(model: keras.Model, weights: list[Any]) -> keras.Model:
    """`model` with these weights; a MotionNet has none before it has seen a shape."""
    if not model.built:
        model.build((None, motion_net_of(model).num_frames, None, None, 3))
    model.set_weights(weights)
    return model
