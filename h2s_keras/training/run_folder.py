import contextlib
import csv
import json
import os
import platform
import shlex
import sys
import tempfile

from h2s_keras.errors import FileError, UserError
from h2s_keras.files import (
    alone_in,
    is_unfinished,
    missing_folders,
    removed_if_unused,
    whole_file,
)
from h2s_keras.version import __version__


def run_data(path):
    """The "data" values of the run that a model belongs to; {} where there is none.

    Args:
        path: folder of the run, or the .keras file in it.

    Raises:
        FileError: the run's configuration is damaged.
    """
    path = os.fspath(path)
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    file = os.path.join(folder, "config.json")
    # The name of a preset is not a path.
    if not os.path.exists(path) or not os.path.isfile(file):
        return {}
    try:
        with open(file, encoding="utf-8") as stream:
            return dict(json.load(stream)["config"]["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(
            file, f"cannot be read ({error!r}); move the model out of this folder"
        ) from None


class RunFolder:
    """The folder of one training run: configuration, states, log, model, results.

    Args:
        path: path of the folder; made if it is missing.
        resume: go on in a folder that holds a run; otherwise it must be new or empty.

    Raises:
        UserError: if the folder cannot be written, holds something already, or holds
            nothing to resume.
    """

    def __init__(self, path, resume=False):
        self.path = os.path.abspath(path)
        self._made = missing_folders(self.path)
        if os.path.exists(self.path) and not os.path.isdir(self.path):
            raise UserError(f"{path}: is a file; give a folder for --out")
        # Other processes of the same run may have begun to write to folders of their own.
        # An incomplete file of a start that failed is not a run.
        held = os.path.isdir(self.path) and [
            name
            for name in os.listdir(self.path)
            if not name.startswith("process-") and not is_unfinished(name)
        ]
        if resume and not os.path.exists(self.file("config.json")):
            raise UserError(
                f"{path}: no run to resume here (no config.json); leave --resume out"
            )
        if held and not resume:
            raise UserError(
                f"{path}: holds files already; give another --out, or --resume to go on "
                "with the run in it"
            )
        try:
            os.makedirs(self.path, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); give another --out"
            ) from error

    @contextlib.contextmanager
    def alone(self):
        """Keeps other processes from training here, until it ends or this process does.

        A run that is refused before it has written anything leaves no folder.

        Raises:
            UserError: another process trains here.
        """
        with removed_if_unused(self._made), contextlib.ExitStack() as stack:
            try:
                stack.enter_context(alone_in(self.path))
            except FileError:
                raise UserError(
                    f"{self.path}: another process trains here; wait for its end or stop "
                    "it, or give another --out"
                ) from None
            yield

    def file(self, name):
        return os.path.join(self.path, name)

    def write_config(self, config, devices=None):
        """Configuration, versions, devices and the command that repeats the run."""
        import keras

        from h2s_keras.training.devices import find_devices, library_versions

        record = {
            "config": config,
            "command": shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
            "versions": {
                "h2s_keras": __version__,
                "backend": keras.backend.backend(),
                **library_versions(),
                "python": platform.python_version(),
            },
            "devices": find_devices() if devices is None else devices,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }
        self.write_json("config.json", record)

    def read_config(self):
        try:
            with open(self.file("config.json")) as file:
                return json.load(file)["config"]
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{self.file('config.json')}: is damaged ({error}); start anew in another "
                "--out folder"
            ) from error

    def curves(self):
        """dict of stage to dict of term to its points (step, value) in log.csv."""
        curves = {}
        with open(self.file("log.csv"), newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                terms = curves.setdefault(row["stage"], {})
                point = int(row["step"]), float(row["value"])
                terms.setdefault(row["term"], []).append(point)
        return curves

    def write_json(self, name, value):
        """Writes a JSON file atomically."""
        target = self.file(name)
        try:
            with whole_file(target) as temporary, open(temporary, "w") as file:
                json.dump(value, file, indent=2, default=os.fspath)
        except TypeError as error:
            raise UserError(
                f"{target}: cannot be written ({error}); a recipe holds numbers, "
                "texts, lists and dicts of them alone"
            ) from error

    def read_json(self, name):
        """Value of a JSON file, or None where there is none."""
        if not os.path.exists(self.file(name)):
            return None
        with open(self.file(name)) as file:
            return json.load(file)

    def save_model(self, model):
        """Saves `model.keras` atomically and returns its path."""
        target = self.file("model.keras")
        with whole_file(target, ".keras") as temporary:
            model.save(temporary)
        return target
