"""Measuring trained networks: protocols, scores, fusion, flow, streams of frames.

What is named here is imported when it is asked for: to fuse saved scores needs no Keras.
"""

import importlib

_HOMES = {
    "AnnotatedVideo": "annotated_video",
    "FlowPair": "flow_pairs",
    "Protocol": "protocol",
    "VideoScores": "scores",
    "accuracy": "measure",
    "collect_scores": "measure",
    "find_flow_pairs": "flow_pairs",
    "fuse_scores": "fusion",
    "measure_flow": "measure",
    "normalize_scores": "fusion",
    "search_weights": "fusion",
    "sliding_windows": "streaming",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
