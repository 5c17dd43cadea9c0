"""The version folder: what is in it, how it appears, and what is refused."""

import hashlib
import json
import os
import threading
import warnings

import keras
import numpy as np
import pytest

from h2s_keras.errors import ServerFilesWarning, UserError
from h2s_keras.export import export_saved_model, saved_network
from h2s_keras.export import saved_model as saved_model_module


def served(path):
    import tensorflow as tf

    return tf.saved_model.load(str(path)).signatures


def integer_folders(directory):
    return sorted(name for name in os.listdir(directory) if name.isdecimal())


def operations(path):
    """Every operation of a SavedModel but those that save and restore variables."""
    from tensorflow.core.protobuf import saved_model_pb2

    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        graph = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0].graph_def
    return {
        (function.signature.name, node.name, node.op)
        for function in graph.library.function
        if not function.signature.name.startswith("__inference__traced_")
        for node in function.node_def
    }


def assert_equal_answers(model, path, clips):
    signatures = served(path)
    outputs = model.predict_on_batch(clips)
    actual = signatures["serving_default"](clips=clips)
    np.testing.assert_allclose(actual["logits"], outputs["logits"], rtol=1e-5, atol=1e-5)
    flow = signatures["motion"](clips=clips)["flow"]
    expected = np.transpose(outputs["flow2"], (0, 2, 3, 1, 4)) * 2
    np.testing.assert_allclose(flow, expected, rtol=1e-5, atol=1e-5)
    assert all(value.dtype.name in ("float32", "string") for value in actual.values())


# === What is in it ===


def test_files_and_facts(exported):
    version = exported / "1"
    assert {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"} == {
        path.name for path in version.iterdir()
    }
    assert {path.name for path in exported.iterdir()} == {
        *("1", "README.md", "batching.config", "models.config")
    }
    facts = json.loads((version / "assets.extra" / "h2s.json").read_text(encoding="utf-8"))
    assert facts["classes"] == ["jump", "run", "spin around", "ärgern"]
    assert (facts["model_version"], facts["num_frames"], facts["top_k"]) == (1, 3, 3)
    motion = facts["signatures"]["motion"]
    assert motion["inputs"] == {"clips": {"dtype": "uint8", "shape": [None, 3, 32, 32, 3]}}
    assert motion["outputs"]["flow"] == {"dtype": "float32", "shape": [None, 16, 16, 2, 2]}
    for name, digest in facts["sha256"].items():
        assert hashlib.sha256((version / name).read_bytes()).hexdigest() == digest
    assert "variables/variables.data-00000-of-00001" in facts["sha256"]


def test_another_user_can_read_it(exported):
    for folder, _, names in os.walk(exported):
        assert os.stat(folder).st_mode & 0o055 == 0o055
        assert all(os.stat(os.path.join(folder, n)).st_mode & 0o044 == 0o044 for n in names)


def test_only_inference_is_in_the_graph(exported, two_stream):
    names = operations(exported / "1")
    kinds = {kind for _, _, kind in names}
    forbidden = ("Random", "Dropout", "Resource", "Apply", "Grad", "GatherNd", "Assign")
    found = {kind for kind in kinds if any(word in kind for word in forbidden)}
    assert not found
    words = ("dropout", "warp", "loss", "optimizer", "adam", "momentum", "gradient")
    found = {name for _, name, _ in names if any(word in name.lower() for word in words)}
    assert not found
    assert {"Conv2D", "Conv2DBackpropInput", "DecodeJpeg"} <= kinds
    # Deconvolutions are the one gradient kernel; the labels' gather the one gather.
    gathers = {(function, name) for function, name, kind in names if "Gather" in kind}
    assert len(gathers) == 2, "one in serving_default, one in predict_jpeg"


def test_weights_are_stored_once(exported, two_stream):
    import tensorflow as tf

    stored = tf.train.list_variables(str(exported / "1" / "variables" / "variables"))
    counts = [int(np.prod(shape)) for name, shape in stored if "OBJECT_GRAPH" not in name]
    variables = [name for name, _ in stored if name.startswith("weights/")]
    assert len(variables) == len(two_stream.weights) - count_seeds(two_stream)
    parameters = sum(
        int(np.prod(w.shape)) for w in two_stream.weights if "seed" not in w.path
    )
    assert sum(counts) - 1 <= parameters + 1  # and the counter of the checkpoint
    assert (exported / "1" / "saved_model.pb").stat().st_size < 1_000_000


def count_seeds(model):
    return sum("seed" in weight.path for weight in model.weights)


def test_top_k_is_sorted_and_cut(build, clips_of, tmp_path):
    model = build(spatial=None)
    path = export_saved_model(model, tmp_path / "m", classes=list("wxyz"), top_k=99)
    outputs = served(path)["serving_default"](clips=clips_of(3))
    scores = outputs["scores"].numpy()
    assert scores.shape == (3, 4) and (np.diff(scores, axis=1) <= 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-6)
    best = outputs["probabilities"].numpy().argmax(axis=1)
    assert [row[0].decode() for row in outputs["classes"].numpy()] == [
        "wxyz"[index] for index in best
    ]


# === From any model ===


@pytest.mark.parametrize(
    "options",
    [
        {"spatial": None},
        {"spatial": None, "branched": True},
        {"branched": True},
        {"spatial": 1.0},
    ],
    ids=["stacked", "branched", "branched two-stream", "fusion weights"],
)
def test_every_kind_of_network(build, clips_of, tmp_path, options):
    options = dict(options)
    if options.get("spatial") == 1.0:
        options = {"fusion": None}
        model = build(**{"spatial": "tiny"})
        model.fusion = (0.25, 2.0)
    else:
        model = build(**options)
    assert_equal_answers(model, export_saved_model(model, tmp_path / "m"), clips_of(2))


def test_the_branched_network_leaves_its_decoder_out(build, tmp_path):
    path = export_saved_model(build(spatial=None, branched=True), tmp_path / "m")
    by_function = {}
    for function, _, kind in operations(path):
        by_function.setdefault(function.rsplit("_", 1)[0], set()).add(kind)
    assert "Conv2DBackpropInput" in by_function["__inference_motion"]
    assert "Conv2DBackpropInput" not in by_function["__inference_serving_default"]


def custom_backbone(channels):
    inputs = keras.Input((32, 32, channels))
    hidden = keras.layers.Conv2D(8, 3, strides=2, use_bias=False)(inputs)
    hidden = keras.layers.BatchNormalization()(hidden)
    hidden = keras.layers.Activation("relu")(hidden)
    hidden = keras.layers.DepthwiseConv2D(3, use_bias=False)(hidden)
    hidden = keras.layers.BatchNormalization(scale=False)(hidden)
    hidden = keras.layers.Dropout(0.5)(hidden)
    return keras.Model(inputs, hidden)


def test_custom_backbones_are_folded_and_stay_as_they_were(build, clips_of, tmp_path):
    model = build(temporal=custom_backbone(4), spatial=custom_backbone(3))
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if "batch_normalization" in weight.path:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    before = [np.array(value) for value in model.get_weights()]
    path = export_saved_model(model, tmp_path / "m")
    with open(os.path.join(path, "assets.extra", "h2s.json")) as file:
        assert json.load(file)["folded_batch_normalizations"] == 4
    assert "Rsqrt" not in {kind for _, _, kind in operations(path)}
    assert_equal_answers(model, path, clips_of(2))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_exported_in_float32(build, clips_of, tmp_path, policy):
    plain = build(temporal=custom_backbone(4), spatial=custom_backbone(3))
    # As in the process that trained: the policy is still that of all new layers.
    keras.config.set_dtype_policy(policy)
    model = build(temporal=custom_backbone(4), spatial=custom_backbone(3))
    model.set_weights(plain.get_weights())
    path = export_saved_model(model, tmp_path / "m")
    # It answers as the float32 network with the same weights does.
    assert_equal_answers(plain, path, clips_of(2))
    attributes = str(served(path)["serving_default"].graph.as_graph_def())
    assert "DT_HALF" not in attributes and "DT_BFLOAT16" not in attributes


def test_mirrored_variables_become_plain_ones(build, clips_of, tmp_path):
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        model = build()
        with pytest.raises(UserError, match="outside of"):
            export_saved_model(model, tmp_path / "m")
    assert isinstance(model.weights[0].value, tf.distribute.DistributedValues)
    path = export_saved_model(model, tmp_path / "m")
    assert_equal_answers(build(), path, clips_of(2))


@pytest.mark.long
def test_a_compiled_and_trained_network_leaves_its_optimizer_behind(
    build, clips_of, tmp_path
):
    from h2s_keras.training import StageModel

    model = build()
    stage = StageModel(model, streams=["temporal", "spatial"])
    stage.compile(keras.optimizers.Adam(1e-4, use_ema=True))
    stage.fit(clips_of(4), np.arange(4), batch_size=2, verbose=0)
    path = export_saved_model(model, tmp_path / "m")
    assert_equal_answers(model, path, clips_of(2))
    with pytest.raises(UserError, match="StageModel"):
        export_saved_model(stage, tmp_path / "m")


# === How it appears ===


def test_versions_count_up_and_none_is_overwritten(build, tmp_path):
    model, directory = build(spatial=None), tmp_path / "m"
    assert export_saved_model(model, directory, version=7) == str(directory / "7")
    before = {p: p.stat().st_mtime_ns for p in (directory / "7").rglob("*")}
    with pytest.raises(UserError, match=r"m/7: exists already .*\(8\)"):
        export_saved_model(model, directory, version=7)
    assert before == {p: p.stat().st_mtime_ns for p in (directory / "7").rglob("*")}
    (directory / "009").mkdir()  # a server reads it as 9
    with pytest.raises(UserError, match="exists already"):
        export_saved_model(model, directory, version=9)
    (directory / "batching.config").write_text("tuned by hand")
    assert export_saved_model(model, directory).endswith("10")
    assert (directory / "batching.config").read_text() == "tuned by hand"
    assert "Version 10," in (directory / "README.md").read_text()


def test_a_kept_configuration_that_does_not_fit_is_reported(build, tmp_path):
    network, directory = build(spatial=None), tmp_path / "models"
    export_saved_model(network, directory, batch_sizes=(1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ServerFilesWarning)
        export_saved_model(network, directory, batch_sizes=(1, 2))
    moved = directory.rename(tmp_path / "gestures")
    with pytest.warns(ServerFilesWarning) as told:
        export_saved_model(network, moved, batch_sizes=(1, 4))
    texts = [str(one.message) for one in told]
    assert any("batching.config: is kept" in t and "_sizes: 4" in t for t in texts)
    assert any("models.config" in t and "base_path: /models/gestures" in t for t in texts)


def test_a_server_that_watches_sees_whole_versions_only(build, tmp_path):
    model, directory = build(spatial=None), tmp_path / "m"
    directory.mkdir()
    seen, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            for name in integer_folders(directory):
                if name not in [one for one, _ in seen]:
                    facts = saved_network._description(str(directory / name))
                    warm = directory / name / "assets.extra" / "tf_serving_warmup_requests"
                    seen.append((name, len(facts["sha256"]) >= 3 and warm.exists()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        export_saved_model(model, directory)
        export_saved_model(model, directory)
    finally:
        stop.wait(0.2)
        stop.set()
        watcher.join()
    assert seen == [("1", True), ("2", True)]


def test_a_killed_export_shows_no_version(build, script, tmp_path):
    model, directory = build(spatial=None), tmp_path / "m"
    model.save(tmp_path / "model.keras")
    done = script("kill_export.py", tmp_path / "model.keras", directory, check=False)
    assert done.returncode == -9, done.stderr
    assert integer_folders(directory) == []
    (left,) = (name for name in os.listdir(directory) if name.startswith("."))
    assert os.path.exists(directory / left / "saved_model.pb"), "killed after writing it"
    assert export_saved_model(model, directory) == str(directory / "1")


def test_a_failed_export_leaves_nothing(build, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved_model_module, "_publish", full)
    with pytest.raises(UserError, match="No space left"):
        export_saved_model(build(spatial=None), tmp_path / "m")
    assert not [n for n in os.listdir(tmp_path / "m") if n.startswith(".") or n.isdecimal()]


# === What is refused ===


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["a", "b"]}, "has 4 classes and 2 names"),
        ({"classes": ["a", "a", "b", "c"]}, "must differ"),
        ({"classes": "abcd"}, "takes a list"),
        ({"version": 0}, "from 1"),
        ({"version": "1"}, "whole number"),
        ({"version": True}, "whole number"),
        ({"top_k": 0}, "top_k takes"),
        ({"batch_sizes": (2, 1)}, "ascending"),
        ({"batch_sizes": ()}, "ascending"),
        ({"batch_sizes": (1, 2.5)}, "ascending"),
    ],
)
def test_wrong_arguments(two_stream, tmp_path, options, words):
    with pytest.raises(UserError, match=words):
        export_saved_model(two_stream, tmp_path / "m", **options)
    assert not (tmp_path / "m").exists() or not os.listdir(tmp_path / "m")


def test_a_network_without_names_needs_them(build, tmp_path):
    model = build(spatial=None, classes=4)
    with pytest.raises(UserError, match="pass classes="):
        export_saved_model(model, tmp_path / "m")
    assert export_saved_model(model, tmp_path / "m", classes=["a", "b", "c", "d"])


def test_other_things_cannot_be_exported(two_stream, tmp_path):
    with pytest.raises(UserError, match="MotionNet cannot be exported"):
        export_saved_model(two_stream.motion, tmp_path / "m")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        export_saved_model(two_stream, tmp_path / "file")
