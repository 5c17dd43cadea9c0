"""`h2s train`: runs a recipe."""

import argparse
import ast
import dataclasses
import importlib
import json
import os
import pkgutil
import runpy
import shlex
import sys
import time

from h2s_keras.cli.quiet import import_keras
from h2s_keras.errors import UserError
from h2s_keras.option_types import apply_setting
from h2s_keras.options import run_options

HELP = "train by a recipe of this package or a recipe file of your own"
EXAMPLE = "h2s train videos --set data.root=my_videos --out runs/mine"

# Values that name videos of the user's own.
_OWN_DATA = ("data.root", "data.csv", "data.train_list", "data.annotations")


def add_arguments(parser):
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help="name of a recipe, or the path of a recipe file; 'list' lists them",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the recipe, e.g. batch_size=8, data.root=videos, "
        "stages.motion.steps=500; may be repeated",
    )
    parser.add_argument("--out", metavar="DIR", help="new folder for the run")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out where it was cut"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="a few steps of small clips, to try the recipe: on synthetic clips, or on "
        "your data where --set names them",
    )
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="train on N processes together (KERAS_BACKEND=jax): the same command on each, "
        "with its own --process",
    )
    parser.add_argument(
        "--process", type=int, default=0, help="number of this process, from 0"
    )
    parser.add_argument(
        "--coordinator",
        metavar="ADDRESS:PORT",
        help="address of process 0",
    )
    parser.add_argument(
        "--data_service",
        metavar="ADDRESS",
        help="grpc://host:port of a tf.data service that prepares batches of records",
    )
    parser.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        help="scale the steps of all stages so that the run takes about so many minutes on "
        "two cores (recipes that say how long they take, such as videos: 30)",
    )
    parser.add_argument(
        "--show",
        action="store_true",
        help="print every option with its value, type and help, and do not train",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    # Other commands have it, so people try it here.
    parser.add_argument("--data", help=argparse.SUPPRESS)


def run(arguments):
    if arguments.recipe == "list":
        for name, purpose in recipe_list():
            print(f"{name:24} {purpose}")
        return 0
    if arguments.data is not None:
        raise UserError(
            f"--data: the data of a training are values of its recipe; give --set "
            f"data.root={shlex.quote(arguments.data)}"
        )
    if arguments.resume:
        check_resume(arguments.out, arguments.set, arguments.smoke, arguments.data_service)
        config = None
    else:
        if not arguments.recipe:
            raise UserError("name a recipe; 'h2s train list' lists them")
        get_config = load_recipe(arguments.recipe)
        config = run_options(get_config(smoke=arguments.smoke))
        if arguments.smoke:
            full = run_options(get_config()).data
            config.data = smoke_data(config.data, full, arguments.set)
        for assignment in arguments.set:
            apply_setting(config, assignment)
        if arguments.data_service:
            config.data.service = arguments.data_service
        config = run_options(config)
        if arguments.budget is not None:
            config.scale_steps(arguments.budget)
    if arguments.show:
        from h2s_keras.cli.option_table import show
        from h2s_keras.training.run_folder import RunFolder

        if config is None:
            config = run_options(RunFolder(arguments.out, resume=True).read_config())
        print(show(config))
        return 0
    out = arguments.out or default_folder(config.name)
    together = None
    if arguments.processes is not None:
        if not arguments.out:
            raise UserError(
                "--processes needs --out, so that every process writes to the same run"
            )
        if arguments.processes < 1:
            raise UserError(
                f"--processes takes a number from 1; received {arguments.processes}"
            )
        together = (arguments.processes, arguments.process, arguments.coordinator)
    elif arguments.process or arguments.coordinator:
        raise UserError(
            "--process and --coordinator go with --processes, the number of all processes"
        )
    recipe = arguments.recipe if arguments.resume else None
    done = run_training(config, out, arguments.resume, together, recipe)
    if arguments.process:
        return 0  # Process 0 prints the results.
    if arguments.json:
        print(json.dumps(done["results"], indent=2))
    else:
        print_results(done["results"])
        print_next(done["results"], done["run"])
    return 0


def check_resume(out, *values):
    """UserError for --resume without --out, or with values of other options."""
    if not out:
        raise UserError("--resume needs --out, the folder of the run to go on with")
    if any(values):
        raise UserError("--resume goes on with the run's own values; leave others out")


def smoke_data(small, full, assignments):
    """The data of a smoke run: `small`, or the user's own where settings name them.

    These are of the recipe's own kind, `full`, in clips as small as those of `small`.
    """
    if not any(key.partition("=")[0].strip() in _OWN_DATA for key in assignments):
        return small
    changes = {"clips_per_video": 1} if full.supports("clips_per_video") else {}
    for name, field in small.fields().items():
        value = getattr(small, name)
        if name != "kind" and full.supports(name) and value != field.default:
            changes[name] = value
    return dataclasses.replace(full, **changes)


def run_training(config, out, resume, together=None, recipe=None, command="train"):
    """`h2s_keras.training.train`, or one per group, with progress on stderr.

    `together` is (processes, number of this one, coordinator), or None; `recipe` one that
    the run to resume must be of, or None; `command` that which goes on with the run.
    """
    import_keras()
    from h2s_keras.cli.progress import Progress
    from h2s_keras.training.groups import trainer
    from h2s_keras.training.run_folder import RunFolder

    processes, named = None, out
    if together is not None:
        from h2s_keras.training.processes import Processes

        processes = Processes(*together)
        out = processes.folder(out)
    values = run_options(RunFolder(out, resume=True).read_config() if resume else config)
    if recipe is not None:
        _check_same_recipe(out, values.name, run_options(load_recipe(recipe)()).name)
    go = trainer(values)
    try:
        return go(config, out, resume, Progress(), processes)
    except KeyboardInterrupt:
        if os.path.exists(os.path.join(out, "config.json")):
            again = resume_command(command, named, together)
            print(
                f"h2s: go on from what was saved last with: {again}",
                file=sys.stderr,
            )
        raise


def resume_command(command, out, together=None):
    """The command line that goes on with a run, of this process where there are several."""
    words = ["h2s", command, "--resume", "--out", out]
    if together is None:
        return shlex.join(words)
    processes, process, coordinator = together
    words += ["--processes", str(processes), "--process", str(process)]
    words += ["--coordinator", coordinator]
    return f"KERAS_BACKEND=jax {shlex.join(words)}"


def print_results(results):
    print(f"{results['name']}: {results['test']}")
    # A mean over groups is not a proportion and has no such interval.
    intervals = results.get("intervals", {})
    for name, value in results["final"].items():
        shown = f"{value:.4f}" if isinstance(value, float) else value
        if name in intervals:
            shown += " (95 % interval {:.4f}-{:.4f})".format(*intervals[name])
        print(f"  {name:32} {shown}")


def print_next(results, run):
    """What the run says about itself, where its report is, and what to run next."""
    for sentence in results.get("advice", ()):
        print(f"- {sentence}")
    if os.path.exists(run.file("report.html")):
        from h2s_keras.training.run_report import next_commands

        print(f"report: {run.file('report.html')}")
        for what, command in next_commands(run.path):
            print(f"  {command:60} # {what}")
    elif "warped_error" in results["final"]:
        command = f"h2s flow new.mp4 --model {shlex.quote(os.path.relpath(run.path))}"
        print(f"  {command} --out flow     # see the flow of a video")
    print(f"run folder: {run.path}")


def default_folder(name):
    return os.path.join("h2s_runs", f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")


def recipe_list():
    """(name, first line of its docstring) of every recipe of the package."""
    from h2s_keras import recipes

    listed = []
    for module in pkgutil.iter_modules(recipes.__path__):
        path = os.path.join(recipes.__path__[0], module.name + ".py")
        with open(path) as file:
            text = ast.get_docstring(ast.parse(file.read()))
        # The recipe `ethogram` has a command of its own.
        if "Command: h2s ethogram" not in text:
            listed.append((module.name, text.splitlines()[0]))
    return listed


def load_recipe(name):
    """`get_config` of a recipe by name or by the path of its file."""
    if name.endswith(".py"):
        if not os.path.isfile(name):
            raise UserError(f"{name}: no such recipe file")
        # Unlike an import, this leaves no __pycache__ beside the user's file.
        names = runpy.run_path(name, run_name="h2s_recipe")
    else:
        if name == "ethogram":
            raise UserError("behaviours frame by frame: use h2s ethogram train")
        known = [recipe for recipe, _ in recipe_list()]
        if name not in known:
            raise UserError(
                f"no recipe {name!r}; there are {', '.join(known)}, or give the path of a "
                "recipe file (.py)"
            )
        names = vars(importlib.import_module(f"h2s_keras.recipes.{name}"))
    if "get_config" not in names:
        raise UserError(f"{name}: is not a recipe: it has no get_config()")
    return names["get_config"]


def _check_same_recipe(out, own, wanted):
    if own != wanted:
        raise UserError(
            f"{out}: holds a run of {own!r}, not of {wanted!r}; leave the recipe out to go "
            "on with it"
        )
