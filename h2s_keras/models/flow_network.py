"""A trained MotionNet by the name of a preset, or from files, for flow of single pairs."""

import os
from typing import Any

from h2s_keras.models.motion_net import MotionNet


def load_flow_network(path: str | os.PathLike[str]) -> Any:
    """The MotionNet of `MotionNet.from_preset` for flow of single pairs of frames.

    One with `coarse_to_fine` takes two frames, whatever clips it was saved for; any other
    keeps its own number.
    """
    motion_net = MotionNet.from_preset(path)
    return motion_net.with_num_frames(2) if motion_net.coarse_to_fine else motion_net
