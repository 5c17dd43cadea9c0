"""The process that runs: its cores, its stderr, and errors that mean its memory ran out."""

import contextlib
import os
import sys

# How the backends say that a device ran out of memory.
_OWN_CLASS = ("ResourceExhaustedError", "OutOfMemoryError")
# JAX has one class for all that can go wrong, whose name changed; PyTorch has one of its
# own for GPUs alone. There the text says it.
JAX_ERRORS = ("JaxRuntimeError", "XlaRuntimeError")
_BY_TEXT = (*JAX_ERRORS, "InternalError", "RuntimeError")
_TEXTS = ("RESOURCE_EXHAUSTED", "Out of memory", "DefaultCPUAllocator")


def usable_cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Not on every system.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def is_out_of_memory(error):
    """Whether an exception of TensorFlow, JAX or PyTorch says that memory ran out."""
    kind, text = type(error).__name__, str(error)
    # TensorFlow has one class for memory and for disks.
    if "No space left" in text:
        return False
    return kind in _OWN_CLASS or (kind in _BY_TEXT and any(part in text for part in _TEXTS))
