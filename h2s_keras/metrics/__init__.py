"""Metrics of flow and of recognition."""

from h2s_keras.metrics.angular_error import AngularError
from h2s_keras.metrics.end_point_error import EndPointError
from h2s_keras.metrics.flow_outlier_rate import FlowOutlierRate
from h2s_keras.metrics.mean_class_accuracy import MeanClassAccuracy
from h2s_keras.metrics.region_end_point_error import RegionEndPointError
from h2s_keras.metrics.video_mean_average_precision import VideoMeanAveragePrecision

__all__ = [
    "AngularError",
    "EndPointError",
    "FlowOutlierRate",
    "MeanClassAccuracy",
    "RegionEndPointError",
    "VideoMeanAveragePrecision",
]
