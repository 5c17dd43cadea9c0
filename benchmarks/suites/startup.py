"""Suite `startup`: how long the command and the import take, in fresh processes."""

import os
import subprocess
import sys
import time

from benchmarks.harness import measure

HELP_AIM, IMPORT_AIM = 0.5, 0.3
HELP, MISTAKE = "h2s --help", "h2s predict with a model that is not there"
COMMAND = "import sys, h2s_keras_command as c; sys.argv[0] = 'h2s'; c.main()"
# What Python runs, and the code that it ends with.
PROCESSES = {
    "python": (["pass"], 0),
    "import keras": (["import keras"], 0),
    "import h2s_keras": (["import h2s_keras"], 0),
    HELP: ([COMMAND, "--help"], 0),
    MISTAKE: ([COMMAND, "predict", "none.mp4", "--model", "none.keras"], 2),
}


def run(settings, figures):
    """Seconds are told too: here they are the promise, and start-up is mostly reading."""
    functions = {name: _process(*process) for name, process in PROCESSES.items()}
    # The first start writes and reads files that later ones find in memory.
    seconds = measure(functions, settings.rounds, warm_up=1)
    case = "a fresh process"
    figures.ratio(case, seconds, "import h2s_keras", "import keras")
    figures.ratio(case, seconds, HELP, "python")
    for name in (HELP, MISTAKE):
        figures.add(case, f"seconds of {name}", seconds[name], HELP_AIM)
    pairs = zip(seconds["import h2s_keras"], seconds["import keras"], strict=True)
    added = [ours - keras for ours, keras in pairs]
    figures.add(case, "seconds that h2s_keras adds to keras", added, IMPORT_AIM)


def _process(arguments, code):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run():
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", *arguments], capture_output=True, env=environment
        )
        seconds = time.perf_counter() - started
        if done.returncode != code:
            raise RuntimeError(done.stderr.decode(errors="replace"))
        return seconds

    return run
