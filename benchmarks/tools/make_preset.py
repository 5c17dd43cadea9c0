"""Turns a finished run into a preset of the package, and keeps how it came to be.

    python -m benchmarks.tools.make_preset runs/tiny_synthetic tiny_synthetic \\
        --command "h2s train tiny_synthetic --out runs/tiny_synthetic"

Writes the weights (float16) and their line of the index into h2s_keras/models/weights, and
the run's log, configuration and figures into docs/presets/NAME. The network is kept in
float32 policy, whatever it was trained in; the index has the figures of what is written,
measured anew on the held-out clips of the run.
"""

import argparse
import io
import json
import os
import shutil
import time
import zipfile

import keras
import numpy as np

from h2s_keras.data.training_data import make_data
from h2s_keras.files import sha256
from h2s_keras.model_files import INDEX, PRESETS, preset_index
from h2s_keras.models.motion_net_of import motion_net_of
from h2s_keras.models.presets import load_model, read_preset, with_weights
from h2s_keras.training.run_figures import measure


def in_float32(model):
    """The same network with the same weights under the policy float32."""
    keras.config.set_dtype_policy("float32")
    config = json.loads(
        json.dumps(keras.saving.serialize_keras_object(model))
        .replace('"mixed_bfloat16"', '"float32"')
        .replace('"mixed_float16"', '"float32"')
    )
    return with_weights(keras.saving.deserialize_keras_object(config), model.get_weights())


def write_preset(model, name, about, folder=PRESETS):
    """Writes a network as a preset: weights in float16, and its line of the index.

    Args:
        model: MotionNet or HiddenTwoStream.
        name: of the preset.
        about: dict of plain values to keep in the index beside what follows from the model.
        folder: of the files.
    """
    config = keras.saving.serialize_keras_object(model)
    parts = {"config": np.frombuffer(json.dumps(config).encode(), np.uint8)}
    for number, weight in enumerate(model.get_weights()):
        if np.abs(weight).max(initial=0.0) > np.finfo("float16").max:
            raise ValueError(f"weight {number} of {name} does not fit into float16")
        parts[f"weight_{number:03}"] = weight.astype("float16")
    path = os.path.join(folder, f"{name}.npz")
    # Not np.savez: it would stamp the time, and the same weights should be the same bytes.
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in parts.items():
            memory = io.BytesIO()
            np.lib.format.write_array(memory, array, allow_pickle=False)
            entry = zipfile.ZipInfo(key + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, memory.getvalue())
    with open(path, "wb") as file:
        file.write(whole.getvalue())
    index_path = os.path.join(folder, INDEX)
    index = preset_index(folder) if os.path.exists(index_path) else {}
    index[name] = {
        "file": os.path.basename(path),
        "sha256": sha256([whole.getvalue()]),
        "kind": type(model).__name__,
        "num_frames": motion_net_of(model).num_frames,
        "parameters": int(model.count_params()),
        **about,
    }
    with open(index_path, "w", encoding="utf-8") as file:
        json.dump(dict(sorted(index.items())), file, indent=1)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("run", help="folder of the run")
    parser.add_argument("name", help="of the preset")
    parser.add_argument("--command", required=True, help="that trained it")
    options = parser.parse_args()
    with open(os.path.join(options.run, "results.json"), encoding="utf-8") as file:
        results = json.load(file)
    with open(os.path.join(options.run, "config.json"), encoding="utf-8") as file:
        config = {**json.load(file), "command": options.command}
    about = {
        "trained": options.command,
        "seed": config["config"]["seed"],
        "date": time.strftime("%Y-%m-%d"),
        "test": results["test"],
    }
    network = in_float32(load_model(options.run))
    write_preset(network, options.name, about)
    figures = measure(read_preset(options.name), make_data(config["config"]["data"]))
    about["figures"] = {name: round(value, 4) for name, value in figures.items()}
    write_preset(network, options.name, about)
    folder = os.path.join("docs", "presets", options.name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
        file.write("\n")
    for name in ("log.csv", "results.json"):
        shutil.copy(os.path.join(options.run, name), os.path.join(folder, name))


if __name__ == "__main__":
    main()
