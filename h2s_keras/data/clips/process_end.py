"""Lets a process end while clips are still being read.

tf.data reads ahead in threads of its own, which call Python where videos are decoded. When
Python shuts down, whoever frees such an iterator waits for its threads while they wait for
the interpreter, for ever. So iterators that are still alive are freed just before, while
threads can still run Python.
"""

import atexit
import gc
import os
import sys
import threading

# Classes of tf.data that own running threads; the second one under a distribution strategy.
_ITERATORS = ("OwnedIterator", "OwnedMultiDeviceIterator")
_PATIENCE = 10.0

# Set once the process ends: whoever works long looks at it and raises `EndingError`.
ENDING = threading.Event()
_idle = threading.Condition()
_running = 0


class EndingError(RuntimeError):
    """The process ends: nobody will take what a thread reads ahead."""

    def __init__(self):
        super().__init__("the process ends, nothing is read any more")


def check_running():
    """Raises `EndingError` once the process ends, to leave long work early."""
    if ENDING.is_set():
        raise EndingError


def called_by_threads(function):
    """`function` for threads of tf.data: it raises `EndingError` once the process ends."""

    def call(*arguments):
        global _running
        check_running()
        with _idle:
            _running += 1
        try:
            return function(*arguments)
        finally:
            with _idle:
                _running -= 1
                _idle.notify_all()

    return call


def _end(process):
    if "tensorflow" not in sys.modules or os.getpid() != process:
        return
    ENDING.set()
    for iterator in _iterators():
        vars(iterator).clear()
    # An iterator that another thread is waiting for lives until that thread has its answer.
    with _idle:
        _idle.wait_for(lambda: not _running, _PATIENCE)


def _iterators():
    found = []
    gc.unfreeze()  # Frozen objects are not listed.
    for item in gc.get_objects():
        kind = type(item)
        if kind.__name__ in _ITERATORS and kind.__module__.startswith("tensorflow."):
            found.append(item)
    return found


# Runs just before Python shuts down. A forked process, which inherits it, has no threads.
atexit.register(_end, os.getpid())
