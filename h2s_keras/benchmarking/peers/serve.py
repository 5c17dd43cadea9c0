"""The child's side of `PeerProcess`: answers every name on stdin with seconds on stdout."""

import json
import os
import resource
import sys
import time


def serve(runs, missing=None):
    """Runs what it is asked until stdin ends.

    Args:
        runs: dict from name to a function of nothing; what it returns can be saved if it
            has a method `numpy`.
        missing: dict from the name of a peer that cannot run to the reason.
    """
    # Libraries print to stdout too; only answers may reach the parent.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values):
        # In KiB on Linux, in bytes on macOS.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        values["peak_bytes"] = peak * unit
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    answer(runs=list(runs), missing=missing or {})
    for line in sys.stdin:
        name, _, file = line.rstrip("\n").partition(" > ")
        started = time.perf_counter()
        result = runs[name]()
        seconds = time.perf_counter() - started
        if file:
            import numpy

            numpy.save(file, result.numpy())
        answer(seconds=seconds)
