"""What can compute a network in place of Keras, behind one name."""

from h2s_keras.errors import UserError

# Name: (package to import, extra that installs it); None is Keras itself.
_PACKAGES = {
    "keras": None,
    "openvino": ("openvino", "openvino"),
    "litert": ("ai_edge_litert", "litert"),
    "litert_8bit": ("ai_edge_litert", "litert"),
}
RUNTIMES = tuple(_PACKAGES)


def check_runtime(runtime):
    """Raises UserError for a runtime that is unknown or not installed."""
    if runtime not in RUNTIMES:
        raise UserError(
            f"runtime must be one of {', '.join(RUNTIMES)}; received {runtime!r}"
        )
    if runtime != "keras":
        package, extra = _PACKAGES[runtime]
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(
                f"runtime {runtime!r} needs the package {package.replace('_', '-')}; "
                f"pip install 'h2s_keras[{extra}]'"
            ) from error


def in_runtime(model, runtime):
    """`model` itself, or what computes it by another runtime.

    Args:
        model: MotionNet or HiddenTwoStream.
        runtime: "keras"; "openvino" or "litert", float32 by those libraries; or
            "litert_8bit", LiteRT with weights and activations of 8 bits: about a third of
            the time, and not the same numbers (docs/performance.md).

    Returns:
        An object with `predict_on_batch`, `class_names`, `num_frames`, `image_size` and
        `frame_stride` of the model. Another runtime keeps the weights of now: after further
        training a shape that it knows gets the old answers and a new shape a UserError.

    Raises:
        UserError: the runtime is unknown or not installed, or does not take this model.
    """
    check_runtime(runtime)
    if runtime == "openvino":
        from h2s_keras.runtimes.openvino_network import OpenVinoNetwork

        return OpenVinoNetwork(model)
    if runtime != "keras":
        # It converts with TensorFlow, which stays out of this floor.
        from h2s_keras.runtimes.lite_network import LiteNetwork

        return LiteNetwork(model, eight_bits=runtime == "litert_8bit")
    return model
