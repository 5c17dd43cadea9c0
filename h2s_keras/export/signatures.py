"""The three signatures of a served network, as TensorFlow functions over its variables.

| signature | input | output |
|---|---|---|
| `serving_default` | `clips` uint8 (None, T, H, W, 3) RGB | `probabilities` float32 (None, C), `logits` float32 (None, C), `classes` string (None, k), `scores` float32 (None, k), best first |
| `predict_jpeg` | `frames_bytes` string (None, T) | the same |
| `motion` | `clips` uint8 (None, T, H, W, 3) RGB | `flow` float32 (None, H/2, W/2, T-1, 2), pixels of full resolution |
"""  # noqa: E501

import tensorflow as tf

from h2s_keras.export.jpeg import decode_clips

SIGNATURES = ("serving_default", "predict_jpeg", "motion")


def build_signatures(network, classes, top_k=5):
    """The signatures of a network and the object that holds their variables.

    Args:
        network: HiddenTwoStream in float32, see `inference_network`.
        classes: names of the classes in the order of the logits.
        top_k: length of `classes` and `scores`; cut to the number of classes.

    Returns:
        (module, signatures): tf.Module with nothing but the variables that the signatures
        read (no optimiser slots, seeds or averages, no Keras object), and a dict of name
        -> tf.types.experimental.ConcreteFunction, for `tf.saved_model.save`.

    Raises:
        tf.errors.InvalidArgumentError: when a signature runs on another shape, an empty
            batch or bytes that are no JPEG.

    Example:
        >>> module, signatures = build_signatures(network, ["jump", "run"], top_k=2)
        >>> signatures["serving_default"](clips=clips)["classes"].shape
        TensorShape([4, 2])
    """
    labels = [name.encode() for name in classes]
    top_k = min(int(top_k), len(labels))
    num_frames, size = network.num_frames, network.image_size
    clip_shape = (None, num_frames, *size, 3)
    decode_size = (getattr(network, "test_protocol", None) or {}).get("decode_size")

    def answer(clips):
        logits = logits_of(network, clips)
        probabilities = tf.nn.softmax(logits)
        scores, indices = tf.math.top_k(probabilities, top_k)
        return {
            "probabilities": probabilities,
            "logits": logits,
            "classes": tf.gather(tf.constant(labels), indices),
            "scores": scores,
        }

    def serving_default(clips):
        return answer(_checked(clips, clip_shape, "clips"))

    def predict_jpeg(frames_bytes):
        frames_bytes = _checked(frames_bytes, clip_shape[:2], "frames_bytes")
        return answer(decode_clips(frames_bytes, num_frames, size, decode_size))

    def motion(clips):
        return {"flow": flow_of(network, _checked(clips, clip_shape, "clips"))}

    clips = tf.TensorSpec(clip_shape, tf.uint8, name="clips")
    strings = tf.TensorSpec((None, num_frames), tf.string, name="frames_bytes")
    signatures = {}
    for function, spec in (
        (serving_default, clips),
        (predict_jpeg, strings),
        (motion, clips),
    ):
        traced = tf.function(function, autograph=False)
        signatures[function.__name__] = traced.get_concrete_function(spec)
    module = tf.Module(name="h2s_keras")
    read = {}
    for signature in signatures.values():
        read.update((id(variable), variable) for variable in signature.graph.variables)
    module.weights = list(read.values())
    return module, signatures


def logits_of(network, clips):
    """Fused logits float32 (batch, classes) of uint8 clips, and nothing besides.

    The branched network's decoder is left out, where its own call would build it.
    """
    outputs = {}
    if network.spatial is not None:
        outputs = network.run_streams(clips, ["spatial"], training=False)
    if network.branched:
        source = network.motion.encode(clips)[-1]
    else:
        source = network.adapter(network.motion(clips, training=False)["flow2"])
    outputs["temporal_logits"] = network.temporal(source, training=False)
    return network.fuse(outputs)


def flow_of(network, clips):
    """Flow float32 (batch, H/2, W/2, T-1, 2) of uint8 clips, pixels of full resolution."""
    return full_size_flow(network, network.motion(clips, training=False)["flow2"])


def full_size_flow(network, flow):
    """MotionNet's finest flow in pixels of full resolution, with time after space.

    From (batch, T-1, h, w, 2) to (batch, h, w, T-1, 2).
    """
    scale = network.image_size[0] / flow.shape[2]
    return tf.transpose(flow, (0, 2, 3, 1, 4)) * scale


def _checked(tensor, shape, name):
    """`tensor`; when run on another shape it fails with what came and was expected."""
    tensor = tf.ensure_shape(tensor, shape, name=name)
    filled = tf.debugging.Assert(
        tf.shape(tensor)[0] > 0, [f"{name}: the batch is empty; send at least one clip"]
    )
    with tf.control_dependencies([filled]):
        return tf.identity(tensor)
