"""Optical flow for storing beside the frames: classical methods, or a trained MotionNet.

TV-L1, Farneback and DIS are those of OpenCV, with its default settings.
"""

import collections
import os

import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.files import sha256_of
from h2s_keras.model_files import model_file, preset_index, preset_name

CLASSICAL_FLOWS = ("tvl1", "farneback", "dis")


def check_flow_method(name):
    """Raises a UserError unless `flow_estimator(name)` can work here."""
    if name in CLASSICAL_FLOWS:
        _opencv(name)
    elif flow_model(name) is not None:
        _motion_net(name)
    else:
        raise UserError(
            f"no flow method {name!r}; there are {', '.join(CLASSICAL_FLOWS)}, or give a "
            f"trained model: a .keras file, the folder of a run, or a preset "
            f"({', '.join(sorted(preset_index()))})"
        )


def flow_model(name):
    """(model as `load_model` takes it, SHA-256 of its file) of a trained model, or None."""
    preset = preset_name(name)
    if preset is not None:
        return preset, preset_index()[preset]["sha256"]
    if os.path.isdir(name) or name.endswith(".keras") and os.path.isfile(name):
        return name, sha256_of(model_file(name))
    return None


def flow_estimator(name):
    """A function that gives the flow of neighbouring frames.

    Args:
        name: one of CLASSICAL_FLOWS; or a `MotionNet` or a model with a part `motion`: the
            path of its .keras file, the folder of its run, or a preset.

    Returns:
        a generator function: from an iterable of uint8 frames (height, width, 3) it yields
        float32 (height, width, 2) for each pair, in pixels, (x right, y down), from the
        earlier frame to the later one. It reads ahead no more than a clip of the model.

    Raises:
        UserError: OpenCV is missing, or the file is no such model.

    Example:

    ```python
    flows = list(flow_estimator("dis")(read_frames("diving.avi")))
    ```
    """
    if name in CLASSICAL_FLOWS:
        return _classical(name)
    return _learned(_motion_net(name))


def _opencv(name):
    try:
        import cv2
    except ImportError:
        cv2 = None
    if cv2 is None or (name == "tvl1" and not hasattr(cv2, "optflow")):
        raise UserError(
            f"the flow method {name!r} needs OpenCV with its contrib modules: pip install "
            "'h2s_keras[flow]'"
        )
    return cv2


def _classical(name):
    cv2 = _opencv(name)
    if name == "tvl1":
        calculate = cv2.optflow.DualTVL1OpticalFlow_create().calc
    elif name == "dis":
        calculate = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc
    else:

        def calculate(one, other, flow):
            return cv2.calcOpticalFlowFarneback(one, other, flow, 0.5, 3, 15, 3, 5, 1.2, 0)

    def pairs(frames):
        earlier = None
        for frame in frames:
            later = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
            if earlier is not None:
                yield calculate(earlier, later, None)
            earlier = later

    return pairs


def _motion_net(name):
    # The networks lie above this folder.
    from h2s_keras.models.flow_network import load_flow_network

    return load_flow_network(name)


def _learned(motion):
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
