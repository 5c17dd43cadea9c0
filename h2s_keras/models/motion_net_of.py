from typing import Any

import keras


def motion_net_of(network: keras.Model) -> Any:
    """The MotionNet of a two-stream network, which a MotionNet alone is itself."""
    return getattr(network, "motion", network)


def sees_pairs(motion_net: Any) -> bool:
    """Whether the flow of two frames depends on these two alone, whatever the clip."""
    return motion_net.coarse_to_fine or motion_net.num_frames == 2


def pair_network(motion_net: Any) -> Any:
    """The MotionNet for clips of two frames with the weights of one that sees pairs.

    `motion_net` itself where that is its number of frames.
    """
    return motion_net if motion_net.num_frames == 2 else motion_net.with_num_frames(2)
