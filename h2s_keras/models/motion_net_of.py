from typing import Any

import keras


def motion_net_of(network: keras.Model) -> Any:
    """The MotionNet of a two-stream network, which a MotionNet alone is itself."""
    return getattr(network, "motion", network)


def sees_pairs(motion_net: Any) -> bool:
    """Whether the flow of two frames depends on these two alone, whatever the clip."""
    return motion_net.coarse_to_fine or motion_net.num_frames == 2
