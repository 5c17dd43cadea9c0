"""Metrics of flow and of recognition."""

from h2s_keras.metrics.end_point_error import EndPointError

__all__ = ["EndPointError"]
