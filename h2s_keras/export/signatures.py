"""The three signatures of a served network, as TensorFlow functions of clips or JPEG files.

| signature | input | output |
|---|---|---|
| `serving_default` | `clips` uint8 (None, T, H, W, 3) RGB | `probabilities` float32 (None, C), `logits` float32 (None, C), `classes` string (None, k), `scores` float32 (None, k), best first |
| `predict_jpeg` | `frames_bytes` string (None, T) | the same |
| `motion` | `clips` uint8 (None, T, H, W, 3) RGB | `flow` float32 (None, H/2, W/2, T-1, 2), pixels of full resolution |
"""  # noqa: E501

import tensorflow as tf

from h2s_keras.data.clips.crops import centre_crop_box
from h2s_keras.ops.resize import resize_bilinear

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


MAX_PIXELS = 1 << 25  # of one frame: a small file can claim to hold gigabytes


def decode_clips(frames_bytes, num_frames, image_size, decode_size=None):
    """JPEG frames of any size as the clips that the model takes.

    A frame of the model's own size is used as it is. Any other is treated as testing
    does: the centre 7/8 of its largest box of the model's aspect, resized bilinearly,
    averaging where it shrinks; with a `decode_size` of (height, width) the whole frame is
    squeezed to that size first.

    Args:
        frames_bytes: string (batch, num_frames), one JPEG file each, of one size within a
            clip.
        num_frames: frames of a clip.
        image_size: (height, width) of the model.
        decode_size: that of the model's `test_protocol`.

    Returns:
        uint8 (batch, num_frames, height, width, 3), RGB.

    Raises:
        tf.errors.InvalidArgumentError: when run on bytes that are not a whole JPEG, on
            frames of a clip that differ in size, or on a frame of more than 33 million
            pixels.
    """
    height, width = image_size
    flat = tf.reshape(frames_bytes, [-1])
    frames, sizes = tf.map_fn(
        lambda content: _decode(content, height, width, decode_size),
        flat,
        fn_output_signature=(
            tf.TensorSpec((height, width, 3), tf.uint8),
            tf.TensorSpec((2,), tf.int32),
        ),
    )
    sizes = tf.reshape(sizes, [-1, num_frames, 2])
    # Frames of one clip that differ in size come from two videos: an error of the client.
    one_size = tf.debugging.Assert(
        tf.reduce_all(sizes == sizes[:, :1]),
        [
            "frames_bytes: the frames of a clip differ in size; send frames of one video. "
            "Heights and widths received:",
            sizes,
        ],
    )
    with tf.control_dependencies([one_size]):
        return tf.reshape(frames, [-1, num_frames, height, width, 3])


def _decode(content, height, width, decode_size):
    head = tf.strings.substr(content, 0, 3)
    is_jpeg = tf.debugging.Assert(
        tf.equal(head, b"\xff\xd8\xff"),
        [
            "frames_bytes: a frame is no JPEG file; send the bytes of JPEG files, one a "
            "frame (in JSON as {'b64': ...}). Bytes received:",
            tf.strings.length(content),
        ],
    )
    with tf.control_dependencies([is_jpeg]):
        shape = tf.io.extract_jpeg_shape(content)
    is_small = tf.debugging.Assert(
        tf.reduce_prod(tf.cast(shape[:2], tf.int64)) <= MAX_PIXELS,
        [f"frames_bytes: a frame has more than {MAX_PIXELS} pixels; shrink it. Shape:"]
        + [shape],
    )
    with tf.control_dependencies([is_small]):
        frame = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
    if isinstance(decode_size, (tuple, list)):
        frame = _resized(frame, tuple(decode_size))
    sides = tf.unstack(tf.shape(frame, tf.int64)[:2])
    top, left, rows, columns = centre_crop_box(sides, (height, width))
    frame = frame[top : top + rows, left : left + columns]
    return _resized(frame, (height, width)), shape[:2]


def _resized(frame, size):
    """As `resize_frames` of data/clips/crops.py, in a graph."""
    resized = tf.round(resize_bilinear(frame[None], size))[0]
    return tf.cast(tf.ensure_shape(resized, (*size, 3)), tf.uint8)
