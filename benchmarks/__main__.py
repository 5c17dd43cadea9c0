"""`h2s benchmark`: how fast the pieces are, as ratios against peers on this machine."""

import contextlib
import json
import logging
import os
import signal
import sys

from h2s_keras.benchmarking import SUITES, suite
from h2s_keras.cores import usable_cores
from h2s_keras.errors import UserError

HELP = "measure speed against peers: ratios, interleaved, with their spread"
EXAMPLE = "h2s benchmark warp --json warp.json"

_INSTALL = "pip install 'h2s_keras[benchmark]' installs the peers"


def add_arguments(parser):
    parser.add_argument(
        "suite", nargs="?", metavar="SUITE", help=f"one of {', '.join(SUITES)}"
    )
    parser.add_argument("--list", action="store_true", help="what each suite measures")
    parser.add_argument(
        "--rounds", type=int, default=12, metavar="N", help="runs of each (default 12)"
    )
    parser.add_argument(
        "--cores",
        type=int,
        metavar="N",
        help="cores that we and every peer may use (default: all of this process)",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="tiny inputs, to try a suite in seconds; the figures mean nothing",
    )
    parser.add_argument("--json", metavar="FILE", help="write the result to a new file")


def run(arguments):
    if arguments.list:
        for name in SUITES:
            print(f"{name:9} {suite(name).ABOUT}")
        return 0
    _check(arguments)
    result = _measure(arguments)
    _print(result)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            file.write(json.dumps(result, indent=2) + "\n")
    if result["stopped"]:
        raise KeyboardInterrupt
    return 0


def _check(arguments):
    if arguments.suite not in SUITES:
        raise UserError(
            f"give a suite, one of {', '.join(SUITES)}; received {arguments.suite!r}"
        )
    if arguments.rounds < 2:
        raise UserError(f"--rounds takes a number from 2; received {arguments.rounds}")

    cores = usable_cores()
    if arguments.cores is not None and not 1 <= arguments.cores <= cores:
        raise UserError(f"--cores takes 1 to {cores} here; received {arguments.cores}")
    if arguments.json:
        folder = os.path.dirname(os.path.abspath(arguments.json))
        if os.path.exists(arguments.json):
            raise UserError(f"{arguments.json}: exists already; give another --json")
        if not os.path.isdir(folder):
            raise UserError(f"{folder}: no such folder; make it or give another --json")


def _measure(arguments):
    from h2s_keras.benchmarking.harness import Figures, Settings
    from h2s_keras.benchmarking.machine import (
        describe_machine,
        limit_cores,
        today,
        versions,
    )
    from h2s_keras.cli.quiet import import_keras

    cores = arguments.cores or usable_cores()
    limit_cores(cores)
    machine = describe_machine()
    module = suite(arguments.suite)
    if getattr(module, "USES_KERAS", True):
        import_keras()
        import keras

        machine["backend"] = keras.backend.backend()
        # Every measured function is traced anew, which TensorFlow warns of.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    settings = Settings(arguments.rounds, cores, arguments.smoke)
    print(f"measuring {arguments.suite}: {module.ABOUT}", file=sys.stderr, flush=True)
    figures = Figures()
    try:
        with _stopping(figures):
            module.run(settings, figures)
    except KeyboardInterrupt:
        # A suite takes minutes; what is finished is kept.
        figures.stopped = True
    machine["load_average_after"] = round(os.getloadavg()[0], 2)
    options = f" --rounds {arguments.rounds} --cores {cores}"
    return {
        "suite": arguments.suite,
        "about": module.ABOUT,
        "command": f"h2s benchmark {arguments.suite}{options}"
        + (" --smoke" if arguments.smoke else ""),
        "date": today(),
        "machine": machine,
        "versions": versions(),
        "rounds": arguments.rounds,
        "smoke": arguments.smoke,
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
    from h2s_keras.evaluation.text_table import table_lines

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
