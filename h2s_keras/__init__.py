"""Hidden Two-Stream action recognition as modular Keras 3."""
from h2s_keras import layers, models, ops
from h2s_keras.version import __version__
