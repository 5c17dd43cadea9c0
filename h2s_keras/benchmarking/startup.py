"""Suite `startup`: how long the command and the import take, in fresh processes."""

import os
import subprocess
import sys
import time

from h2s_keras.benchmarking.harness import Figures, measure

ABOUT = "`h2s --help`, a wrong name, and `import h2s_keras` beyond `import keras`"

USES_KERAS = False
HELP_AIM, IMPORT_AIM = 0.5, 0.3
HELP, MISTAKE = "h2s --help", "h2s predict with a model that is not there"
SCRIPTS = {
    "python": "pass",
    "import keras": "import keras",
    "import h2s_keras": "import h2s_keras",
    HELP: "import sys, h2s_keras_command as command\n"
    "sys.argv = ['h2s', '--help']\ncommand.main()",
    MISTAKE: "import sys, h2s_keras_command as command\n"
    "sys.argv = ['h2s', 'predict', 'none.mp4', '--model', 'none.keras']\ncommand.main()",
}


def run(settings):
    """Seconds are told too: here they are the promise, and start-up is mostly reading."""
    figures = Figures()
    functions = {
        name: _process(script, 2 if name == MISTAKE else 0)
        for name, script in SCRIPTS.items()
    }
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
    return figures


def _process(script, code):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def run():
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, env=environment
        )
        seconds = time.perf_counter() - started
        if done.returncode != code:
            raise RuntimeError(done.stderr.decode(errors="replace"))
        return seconds

    return run
