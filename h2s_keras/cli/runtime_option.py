"""The option --runtime of commands that compute a network."""

# Those of h2s_keras.runtimes.check_runtime, whose import would load Keras too early.
RUNTIMES = ("keras", "openvino", "litert", "litert_8bit")


def add_runtime_argument(parser):
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="keras",
        help="what computes the network (default keras); litert_8bit takes about a third "
        "of the time and rounds",
    )
