"""How many cores there are to compute with."""

import os


def usable_cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Not on every system.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
