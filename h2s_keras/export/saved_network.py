"""An exported SavedModel as a network for `VideoClassifier`."""

import os
import re

import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.export.exported_file import read_facts, set_facts
from h2s_keras.export.serving_files import DESCRIPTION_FILE, file_digests
from h2s_keras.ops.clip_range import warn_unit_range

# Operations with state that an export needs; any other one could touch files, sockets
# or Python. Save and Restore stand in functions that only the loader itself calls.
_ALLOWED_STATEFUL = {
    "Assert",
    "AssignVariableOp",
    "DisableCopyOnRead",
    "If",
    "Placeholder",
    "ReadVariableOp",
    "StatefulPartitionedCall",
    "VarHandleOp",
    "While",
}
_CHECKPOINT = ("__inference__traced_save_", "__inference__traced_restore_")
_CHECKPOINT_OPS = {"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"}
_ALLOWED_OBJECTS = {"user_object", "variable", "bare_concrete_function"}
_ALLOWED_IDENTIFIERS = {"_generic_user_object", "signature_map", "trackable_list_wrapper"}
# TensorFlow calls these free of state, though they read files, call out or end the process.
_FORBIDDEN = re.compile(
    "Py|File|Dataset|Reader|Iterator|Summary|Debug|Table|Vocab|Immutable|Queue|Barrier|"
    "Send|Recv|Host|Remote|Custom|Mlir|Xla|TPU|Abort"
)


class SavedNetwork:
    """A network loaded from what `export_saved_model` wrote.

    Before TensorFlow loads it, the files are compared with their sha256 and the graph is
    searched: one that could touch files, the network or Python is refused.

    Args:
        path: a version folder, or the folder of versions, whose highest is taken.

    Attributes:
        class_names, num_frames, image_size, frame_stride, frame_rate, test_protocol: as
            of HiddenTwoStream.

    Raises:
        UserError: no export of this library, damaged, or not safe to load.

    Example:
        >>> network = SavedNetwork("models/served")
        >>> network.predict_on_batch(clips)["probabilities"].shape
        (4, 2)
    """

    def __init__(self, path):
        folder = find_version(path)
        if folder is None:
            raise UserError(
                f"{path}: holds no SavedModel; give the folder that `h2s export` wrote"
            )
        facts = _description(folder)
        check_graph(os.path.join(folder, "saved_model.pb"))
        import tensorflow as tf

        try:
            self._loaded = tf.saved_model.load(folder)
            self._serve = self._loaded.signatures["serving_default"]
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{folder}: cannot be loaded ({reason}); export again") from (
                error
            )
        self.path = folder
        set_facts(self, facts)

    def predict_on_batch(self, clips):
        """Answers of `serving_default`.

        Args:
            clips: uint8 (batch, num_frames, height, width, 3), RGB.

        Returns:
            dict of NumPy arrays "logits", "probabilities", "classes", "scores".
        """
        import tensorflow as tf

        warn_unit_range(clips, f"{type(self).__name__}.predict_on_batch")
        outputs = self._serve(clips=tf.constant(np.asarray(clips, "uint8")))
        return {name: value.numpy() for name, value in outputs.items()}


def find_version(path):
    """The SavedModel folder at `path` or its highest version, or None."""
    path = os.fspath(path)
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        return path
    names = os.listdir(path) if os.path.isdir(path) else []
    versions = [
        name
        for name in names
        if name.isdecimal() and os.path.isfile(os.path.join(path, name, "saved_model.pb"))
    ]
    return os.path.join(path, max(versions, key=int)) if versions else None


def _description(folder):
    facts, expected, actual = read_facts(
        os.path.join(folder, DESCRIPTION_FILE),
        lambda: file_digests(folder),
        ", so this SavedModel was not exported by h2s_keras; give the folder that `h2s "
        "export` wrote",
    )
    for name in sorted({*expected, *actual}):
        if expected.get(name) != actual.get(name):
            raise UserError(
                f"{os.path.join(folder, name)}: is not what was exported (its sha256 "
                f"differs from {DESCRIPTION_FILE}); copy or export it again"
            )
    return facts


def check_graph(path):
    """Refuses a saved_model.pb that could do more than compute.

    Loading and running a SavedModel runs its operations, and TensorFlow has some that
    write files or call Python.

    Args:
        path: path of a saved_model.pb.

    Raises:
        UserError: unreadable, or with operations or objects that no export here has.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        with open(path, "rb") as file:
            saved = saved_model_pb2.SavedModel.FromString(file.read())
    except (OSError, DecodeError) as error:
        raise UserError(f"{path}: cannot be read as a SavedModel ({error})") from error
    # Without its object graph TensorFlow would load it the old way and run the graph.
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].object_graph_def.nodes:
        raise UserError(f"{path}: is not laid out as an export of h2s_keras; not loaded")
    graph = saved.meta_graphs[0]
    for name, nodes in [
        ("", graph.graph_def.node),
        *((f.signature.name, f.node_def) for f in graph.graph_def.library.function),
    ]:
        found = _unsafe_operation(name, nodes)
        if found:
            raise UserError(
                f"{path}: has the operation {found}, which no export of h2s_keras has and "
                "which could run code or touch files; it is not loaded"
            )
    for node in graph.object_graph_def.nodes:
        found = _unsafe_object(node)
        if found:
            raise UserError(
                f"{path}: holds {found}, which no export of h2s_keras has and which could "
                "run code; it is not loaded"
            )


def _unsafe_operation(function, nodes):
    """Name of an operation in the body of `function` ("" is the graph) that may not be."""
    from tensorflow.python.framework import op_def_registry

    is_checkpoint = function.startswith(_CHECKPOINT)
    allowed = _ALLOWED_STATEFUL | (_CHECKPOINT_OPS if is_checkpoint else set())
    for node in nodes:
        definition = op_def_registry.get(node.op)
        pure = definition is not None and not definition.is_stateful
        if not (node.op in allowed or pure and not _FORBIDDEN.search(node.op)):
            return node.op
        if function and _calls_checkpoint(node):
            return f"{node.op} to a function that reads or writes files"
    return None


def _unsafe_object(node):
    kind = node.WhichOneof("kind")
    if kind not in _ALLOWED_OBJECTS:
        return f"an object of the kind {kind}"
    identifier = node.user_object.identifier
    if kind == "user_object" and identifier not in _ALLOWED_IDENTIFIERS:
        return f"an object of the type {identifier}"
    if node.saveable_objects or node.registered_name or node.registered_saver:
        return "an object that is restored by functions of its own"
    name = node.bare_concrete_function.concrete_function_name
    return f"the function {name}" if name.startswith(_CHECKPOINT) else None


def _calls_checkpoint(node):
    return any(
        name.startswith(_CHECKPOINT)
        for value in node.attr.values()
        for name in [value.func.name, *(function.name for function in value.list.func)]
    )
