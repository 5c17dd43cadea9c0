import contextlib
import os
import sys


@contextlib.contextmanager
def silent_stderr():
    """Hides what C++ writes to stderr, which no logging level reaches everywhere."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
