"""A trained network as one version folder, with warm-up requests, for TensorFlow Serving.

The warm-up records are PredictionLog messages of tensorflow-serving-api. That package is
not needed to write them: the few fields are put together here on the wire format, around
TensorFlow's own TensorProto. A test proves them equal to the package's messages.
"""

import numbers
import os
import re
import shutil
import tempfile

import keras

from h2s_keras.errors import UserError
from h2s_keras.export.exported_file import network_facts
from h2s_keras.export.inference import inference_network
from h2s_keras.export.serving_files import write_description, write_server_files
from h2s_keras.files import (
    follow_umask,
    missing_folders,
    removed_if_unused,
    sync_to_disk,
)

_TEMPORARY = ".exporting-"  # no number, so a server that watches the folder passes it by


def export_saved_model(
    model, directory, classes=None, version=None, top_k=5, batch_sizes=(1, 2, 5)
):
    """Exports a network as `directory/version`, ready for TensorFlow Serving.

    The folder holds the SavedModel with three signatures (`h2s_keras.export.signatures`
    has their table), and in `assets.extra` warm-up requests and `h2s.json` (classes,
    sizes, sha256). Beside the version stand README.md with the commands of server and
    clients, batching.config and models.config. All outputs are float32 or string.

    The version is written under another name and renamed when it is whole on disk, so
    a server that watches `directory` never sees a part of it.

    Args:
        model: built HiddenTwoStream: stacked, branched or two-stream, any backbones,
            trained under any dtype policy or strategy. It is not changed.
        directory: the model's folder, made if missing; its last part is the name of the
            model in the server. It holds one folder a version.
        classes: names in the order of the logits; by default the model's own.
        version: number from 1; by default one more than the highest in `directory`.
        top_k: how many classes `classes` and `scores` give; at most all.
        batch_sizes: ascending sizes that the server rounds batches up to; each is warmed
            up.

    Returns:
        Path of the version folder.

    Raises:
        UserError: the model cannot be exported, has no class names or another number of
            them, the version exists, or the folder cannot be written.

    Example:
        >>> export_saved_model(model, "models/h2s", classes=["jump", "run"])
        'models/h2s/1'
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"a SavedModel is made on the TensorFlow backend, not {keras.backend.backend()}"
            "; save the model as .keras and export it with KERAS_BACKEND=tensorflow"
        )
    import tensorflow as tf

    if tf.distribute.has_strategy():
        raise UserError(
            "export outside of `with strategy.scope():`; call it after the block"
        )
    network, folded = inference_network(model)
    classes = checked_classes(network, classes)
    batch_sizes = _checked_numbers(batch_sizes, top_k)
    directory = os.fspath(directory).rstrip(os.sep) or os.sep
    made = missing_folders(directory)
    _make_folder(directory)
    version = _free_version(directory, version)
    target = os.path.join(directory, str(version))
    try:
        with removed_if_unused(made):
            temporary = tempfile.mkdtemp(prefix=_TEMPORARY, dir=directory)
            try:
                _write(network, classes, top_k, batch_sizes, temporary, version, folded)
                write_server_files(directory, temporary)
                _publish(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise UserError(
            f"{directory}: cannot be written ({' '.join(str(reason).split())}); free some "
            "space or give another folder"
        ) from error
    return target


def checked_classes(network, classes):
    """Class names as a list, one a logit and none twice, or UserError."""
    count = network.num_classes
    if classes is None:
        classes = network.class_names
    if classes is None:
        raise UserError(
            f"this model does not know its class names; pass classes=[...] with {count} "
            "names in the order of the logits"
        )
    if isinstance(classes, (str, bytes)):
        raise UserError(f"classes takes a list of names; received {classes!r}")
    classes = [str(name) for name in classes]
    if len(classes) != count:
        raise UserError(
            f"this model has {count} classes and {len(classes)} names were given; pass one "
            "name a class in the order of the logits"
        )
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice or "" in classes:
        raise UserError(f"class names must differ and not be empty; received {twice or ''}")
    return classes


def _checked_numbers(batch_sizes, top_k):
    if not isinstance(top_k, numbers.Integral) or top_k < 1:
        raise UserError(f"top_k takes a number from 1; received {top_k!r}")
    sizes = list(batch_sizes)
    whole = all(isinstance(size, numbers.Integral) and size >= 1 for size in sizes)
    if not sizes or not whole or sizes != sorted(set(sizes)):
        raise UserError(
            f"batch_sizes takes ascending numbers from 1, as (1, 2, 5); received {sizes}"
        )
    return [int(size) for size in sizes]


def _make_folder(directory):
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise UserError(f"{directory}: is a file; give a folder for the model's versions")
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{directory}: cannot be made ({error.strerror}); give another folder"
        ) from error


def _free_version(directory, version):
    """`version` where it is free, or the next number; a server reads 007 as 7, too."""
    taken = {int(name) for name in os.listdir(directory) if name.isdecimal()}
    if version is None:
        return max(taken, default=0) + 1
    whole = isinstance(version, numbers.Integral) and not isinstance(version, bool)
    if not whole or not 1 <= version < 2**63:
        raise UserError(f"version takes a whole number from 1; received {version!r}")
    if version in taken:
        raise UserError(
            f"{os.path.join(directory, str(version))}: exists already and is not "
            "overwritten, since a server may be reading it; leave version out for the "
            f"next free one ({max(taken) + 1})"
        )
    return int(version)


def _write(network, classes, top_k, batch_sizes, folder, version, folded):
    import tensorflow as tf

    from h2s_keras.export.signatures import build_signatures

    module, signatures = build_signatures(network, classes, top_k)
    tf.saved_model.save(module, folder, signatures=signatures)
    # Both are empty here, but a server and its tools expect to find them.
    os.makedirs(os.path.join(folder, "assets"), exist_ok=True)
    os.makedirs(os.path.join(folder, "assets.extra"), exist_ok=True)
    shape = (network.num_frames, *network.image_size)
    name = os.path.basename(os.path.abspath(os.path.dirname(folder)))
    # It becomes part of an address and of two configuration files.
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", name) or "h2s"
    write_warmup(folder, name, shape, batch_sizes)
    facts = {
        "name": name,
        "model_version": version,
        **network_facts(network, classes),
        "top_k": min(int(top_k), len(classes)),
        "batch_sizes": batch_sizes,
        "streams": ["temporal"] + (["spatial"] if network.spatial is not None else []),
        "branched": network.branched,
        "parameters": sum(int(tf.size(weight)) for weight in module.weights),
        "folded_batch_normalizations": folded,
    }
    write_description(folder, facts, signatures)


def _publish(temporary, target):
    """Gets every byte to disk, then shows the folder under its number at once."""
    for folder, _, names in os.walk(temporary, topdown=False):
        for name in names:
            sync_to_disk(os.path.join(folder, name))
        # mkdtemp makes private folders; a server runs as another user.
        follow_umask(folder, 0o777)
        sync_to_disk(folder)
    if os.path.lexists(target):
        raise UserError(f"{target}: was made by someone else meanwhile; export once more")
    os.rename(temporary, target)
    sync_to_disk(os.path.dirname(target) or ".")


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
        folder: folder of the version.
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
