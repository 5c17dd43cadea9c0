"""Exports load back to the same answers; a stranger's file runs no code."""

import json
import os
import shutil
import warnings

import keras
import numpy as np
import pytest

import h2s_keras
from h2s_keras.errors import UserError
from h2s_keras.export import SavedNetwork


@pytest.fixture
def copy(exported, tmp_path):
    shutil.copytree(exported / "1", tmp_path / "h2s" / "1")
    return tmp_path / "h2s"


def test_a_classifier_from_either_file_says_the_same(two_stream, exported, video, tmp_path):
    two_stream.save(tmp_path / "model.keras")
    path = tmp_path / "model.keras"
    from_keras = h2s_keras.VideoClassifier.from_saved(path, clips_per_video=10)
    for path in (exported, exported / "1", str(exported)):
        classifier = h2s_keras.VideoClassifier.from_saved(path, clips_per_video=10)
        expected = from_keras.scores(video)
        np.testing.assert_allclose(classifier.scores(video), expected, atol=1e-5)
        best = [row["class"] for row in classifier.predict(video, top_k=2)]
        assert best == [row["class"] for row in from_keras.predict(video, top_k=2)]


def test_the_highest_version_is_taken(copy):
    shutil.copytree(copy / "1", copy / "10")
    shutil.copytree(copy / "1", copy / "9")
    assert SavedNetwork(copy).path == str(copy / "10")


def test_a_damaged_or_foreign_folder_is_reported(copy, tmp_path):
    with pytest.raises(UserError, match="holds no SavedModel"):
        SavedNetwork(tmp_path)
    with pytest.raises(UserError, match="no such model file"):
        h2s_keras.VideoClassifier.from_saved(tmp_path)
    weights = copy / "1" / "variables" / "variables.data-00000-of-00001"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match="data-00000-of-00001: is not what was exported"):
        SavedNetwork(copy)
    (copy / "1" / "assets.extra" / "h2s.json").write_text("{")
    with pytest.raises(UserError, match="h2s.json: is damaged"):
        SavedNetwork(copy)
    (copy / "1" / "assets.extra" / "h2s.json").unlink()
    with pytest.raises(UserError, match="was not exported by h2s_keras"):
        SavedNetwork(copy)


# === Hostile files ===


def disguise(folder, export):
    """Gives a SavedModel the h2s.json of an export, with sha256 that fit."""
    from h2s_keras.export.serving_files import file_digests

    facts = json.loads((export / "1" / "assets.extra" / "h2s.json").read_text())
    facts["sha256"] = file_digests(str(folder))
    os.makedirs(folder / "assets.extra")
    (folder / "assets.extra" / "h2s.json").write_text(json.dumps(facts))


def hostile_module(kind, victim):
    import tensorflow as tf

    def body(clips):
        if kind == "writes a file":
            tf.io.write_file(str(victim), "was here")
        elif kind == "reads a file":
            return {"logits": tf.strings.length(tf.io.read_file(str(victim)))}
        elif kind == "calls Python":
            tf.numpy_function(lambda: victim.write_text("x"), [], [])
        elif kind == "writes in a loop":
            for _ in tf.range(tf.shape(clips)[0]):
                tf.io.write_file(str(victim), "was here")
        elif kind == "saves a checkpoint":
            tf.raw_ops.SaveV2(
                prefix=str(victim),
                tensor_names=["a"],
                shape_and_slices=[""],
                tensors=[tf.zeros(1)],
            )
        return {"logits": tf.reduce_sum(tf.cast(clips, tf.float32))}

    module = tf.Module()
    if kind == "fills a table when loaded":
        module.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(victim), tf.string, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
            ),
            -1,
        )
    spec = tf.TensorSpec((None, 3, 32, 32, 3), tf.uint8, name="clips")
    return module, tf.function(body, input_signature=[spec])


@pytest.mark.parametrize(
    "kind",
    [
        "writes a file",
        "reads a file",
        "calls Python",
        "writes in a loop",
        "saves a checkpoint",
        "fills a table when loaded",
    ],
)
def test_a_hostile_saved_model_is_refused_unloaded(exported, tmp_path, kind):
    import tensorflow as tf

    victim = tmp_path / "victim"
    if "read" in kind or "table" in kind:
        victim.write_text("secret\n")
    module, body = hostile_module(kind, victim)
    folder = tmp_path / "hostile"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": body})
    disguise(folder, exported)
    with pytest.raises(UserError, match="it is not loaded"):
        SavedNetwork(folder)
    assert not victim.exists() or victim.read_text() == "secret\n"


def test_a_saved_model_without_its_object_graph_is_refused(copy, exported):
    """TensorFlow would load it the old way, which runs operations of the graph."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = copy / "1" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved.meta_graphs[0].ClearField("object_graph_def")
    path.write_bytes(saved.SerializeToString())
    shutil.rmtree(copy / "1" / "assets.extra")
    disguise(copy / "1", exported)
    with pytest.raises(UserError, match="not laid out as an export"):
        SavedNetwork(copy)


def test_a_hostile_keras_file_runs_nothing(tmp_path):
    victim = tmp_path / "victim"
    target = str(victim)
    inputs = keras.Input((4,))
    outputs = keras.layers.Lambda(lambda x, name=target: (open(name, "w"), x)[1])(inputs)
    hostile = tmp_path / "hostile.keras"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.Model(inputs, outputs).save(hostile)
    victim.unlink(missing_ok=True)
    with pytest.raises(UserError, match="hostile.keras: cannot be loaded"):
        h2s_keras.VideoClassifier.from_saved(hostile)
    assert not victim.exists()


def test_a_pickle_under_the_name_of_a_model_runs_nothing(tmp_path):
    import pickle

    victim = tmp_path / "victim"

    class Bomb:
        def __reduce__(self):
            return (open, (str(victim), "w"))

    for name in ("model.keras", "weights.h5"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(UserError, match="cannot be loaded"):
            h2s_keras.VideoClassifier.from_saved(tmp_path / name)
    assert not victim.exists()


def test_the_library_holds_no_pickle_and_no_way_around_safe_mode():
    root = os.path.dirname(h2s_keras.__file__)
    for folder, _, names in os.walk(root):
        for name in names:
            if not name.endswith(".py"):
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text = file.read()
            for word in (
                *(
                    "import pickle",
                    "import marshal",
                    "allow_pickle=True",
                    "safe_mode=False",
                ),
                *("enable_unsafe_deserialization", "layers.Lambda("),
            ):
                assert word not in text, f"{name} has {word}"
