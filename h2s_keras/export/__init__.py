"""Trained networks as files for other programs: TensorFlow Serving, LiteRT, ONNX.

Importing this package does not import TensorFlow; the functions do when called.
"""

from h2s_keras.export.lite import export_lite
from h2s_keras.export.onnx_file import export_onnx
from h2s_keras.export.saved_model import export_saved_model
from h2s_keras.export.saved_network import SavedNetwork

__all__ = ["SavedNetwork", "export_lite", "export_onnx", "export_saved_model"]
