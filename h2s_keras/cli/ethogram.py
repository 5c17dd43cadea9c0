"""`h2s ethogram`: labels of behaviours frame by frame, one command per module."""

import argparse
import importlib

HELP = "score behaviours frame by frame: train, predict, evaluate, convert labels, refine"
EXAMPLE = "h2s ethogram train videos.csv --out runs/mice"

# In the order of the help; each a module `ethogram_NAME` of this folder.
ACTIONS = ("train", "predict", "evaluate", "convert", "refine")


def add_arguments(parser):
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name in ACTIONS:
        module = importlib.import_module(f"h2s_keras.cli.ethogram_{name}")
        action = actions.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f"Example: {module.EXAMPLE}",
        )
        # Behind the action as well as before it, without undoing the one before.
        action.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,
            help="show the traceback of an error",
        )
        module.add_arguments(action)
        action.set_defaults(run_action=module.run)


def run(arguments):
    return arguments.run_action(arguments)
