"""Turns a finished run into a preset of the package, and keeps how it came to be.

    python -m benchmarks.tools.make_preset runs/tiny_synthetic tiny_synthetic \\
        --command "h2s train tiny_synthetic --out runs/tiny_synthetic"

Writes the weights (float16) and their line of the index into h2s_keras/models/weights, and
the run's log, configuration and figures into docs/presets/NAME. The network is kept in
float32 policy, whatever it was trained in; the index has the figures of what is written,
measured anew on the held-out clips of the run.
"""

import argparse
import json
import os
import shutil
import time

import keras

from h2s_keras.data.training_data import make_data
from h2s_keras.models.presets import load_model, read_preset, with_weights, write_preset
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
