"""MotionNet, the streams and the builder that composes them."""

from h2s_keras.models.backbones import build_backbone
from h2s_keras.models.builder import HiddenTwoStreamBuilder
from h2s_keras.models.caffe_weights.loading import load_caffe_weights
from h2s_keras.models.motion_net import MotionNet
from h2s_keras.models.presets import load_model
from h2s_keras.models.stored_flow import StoredFlowStream  # noqa: F401 (to load it)
from h2s_keras.models.two_stream import HiddenTwoStream

__all__ = [
    "HiddenTwoStream",
    "HiddenTwoStreamBuilder",
    "MotionNet",
    "build_backbone",
    "load_caffe_weights",
    "load_model",
]
