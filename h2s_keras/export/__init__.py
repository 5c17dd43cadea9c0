"""Trained networks as files: for TensorFlow Serving, LiteRT, ONNX, OpenVINO, browsers.

Importing this package imports neither TensorFlow nor Keras; the names do when asked for.
"""

from h2s_keras.lazy_names import lazy_names

_HOMES = {
    "ExportedFile": "exported_file",
    "SavedNetwork": "saved_network",
    "export_lite": "lite",
    "export_onnx": "onnx_openvino",
    "export_openvino": "onnx_openvino",
    "export_saved_model": "saved_model",
    "export_web_page": "web",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
