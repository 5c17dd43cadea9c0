"""Hidden Two-Stream action recognition as modular Keras 3.

Importing the package registers every public class with Keras, so that
`keras.saving.load_model` finds them. The command line puts that off until it is needed.
"""

import importlib
import sys

from h2s_keras.version import __version__

_SUBMODULES = (
    "data",
    "errors",
    "ethogram",
    "evaluation",
    "export",
    "layers",
    "metrics",
    "models",
    "ops",
    "training",
    "visualization",
)

__all__ = [*_SUBMODULES, "VideoClassifier", "__version__", "train_videos"]


def register():
    """Imports every public class, so that Keras can load saved models."""
    for name in ("layers", "metrics", "models", "training.run"):
        importlib.import_module(f"h2s_keras.{name}")


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"h2s_keras.{name}")
    if name == "VideoClassifier":
        from h2s_keras.evaluation.video_classifier import VideoClassifier

        return VideoClassifier
    if name == "train_videos":
        from h2s_keras.training.own_videos import train_videos

        return train_videos
    raise AttributeError(f"module 'h2s_keras' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)


if "h2s_keras_command" not in sys.modules:
    register()
