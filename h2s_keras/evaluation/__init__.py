"""Measuring trained networks: protocols, scores, fusion, flow, streams of frames.

What is named here is imported when it is asked for: to fuse saved scores needs no Keras.
"""

from h2s_keras.lazy_names import lazy_names

_HOMES = {
    "AnnotatedVideo": "annotated_video",
    "FlowPair": "flow_pairs",
    "Protocol": "protocol",
    "VideoScores": "scores",
    "accuracy": "statistics",
    "collect_scores": "measure",
    "find_flow_pairs": "flow_pairs",
    "fuse_scores": "fusion",
    "measure_flow": "measure",
    "normalize_scores": "fusion",
    "search_weights": "fusion",
    "sliding_windows": "streaming",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
