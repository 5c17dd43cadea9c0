"""Behaviours frame by frame: labels in and out, figures, training, prediction.

What is named here is imported when it is asked for; labels, formats and figures need
neither Keras nor TensorFlow.
"""

from h2s_keras.lazy_names import lazy_names

_HOMES = {
    "BehaviorScorer": "scorer",
    "Bout": "labels",
    "Figures": "figures",
    "FrameLabels": "labels",
    "FrameTimes": "times",
    "LabelledVideo": "labelled_videos",
    "Prediction": "scorer",
    "Rule": "decision",
    "choose_rules": "decision",
    "decide": "decision",
    "draw_split": "labelled_videos",
    "find_shift": "shift",
    "find_videos": "labelled_videos",
    "load_labels": "labelled_videos",
    "measure": "figures",
    "read_labels": "formats",
    "refine_ethogram": "train",
    "train_ethogram": "train",
    "video_times": "times",
    "write_labels": "formats",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
