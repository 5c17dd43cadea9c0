"""Optical flow of neighbouring frames by a classical method or a trained MotionNet."""

import collections
import os
from typing import Any

import numpy as np

from h2s_keras.data.records.classical_flow import (
    CLASSICAL_FLOWS,
    classical_flow,
    require_opencv,
)
from h2s_keras.data.records.file_systems import checksum_of
from h2s_keras.errors import UserError
from h2s_keras.model_files import preset_index, preset_name, weights_file
from h2s_keras.models.motion_net import MotionNet
from h2s_keras.models.motion_net_of import pair_network, sees_pairs


def check_flow_method(name):
    """Raises a UserError unless `flow_estimator(name)` can work here."""
    if name in CLASSICAL_FLOWS:
        require_opencv(name)
    elif flow_checksum(name) is not None:
        load_flow_network(name)
    else:
        raise UserError(
            f"no flow method {name!r}; there are {', '.join(CLASSICAL_FLOWS)}, or give a "
            f"trained model: a .keras file, the folder of a run, or a preset "
            f"({', '.join(sorted(preset_index()))})"
        )


def flow_checksum(name):
    """SHA-256 of the file of a trained model; None of other names.

    Args:
        name: as for `flow_estimator`.
    """
    preset = preset_name(name)
    if preset is not None:
        return preset_index()[preset]["sha256"]
    if os.path.isdir(name) or name.endswith(".keras") and os.path.isfile(name):
        return checksum_of(weights_file(name))
    return None


def flow_estimator(name):
    """A function that gives the flow of neighbouring frames.

    Args:
        name: one of CLASSICAL_FLOWS; or a `MotionNet` or a model with a part `motion`: the
            path of its .keras file, the folder of its run, or a preset.

    Returns:
        a generator function, as `classical_flow` returns. It reads ahead no more than a
        clip of the model.

    Raises:
        UserError: OpenCV is missing, or the file is not such a model.

    Example:

    ```python
    flows = list(flow_estimator("tiny_synthetic")(read_frames("diving.avi")))
    ```
    """
    if name in CLASSICAL_FLOWS:
        return classical_flow(name)
    return learned_flow(load_flow_network(name))


def learned_flow(motion):
    """The generator function of `flow_estimator` by a network at hand.

    Frames pass in windows of `num_frames` that share one frame; a last window is moved back
    so that it is full.

    Args:
        motion: what has `num_frames` and `estimate_flow`, as a `MotionNet` has.
    """
    window = motion.num_frames

    def estimate(frames):
        frames = list(frames)
        frames += frames[-1:] * (window - len(frames))
        return np.asarray(motion.estimate_flow(np.stack(frames)[None]))[0]

    def pairs(frames):
        recent, waiting = collections.deque(maxlen=window), -1
        for frame in frames:
            recent.append(frame)
            waiting += 1
            if waiting == window - 1:
                yield from estimate(recent)
                waiting = 0
        if waiting > 0:
            flows = estimate(recent)
            # A short video is filled up at its end, a last window overlaps at its start.
            yield from flows[:waiting] if len(recent) < window else flows[-waiting:]

    return pairs


def load_flow_network(path: str | os.PathLike[str]) -> Any:
    """The MotionNet of `MotionNet.from_preset` for flow of single pairs of frames.

    One that sees pairs takes two frames, whatever clips it was saved for; any other keeps
    its own number.
    """
    motion_net = MotionNet.from_preset(path)
    return pair_network(motion_net) if sees_pairs(motion_net) else motion_net
