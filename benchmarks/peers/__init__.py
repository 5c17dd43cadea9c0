"""Scripts that `PeerProcess` runs, each by its path in a process of its own."""
