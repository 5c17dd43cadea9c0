"""The `h2s` command: argument parsing first, Keras only when a command needs it."""
