import os
from typing import Any

from h2s_keras.errors import UserError
from h2s_keras.model_files import is_remote


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
