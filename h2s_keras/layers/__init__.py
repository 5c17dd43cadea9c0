"""Thin Keras layers over h2s_keras.ops, one public class a file."""

if __name__ != "h2s_keras.layers":
    # The link `layers` at the root of a checkout would make second, unequal classes.
    raise ImportError(
        f"This folder is h2s_keras.layers; it was imported as {__name__!r}. "
        "Write `from h2s_keras import layers`."
    )

from h2s_keras.layers.backward_warp import BackwardWarp
from h2s_keras.layers.caffe_pooling import CaffePooling
from h2s_keras.layers.flow_volume import FlowVolume
from h2s_keras.layers.image_preprocessing import ImagePreprocessing
from h2s_keras.layers.local_response_normalization import LocalResponseNormalization
from h2s_keras.layers.mixed_flow_loss import MixedFlowLoss
from h2s_keras.layers.multi_scale_flow_head import MultiScaleFlowHead
from h2s_keras.layers.quantized_flow_adapter import QuantizedFlowAdapter
from h2s_keras.layers.segment_consensus import SegmentConsensus
from h2s_keras.layers.supervised_flow_loss import SupervisedFlowLoss
from h2s_keras.layers.synchronized_batch_normalization import (
    SynchronizedBatchNormalization,
)
from h2s_keras.layers.unsupervised_flow_loss import UnsupervisedFlowLoss

__all__ = [
    "BackwardWarp",
    "CaffePooling",
    "FlowVolume",
    "ImagePreprocessing",
    "LocalResponseNormalization",
    "MixedFlowLoss",
    "MultiScaleFlowHead",
    "QuantizedFlowAdapter",
    "SegmentConsensus",
    "SupervisedFlowLoss",
    "SynchronizedBatchNormalization",
    "UnsupervisedFlowLoss",
]
