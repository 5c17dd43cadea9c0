def motion_net_of(network):
    """The MotionNet of a two-stream network, which a MotionNet alone is itself."""
    return getattr(network, "motion", network)
