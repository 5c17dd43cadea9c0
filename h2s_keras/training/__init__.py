"""Training: stages, schedules, states that can be resumed.

Importing this package does not import Keras; its names do when used.
"""

from h2s_keras.lazy_names import lazy_names

_HOMES = {
    "StageModel": "stage_model",
    "StageSchedule": "optimizers",
    "train": "run",
    "train_each_group": "groups",
}

__all__ = list(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
