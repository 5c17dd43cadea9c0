"""`python -m benchmarks NAME`: how fast the pieces are, as ratios against peers."""

import argparse
import contextlib
import json
import logging
import os
import shlex
import signal
import sys

# Loaded first it puts off importing Keras.
import h2s_keras_command  # noqa: F401
from benchmarks import STUDIES, SUITES, WITHOUT_KERAS, suite
from h2s_keras.errors import UserError
from h2s_keras.process import usable_cores

USAGE, INTERRUPTED = 2, 130
_PROGRAM = "python -m benchmarks"
_INSTALL = "pip install -r benchmarks/requirements.txt installs the peers"


def main(argv=None):
    """Runs what the command line names; the exit code, 2 after a user's mistake."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    name, *words = (sys.argv[1:] if argv is None else argv) or ["list"]
    try:
        if name in ("list", "-h", "--help"):
            _list()
            return 0
        if name in STUDIES or name.endswith(".py"):
            from benchmarks.studies.command import run

            return run(name, words)
        if name not in SUITES:
            raise UserError(
                f"give a suite, one of {', '.join([*SUITES, *STUDIES])}; received {name!r}"
            )
        return _run_suite(name, words)
    except KeyboardInterrupt:
        print("benchmarks: stopped", file=sys.stderr)
        return INTERRUPTED
    except (UserError, OSError) as error:
        print(f"benchmarks: {' '.join(str(error).split())}", file=sys.stderr)
        return USAGE


def _list():
    print(f"{_PROGRAM} NAME [options]; {_PROGRAM} NAME --help names them\n")
    for name, about in {**SUITES, **STUDIES}.items():
        print(f"{name:21} {about}")


def _run_suite(name, words):
    common = _common_options()
    # Cores are limited before any library starts its threads.
    options, _ = common.parse_known_args([word for word in words if word != "--help"])
    _check(options)
    from benchmarks import machine

    cores = options.cores or usable_cores()
    machine.limit_cores(cores)
    facts = machine.describe_machine()
    if name not in WITHOUT_KERAS:
        from h2s_keras.cli.quiet import import_keras

        import_keras()
        import keras

        facts["backend"] = keras.backend.backend()
        # Every measured function is traced anew, which TensorFlow warns of.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        module = suite(name)
    except ModuleNotFoundError as error:
        if error.name.startswith(("benchmarks", "h2s_keras")):
            raise
        raise UserError(f"{name} needs {error.name}, not installed here") from error
    parser = argparse.ArgumentParser(
        prog=f"{_PROGRAM} {name}",
        description=SUITES[name],
        parents=[common],
        allow_abbrev=False,
    )
    if hasattr(module, "add_arguments"):
        module.add_arguments(parser)
    options = parser.parse_args(words)
    result = _measure(name, module, options, cores, facts)
    result["command"] = shlex.join([*_PROGRAM.split(), name, *words])
    _print(result)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(json.dumps(result, indent=2) + "\n")
    if result["stopped"]:
        raise KeyboardInterrupt
    return 0


def _common_options():
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument(
        "--rounds", type=int, default=12, metavar="N", help="runs of each (default 12)"
    )
    common.add_argument(
        "--cores",
        type=int,
        metavar="N",
        help="cores that we and every peer may use (default: all of this process)",
    )
    common.add_argument(
        "--smoke",
        action="store_true",
        help="tiny inputs, to try a suite in seconds; the figures mean nothing",
    )
    common.add_argument("--json", metavar="FILE", help="write the result to a new file")
    return common


def _check(options):
    if options.rounds < 2:
        raise UserError(f"--rounds takes a number from 2; received {options.rounds}")
    cores = usable_cores()
    if options.cores is not None and not 1 <= options.cores <= cores:
        raise UserError(f"--cores takes 1 to {cores} here; received {options.cores}")
    if options.json:
        folder = os.path.dirname(os.path.abspath(options.json))
        if os.path.exists(options.json):
            raise UserError(f"{options.json}: exists already; give another --json")
        if not os.path.isdir(folder):
            raise UserError(f"{folder}: no such folder; make it or give another --json")


def _measure(name, module, options, cores, facts):
    from benchmarks.harness import Figures, Settings
    from benchmarks.machine import today, versions

    settings = Settings(options.rounds, cores, options.smoke, options)
    print(f"measuring {name}: {SUITES[name]}", file=sys.stderr, flush=True)
    figures = Figures()
    try:
        with _stopping(figures):
            module.run(settings, figures)
    except KeyboardInterrupt:
        # A suite takes minutes; what is finished is kept.
        figures.stopped = True
    facts["load_average_after"] = round(os.getloadavg()[0], 2)
    return {
        "suite": name,
        "about": SUITES[name],
        "command": "",
        "date": today(),
        "machine": facts,
        "versions": versions(),
        "rounds": options.rounds,
        "smoke": options.smoke,
        "stopped": figures.stopped,
        **figures.as_dict(),
    }


@contextlib.contextmanager
def _stopping(figures):
    """Notes Ctrl-C in `figures` beside raising it, unless it is ignored in this process."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return

    def stop(number, frame):
        figures.stopped = True
        before(number, frame)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _print(result):
    from h2s_keras.evaluation.statistics import table_lines

    header = ["case", "what", "median", "quartiles", "aim", ""]
    rows = []
    for row in result["ratios"]:
        low, high = row["quartiles"]
        reached = {True: "reached", False: "missed"}.get(row.get("reached"), "")
        if result["smoke"]:
            reached = ""
        rows.append(
            (
                row["case"],
                row["what"],
                f"{row['median']:.4g}",
                f"{low:.4g} - {high:.4g}",
                row.get("aim", ""),
                reached,
            )
        )
    if rows:
        print("\n".join(table_lines(header, rows)))
    for row in result["values"]:
        print(f"{row['name']}: {row['value']}")
    for one in result["tables"]:
        print(one["name"], *table_lines(one["header"], one["rows"]), sep="\n")
    for peer, reason in result["missing_peers"].items():
        print(f"missing peer {peer}: {reason}")
    if result["missing_peers"]:
        print(_INSTALL)
    machine = result["machine"]
    print(
        f"{result['rounds']} rounds on {machine['cores']} cores of {machine['processor']}, "
        f"load {machine['load_average_before']} to {machine['load_average_after']}"
    )
    if result["stopped"]:
        print("stopped before its end: what was finished by then")
    if result["smoke"]:
        print("a smoke run: these figures mean nothing")


if __name__ == "__main__":
    sys.exit(main())
