"""Training: stages, schedules, states that can be resumed.

Importing this package does not import Keras; its names do when used.
"""

import importlib

_HOMES = {
    "StageModel": "stage_model",
    "StageSchedule": "schedule",
    "train": "run",
    "train_each_group": "groups",
}

__all__ = list(_HOMES)


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
