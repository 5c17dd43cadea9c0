"""Measuring trained networks: protocols, scores, fusion, flow, streams of frames."""

from h2s_keras.evaluation.annotated_video import AnnotatedVideo
from h2s_keras.evaluation.flow_pairs import FlowPair, find_flow_pairs
from h2s_keras.evaluation.fusion import fuse_scores, normalize_scores, search_weights
from h2s_keras.evaluation.measure import accuracy, collect_scores, measure_flow
from h2s_keras.evaluation.protocol import Protocol
from h2s_keras.evaluation.scores import VideoScores
from h2s_keras.evaluation.streaming import sliding_windows

__all__ = [
    "AnnotatedVideo",
    "FlowPair",
    "Protocol",
    "VideoScores",
    "accuracy",
    "collect_scores",
    "find_flow_pairs",
    "fuse_scores",
    "measure_flow",
    "normalize_scores",
    "search_weights",
    "sliding_windows",
]
