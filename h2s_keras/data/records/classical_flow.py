"""Classical optical flow for storing beside the frames, by OpenCV's default settings."""

import numpy as np

from h2s_keras.errors import UserError

CLASSICAL_FLOWS = ("tvl1", "farneback", "dis")


def require_opencv(name):
    """The module cv2, if it has the method of that name.

    Raises:
        UserError: OpenCV is missing, or its contrib modules, which TV-L1 needs.
    """
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


def classical_flow(name):
    """A function that gives the flow of neighbouring frames.

    Args:
        name: one of CLASSICAL_FLOWS.

    Returns:
        a generator function: from an iterable of uint8 frames (height, width, 3) it yields
        float32 (height, width, 2) for each pair, in pixels, (x right, y down), from the
        earlier frame to the later one.

    Raises:
        UserError: there is no such method, or OpenCV is missing.

    Example:

    ```python
    flows = list(classical_flow("dis")(read_frames("diving.avi")))
    ```
    """
    if name not in CLASSICAL_FLOWS:
        raise UserError(f"no flow method {name!r}; there are {', '.join(CLASSICAL_FLOWS)}")
    cv2 = require_opencv(name)
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
