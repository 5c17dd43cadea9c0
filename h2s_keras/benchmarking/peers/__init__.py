"""Scripts that run a peer in a process of its own; they import nothing of h2s_keras."""
