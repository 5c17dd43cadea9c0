"""Suite `startup`: how long the command and the import take, in fresh processes."""

import os
import subprocess
import sys
import time

from h2s_keras.benchmarking.harness import Figures, measure

ABOUT = "`h2s --help`, and `import h2s_keras` beyond `import keras`"

USES_KERAS = False
HELP_AIM, IMPORT_AIM = 0.5, 0.3
SCRIPTS = {
    "python": "pass",
    "import keras": "import keras",
    "import h2s_keras": "import h2s_keras",
    "h2s --help": "import sys, h2s_keras_command as command\n"
    "sys.argv = ['h2s', '--help']\ncommand.main()",
}


def run(settings):
    """Seconds are told too: here they are the promise, and start-up is mostly reading."""
    figures = Figures()
    functions = {name: _process(script) for name, script in SCRIPTS.items()}
    # The first start writes and reads files that later ones find in memory.
    seconds = measure(functions, settings.rounds, warm_up=1)
    case = "a fresh process"
    figures.ratio(case, seconds, "import h2s_keras", "import keras")
    figures.ratio(case, seconds, "h2s --help", "python")
    figures.add(case, "seconds of h2s --help", seconds["h2s --help"], HELP_AIM)
    pairs = zip(seconds["import h2s_keras"], seconds["import keras"], strict=True)
    added = [ours - keras for ours, keras in pairs]
    figures.add(case, "seconds that h2s_keras adds to keras", added, IMPORT_AIM)
    return figures


def _process(script):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run():
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            env=environment,
        )
        return time.perf_counter() - started

    return run
