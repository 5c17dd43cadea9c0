"""`h2s export`: a trained model as a SavedModel for TensorFlow Serving."""

import json
import os

from h2s_keras.cli.class_names import read_class_names
from h2s_keras.cli.quiet import import_keras
from h2s_keras.model_files import check_model

HELP = "export a trained model for TensorFlow Serving"
EXAMPLE = "h2s export --model h2s_runs/mine --out models/h2s"


def add_arguments(parser):
    parser.add_argument(
        "--model", required=True, help="a .keras file, or the folder of a training run"
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder of the versions; its last part is the model's name in the server",
    )
    parser.add_argument(
        "--version",
        type=int,
        metavar="N",
        help="number of the version (default: the next free one)",
    )
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help="class names, one a line, for a model that does not know them",
    )
    parser.add_argument(
        "--top_k", type=int, default=5, metavar="K", help="classes a clip (default 5)"
    )
    parser.add_argument(
        "--batch_sizes",
        type=int,
        nargs="+",
        default=[1, 2, 5],
        metavar="N",
        help="sizes the server rounds batches up to (default 1 2 5)",
    )
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")


def run(arguments):
    classes = read_class_names(arguments.classes) if arguments.classes else None
    check_model(arguments.model)
    import_keras()
    from h2s_keras.export.saved_model import export_saved_model
    from h2s_keras.export.serving_files import DESCRIPTION_FILE
    from h2s_keras.models.presets import load_model

    folder = export_saved_model(
        load_model(arguments.model),
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
