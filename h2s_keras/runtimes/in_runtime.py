"""What can compute a network instead of Keras, behind one name."""

from h2s_keras.runtimes.check_runtime import check_runtime


def in_runtime(model, runtime):
    """`model` itself, or what computes it by another runtime.

    Args:
        model: MotionNet or HiddenTwoStream.
        runtime: "keras"; "openvino" or "litert", float32 by those libraries; or
            "litert_8bit", LiteRT with weights and activations of 8 bits: about a third of
            the time, and not the same numbers (docs/performance.md).

    Returns:
        An object with `predict_on_batch`, `class_names`, `num_frames`, `image_size` and
        `frame_stride` of the model, and of a MotionNet with `estimate_flow`. Another
        runtime keeps the weights of now: after further training a shape that it knows gets
        the old answers and a new shape a UserError.

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
