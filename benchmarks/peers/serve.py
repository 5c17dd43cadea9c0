"""The child's side of `PeerProcess`: answers every name on stdin with seconds on stdout."""

import json
import os
import resource
import sys
import time


def serve(runs, missing=None, wait=None, peak_bytes=None):
    """Runs what it is asked until stdin ends.

    Args:
        runs: dict from name to a function of nothing; what it returns can be saved if
            NumPy can read it.
        missing: dict from the name of a peer that cannot run to the reason.
        wait: function of nothing that returns once the device is done, or None where runs
            return no sooner.
        peak_bytes: function of nothing that gives the largest memory that was taken of
            the device, or None for the resident memory of this process.
    """
    # Libraries print to stdout too; only answers may reach the parent.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values):
        values["peak_bytes"] = (peak_bytes or _resident_bytes)()
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    answer(runs=list(runs), missing=missing or {})
    for line in sys.stdin:
        name, _, file = line.rstrip("\n").partition(" > ")
        started = time.perf_counter()
        result = runs[name]()
        if wait is not None:
            wait()
        seconds = time.perf_counter() - started
        if file:
            import numpy

            numpy.save(
                file, numpy.asarray(result.cpu() if hasattr(result, "cpu") else result)
            )
        answer(seconds=seconds)


def _resident_bytes():
    # In KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
