"""What a measurement was taken on: machine, load, versions, date."""

import importlib.metadata
import os
import platform
import time

from h2s_keras.process import usable_cores

PACKAGES = (
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "av",
    "kornia",
    "opencv-contrib-python-headless",
    "openvino",
    "ai-edge-litert",
)


def limit_cores(count):
    """Keeps this process and its children on `count` cores, before any library starts.

    The affinity binds every library the same way; where the system has none, the
    variables that OpenMP and its like read are all there is.
    """
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(count)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[:count]
        os.sched_setaffinity(0, cores)


def describe_machine():
    """dict of processor, cores that may be used, memory, system and load."""
    facts = {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "system": platform.system(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        facts["memory_gib"] = round(memory / 2**30, 1)
    return facts


def versions():
    """dict of this library, Python and every package of PACKAGES that is installed."""
    from h2s_keras.version import __version__

    found = {"h2s_keras": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def today():
    return time.strftime("%Y-%m-%d")


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # Not Linux.
    return platform.processor() or platform.machine()
