"""The small files around a SavedModel: h2s.json, batching, models and README."""

import json
import os
import re
import warnings

from h2s_keras.errors import FileError, ServerFilesWarning
from h2s_keras.export.serving_readme import readme
from h2s_keras.files import sha256_of, write_file
from h2s_keras.version import __version__

DESCRIPTION_FILE = os.path.join("assets.extra", "h2s.json")


def file_digests(folder):
    """sha256 of the graph and of the weights: dict of name in `folder` -> hex digits."""
    names = ["saved_model.pb"]
    weights = os.path.join(folder, "variables")
    if os.path.isdir(weights):
        names += [os.path.join("variables", name) for name in sorted(os.listdir(weights))]
    return {name: sha256_of(os.path.join(folder, name)) for name in names}


def write_description(folder, facts, signatures):
    """Writes assets.extra/h2s.json: what the model is, for people and programs.

    Args:
        folder: of the version, with its SavedModel.
        facts: dict of plain values: name, classes, num_frames, image_size and so on.
        signatures: dict of name -> concrete function.

    Returns:
        The dict that was written.
    """
    import keras
    import tensorflow as tf

    record = {
        "format": 1,
        **facts,
        "signatures": {
            name: {
                "inputs": {key: _spec(value) for key, value in _inputs(function)},
                "outputs": {
                    key: _spec(value)
                    for key, value in sorted(function.structured_outputs.items())
                },
            }
            for name, function in signatures.items()
        },
        "sha256": file_digests(folder),
        "written_by": {
            "h2s_keras": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }
    with open(os.path.join(folder, DESCRIPTION_FILE), "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2, ensure_ascii=False)
        file.write("\n")
    return record


def _inputs(function):
    return sorted(function.structured_input_signature[1].items()) or [
        (spec.name, spec) for spec in function.structured_input_signature[0]
    ]


def _spec(value):
    return {"dtype": value.dtype.name, "shape": list(value.shape)}


def write_server_files(directory, version_folder):
    """Writes README.md, batching.config and models.config beside the versions.

    README.md always tells of the newest version. The two configurations are left alone
    where they exist, since they are there to be tuned.

    Args:
        directory: of the versions.
        version_folder: with its h2s.json.

    Warns:
        ServerFilesWarning: a configuration that is kept is of other batch sizes or of
            another name than this version.
    """
    with open(os.path.join(version_folder, DESCRIPTION_FILE), encoding="utf-8") as file:
        facts = json.load(file)
    files = {
        "batching.config": batching_config(facts["batch_sizes"]),
        "models.config": models_config(facts["name"]),
        "README.md": readme(facts),
    }
    for name, text in files.items():
        path = os.path.join(directory, name)
        if name == "README.md" or not os.path.exists(path):
            write_file(path, text.encode(), FileError)
            continue
        kept, wanted = _facts_of(_read(path)), _facts_of(text)
        if kept and kept != wanted:
            warnings.warn(
                f"{path}: is kept as it is and says {kept}, this version {wanted}; edit "
                "it, or delete it and export again",
                ServerFilesWarning,
                stacklevel=2,
            )


# What a server and its warm-up must agree on, in either configuration.
_FACTS = re.compile(r'^\s*(allowed_batch_sizes|name|base_path)\s*:\s*"?([^"\s#]+)', re.M)


def _facts_of(text):
    return " ".join(f"{name}: {value}" for name, value in _FACTS.findall(text))


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def batching_config(batch_sizes):
    """BatchingParameters in text form for --batching_parameters_file."""
    lines = [
        f"max_batch_size {{ value: {batch_sizes[-1]} }}",
        "batch_timeout_micros { value: 5000 }  # wait so long for more requests",
        "max_enqueued_batches { value: 100 }",
        "# one thread a core of a CPU server; about 2 for each GPU",
        "num_batch_threads { value: 4 }",
        "# batches are filled up to one of these, which the warm-up has run",
        *(f"allowed_batch_sizes: {size}" for size in batch_sizes),
    ]
    return "\n".join(lines) + "\n"


def models_config(name):
    """ModelServerConfig in text form for --model_config_file."""
    return f"""model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    # the newest two versions are served, so that a client may pin the older one
    model_version_policy {{ latest {{ num_versions: 2 }} }}
  }}
}}
"""
