"""`h2s export`: a trained model for a server, a small device, or a browser."""

import json
import os
import shlex

from h2s_keras.cli.quiet import import_keras
from h2s_keras.errors import UserError
from h2s_keras.export.web_runtime import RUNTIME, check_free, find_runtime
from h2s_keras.model_files import check_model

HELP = (
    "export a trained model for TensorFlow Serving, LiteRT, ONNX, OpenVINO or the browser"
)
EXAMPLE = "h2s export --model h2s_runs/mine --out models/h2s"
# What is exported, and the options that only it has.
FORMATS = {
    "savedmodel": ("version", "classes", "top_k", "batch_sizes"),
    "litert": ("classes",),
    "litert_8bit": ("classes",),
    "onnx": ("classes",),
    "openvino": ("classes",),
    "web": ("classes", "runtime"),
}
_LITERT = {"litert": "float32", "litert_8bit": "dynamic"}


def add_arguments(parser):
    parser.add_argument(
        "--model", required=True, help="a .keras file, or the folder of a training run"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="savedmodel",
        help="savedmodel: for TensorFlow Serving (default); litert, litert_8bit: motion "
        "and temporal stream for small devices; onnx, openvino: all streams; web: a page "
        "that recognises motion in the browser",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="OUT",
        help="savedmodel: folder of the versions, its last part is the model's name in the "
        "server; litert: a .tflite file; onnx: an .onnx file; openvino: an .xml file; "
        "web: a new folder",
    )
    parser.add_argument(
        "--version",
        type=int,
        metavar="N",
        help="savedmodel: number of the version (default: the next free one)",
    )
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help="file of class names, one per line, for a model that does not know them",
    )
    parser.add_argument(
        "--top_k",
        type=int,
        metavar="K",
        help="savedmodel: number of classes to answer per clip (default 5)",
    )
    parser.add_argument(
        "--batch_sizes",
        type=int,
        nargs="+",
        metavar="N",
        help="savedmodel: batch sizes that the server rounds up to (default 1 2 5)",
    )
    parser.add_argument(
        "--runtime",
        metavar="DIR",
        help="web: folder of the npm package onnxruntime-web (default "
        "node_modules/onnxruntime-web, where `npm install onnxruntime-web` puts it)",
    )
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")


def run(arguments):
    from h2s_keras.data.datasets.dataset_list import read_lines

    _check_options(arguments)
    classes = read_lines(arguments.classes) if arguments.classes else None
    check_model(arguments.model)
    if arguments.format == "web":
        check_free(arguments.out)
        find_runtime(arguments.runtime)
    import_keras()
    from h2s_keras.models.presets import load_model

    model = load_model(arguments.model)
    if arguments.format == "savedmodel":
        return _saved_model(arguments, model, classes)
    if arguments.format == "web":
        return _web(arguments, model, classes)
    from h2s_keras import export

    if arguments.format in _LITERT:
        precision = _LITERT[arguments.format]
        size = export.export_lite(model, arguments.out, precision, classes=classes)
    else:
        write = getattr(export, f"export_{arguments.format}")
        size = write(model, arguments.out, classes)
    if arguments.json:
        print(json.dumps({"path": arguments.out, "bytes": size}))
    else:
        print(f"{arguments.out}: {size:,} bytes")
    return 0


def _check_options(arguments):
    """UserError for an option of another format; else the defaults are filled in."""
    for name in sorted({name for names in FORMATS.values() for name in names}):
        if getattr(arguments, name) is None or name in FORMATS[arguments.format]:
            continue
        having = " and ".join(key for key, names in FORMATS.items() if name in names)
        raise UserError(
            f"--{name} goes with --format {having}, not {arguments.format}; leave it out"
        )
    defaults = {"top_k": 5, "batch_sizes": [1, 2, 5], "runtime": RUNTIME}
    for name, value in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)


def _saved_model(arguments, model, classes):
    from h2s_keras.export.saved_model import export_saved_model
    from h2s_keras.export.serving_files import DESCRIPTION_FILE

    folder = export_saved_model(
        model,
        arguments.out,
        classes=classes,
        version=arguments.version,
        top_k=arguments.top_k,
        batch_sizes=arguments.batch_sizes,
    )
    with open(os.path.join(folder, DESCRIPTION_FILE), encoding="utf-8") as file:
        facts = json.load(file)
    if arguments.json:
        print(json.dumps({"path": folder, **facts}))
        return 0
    print(f"{folder}: {', '.join(facts['signatures'])}")
    print(f"{len(facts['classes'])} classes, {facts['parameters']:,} parameters")
    print(f"Commands of server and clients: {os.path.join(arguments.out, 'README.md')}")
    return 0


def _web(arguments, model, classes):
    from h2s_keras.export.web import export_web_page

    facts = export_web_page(model, arguments.out, arguments.runtime, classes)
    if arguments.json:
        print(json.dumps({"path": arguments.out, **facts}))
        return 0
    print(f"{arguments.out}: {len(facts['classes'])} classes, {facts['bytes']:,} bytes")
    print(f"To see it: python -m http.server --directory {shlex.quote(arguments.out)}")
    print("and open http://localhost:8000 in a browser.")
    return 0
