"""The benchmarks are no part of the wheel: the clone comes after what is installed."""

import os
import pathlib
import subprocess
import sys

from warm_process import Done

# Before the command of the benchmarks, which would put off registering its classes.
import h2s_keras  # noqa: F401

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(os.fspath(ROOT))
COMMAND = (
    f"import sys; sys.path.append({os.fspath(ROOT)!r}); "
    "from benchmarks.__main__ import main; sys.exit(main())"
)


def run_cold(*arguments, code=COMMAND):
    """`python -m benchmarks ARGUMENTS` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )
    return Done(done.returncode, done.stdout, done.stderr)
