"""`python -m benchmarks ablation`: trains the variants of an ablation."""

import argparse
import os
import shlex
import sys

from benchmarks import STUDIES, study
from h2s_keras.errors import UserError


def run(name, words):
    """Trains an ablation by name, or of a file, and prints its table."""
    options = _parse(name, words)
    if options.resume and (options.set or options.smoke):
        raise UserError("--resume goes on with the run's own values; leave others out")
    from h2s_keras.cli.quiet import import_keras

    import_keras()
    from benchmarks.variants import train_variants
    from h2s_keras.cli.progress import Progress
    from h2s_keras.cli.train import load_recipe

    get_config = load_recipe(name) if name.endswith(".py") else study(name).get_config
    config = None if options.resume else values(get_config, options)
    if options.resume:
        _check_same(get_config()["name"], options.out)
    try:
        done = train_variants(config, options.out, options.resume, Progress())
    except KeyboardInterrupt:
        if os.path.exists(os.path.join(options.out, "config.json")):
            command = ["python", "-m", "benchmarks", name, "--resume", "--out", options.out]
            print(f"go on from what was saved last with: {shlex.join(command)}")
        raise
    with open(done["run"].file("table.md"), encoding="utf-8") as file:
        print(file.read())
    return 0


def values(get_config, options):
    """The ablation's values with those of --smoke and --set; raises a UserError."""
    from benchmarks.variant_settings import apply_to_variants
    from benchmarks.variants import complete_ablation
    from h2s_keras.cli.train import smoke_data
    from h2s_keras.options import DataOptions

    config = complete_ablation(get_config(smoke=options.smoke))
    if options.smoke:
        small, full = (DataOptions.of(one["data"]) for one in (config, get_config()))
        config["data"] = smoke_data(small, full, options.set).to_dict()
    for assignment in options.set:
        for variant in apply_to_variants(config, assignment):
            key = assignment.partition("=")[0]
            print(f"{variant!r} keeps its own {key}", file=sys.stderr)
    return config


def _parse(name, words):
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=STUDIES.get(name, "an ablation of your own"),
        allow_abbrev=False,
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder of the run")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the recipe and of its variants; may be repeated",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out where it was cut"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="a few steps of small clips, one seed"
    )
    return parser.parse_args(words)


def _check_same(name, out):
    from h2s_keras.training.run_folder import RunFolder

    held = RunFolder(out, resume=True).read_config()["name"]
    if held != name:
        raise UserError(f"{out}: holds a run of {held!r}, not of {name!r}")
