"""Benchmarks that users run: ratios against peers, measured in turns on one machine.

Importing this package imports neither Keras nor any peer; the suites do when they run.
"""

import importlib

# In the order of the help; each a module here with ABOUT and run(settings, figures).
SUITES = (
    "warp",
    "loss",
    "motion",
    "training",
    "headline",
    "predict",
    "startup",
    "growth",
    "accelerator",
    "accelerator_training",
)


def suite(name):
    """The module of a suite."""
    return importlib.import_module(f"{__name__}.{name}")
