"""A peer in a process of its own, that runs one measurement whenever it is asked.

Two frameworks in one process share and disturb each other's threads. The child loads its
framework, says what it can run, and then waits; between two of its turns it does nothing.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")


class PeerProcess:
    """Runs a script of the folder `peers` as a child, on the same cores.

    The script reads its options as JSON from its only argument and writes lines of JSON:
    first {"runs": [...], "missing": {peer: reason}}; then for every name that it reads,
    {"seconds": s}; for "NAME > FILE" it also saves its result as .npy. Every line tells
    the largest memory of the child so far as "peak_bytes".

    Args:
        script: file name in the folder `peers`.
        options: dict of plain values.
        python: the interpreter, of another environment where the peer cannot live beside
            this library; None for this one.

    Attributes:
        runs: names of what it can run.
        missing: dict from the name of a peer that it cannot run to the reason.
        peak_bytes: largest resident memory of the child at its last answer.

    Example:
        >>> options = {"shape": [1, 8, 8, 3], "threads": 1}
        >>> with PeerProcess("torch_warp.py", options) as peer:
        ...     peer.seconds("grid_sample: forward")
    """

    def __init__(self, script, options, python=None):
        self.script = script
        # A pipe that nobody reads would fill up and stop the child.
        self._errors = tempfile.TemporaryFile("w+")
        # This very copy of the library, wherever the parent found it.
        root = os.path.dirname(
            os.path.dirname(importlib.util.find_spec("h2s_keras").origin)
        )
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [python or sys.executable, os.path.join(FOLDER, script), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        answer = self._answer()
        self.runs, self.missing = answer["runs"], answer["missing"]

    def seconds(self, name, save=None):
        """Seconds of one run, measured by the child; the result goes to the file `save`."""
        self._process.stdin.write(f"{name} > {save}\n" if save else f"{name}\n")
        self._process.stdin.flush()
        return self._answer()["seconds"]

    def timer(self, name):
        """A function for `measure`."""
        return lambda: self.seconds(name)

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            error = self._errors.read().strip()
            raise RuntimeError(f"the peer {self.script} ended: {error[-2000:]}")
        answer = json.loads(line)
        self.peak_bytes = answer["peak_bytes"]
        return answer

    def close(self):
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                # Left in the middle of a run, which nobody waits for any more.
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
