"""Warm-up requests: TensorFlow Serving replays them before a version takes traffic.

The records are PredictionLog messages of tensorflow-serving-api. That package is not
needed to write them: the few fields are put together here on the wire format, around
TensorFlow's own TensorProto. A test proves them equal to the package's messages.
"""

import os

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")

# Field numbers of tensorflow_serving/apis: prediction_log, predict and model .proto.
_LOG_PREDICT, _PREDICT_REQUEST = 6, 1
_REQUEST_SPEC, _REQUEST_INPUTS = 1, 2
_SPEC_NAME, _SPEC_SIGNATURE = 1, 3
_MAP_KEY, _MAP_VALUE = 1, 2


def predict_request(model, signature, inputs):
    """Serialised PredictRequest.

    Args:
        model: name of the model in the server.
        signature: name of the signature.
        inputs: dict of input name -> TensorProto.

    Returns:
        bytes, as `tensorflow_serving.apis.predict_pb2.PredictRequest` writes them.

    Example:
        >>> predict_request("h2s", "motion", {"clips": tf.make_tensor_proto(clips)})
    """
    spec = _field(_SPEC_NAME, model.encode()) + _field(_SPEC_SIGNATURE, signature.encode())
    message = _field(_REQUEST_SPEC, spec)
    for name, tensor in sorted(inputs.items()):
        entry = _field(_MAP_KEY, name.encode())
        entry += _field(_MAP_VALUE, tensor.SerializeToString())
        message += _field(_REQUEST_INPUTS, entry)
    return message


def prediction_log(request):
    """Serialised PredictionLog around the bytes of a PredictRequest."""
    return _field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request))


def write_warmup(folder, model, clip_size, batch_sizes):
    """Writes one request a signature and batch size into a version folder.

    The tensors hold one value, which readers of a TensorProto repeat to its shape, so the
    file stays small at any size of clip.

    Args:
        folder: of the version.
        model: name of the model in the server.
        clip_size: (num_frames, height, width).
        batch_sizes: sizes of the batches.

    Returns:
        Path of the TFRecord file.
    """
    import tensorflow as tf

    frames, height, width = clip_size
    grey = tf.fill((height, width, 3), tf.constant(128, tf.uint8))
    frame = tf.io.encode_jpeg(grey).numpy()
    path = os.path.join(folder, WARMUP_FILE)
    with tf.io.TFRecordWriter(path) as writer:
        for batch in batch_sizes:
            clips = _repeated(tf.uint8, (batch, frames, height, width, 3), int_val=[128])
            strings = _repeated(tf.string, (batch, frames), string_val=[frame])
            for signature, inputs in (
                ("serving_default", {"clips": clips}),
                ("predict_jpeg", {"frames_bytes": strings}),
                ("motion", {"clips": clips}),
            ):
                writer.write(prediction_log(predict_request(model, signature, inputs)))
    return path


def _repeated(dtype, shape, **values):
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    return tensor_pb2.TensorProto(
        dtype=dtype.as_datatype_enum,
        tensor_shape=tf.TensorShape(shape).as_proto(),
        **values,
    )


def _field(number, content):
    """A length-delimited field: key, length, content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
