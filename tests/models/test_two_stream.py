import keras
import numpy as np
import pytest
from checks import to_numpy

from h2s_keras import VideoClassifier
from h2s_keras.errors import UserError
from h2s_keras.models import HiddenTwoStream, HiddenTwoStreamBuilder, MotionNet, load_model
from h2s_keras.models.backbones import build_backbone
from h2s_keras.models.stored_flow import StoredFlowStream

pytestmark = pytest.mark.usefixtures("no_gradients")

FLOWS = {"flow2", "flow3", "flow4"}


def build(classes=5, spatial=True, branched=False, **fusion):
    builder = HiddenTwoStreamBuilder(classes, 3, (32, 32)).motion("tiny")
    builder.temporal("tiny", branched=branched)
    if spatial:
        builder.spatial("tiny")
    return builder.fusion(**fusion).build()


def log_softmax(values):
    values = np.asarray(values, "float64")
    exponentials = np.exp(values)
    return np.log(exponentials / exponentials.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize(("spatial", "temporal"), [(1.0, 1.5), (0.0, 1.0), (2.0, 0.5)])
def test_fusion_is_the_weighted_mean_of_log_probabilities(golden, spatial, temporal):
    model = golden.fill(build(spatial=True))
    model.fusion = (spatial, temporal)
    outputs = model(golden.clips(4, 3, (32, 32)))
    expected = (
        spatial * log_softmax(outputs["spatial_logits"])
        + temporal * log_softmax(outputs["temporal_logits"])
    ) / (spatial + temporal)
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-4)
    # A product of probabilities is not their mean: the weights do matter.
    assert np.abs(expected - log_softmax(outputs["spatial_logits"])).max() > 1e-2


def test_fusion_by_hand():
    model = build(classes=2)
    outputs = {
        "temporal_logits": np.log([[0.8, 0.2]]).astype("float32"),
        "spatial_logits": np.log([[0.1, 0.9]]).astype("float32"),
    }
    expected = (np.log([[0.1, 0.9]]) + 1.5 * np.log([[0.8, 0.2]])) / 2.5
    np.testing.assert_allclose(model.fuse(outputs), expected, rtol=1e-5)
    alone = model.fuse({"temporal_logits": outputs["temporal_logits"] + 7})
    np.testing.assert_allclose(alone, np.log([[0.8, 0.2]]), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"spatial": False}, {"logits", "temporal_logits"}),
        ({"spatial": False, "branched": True}, {"logits", "temporal_logits"}),
        ({}, {"logits", "temporal_logits", "spatial_logits"}),
    ],
)
def test_outputs_of_the_three_forms(golden, options, expected):
    model = build(**options)
    clips = golden.clips(2, 3, (32, 32))
    outputs = model(clips)
    assert set(outputs) == expected | FLOWS
    spec = model.compute_output_spec(keras.KerasTensor(clips.shape, dtype="uint8"))
    assert {k: tuple(v.shape) for k, v in spec.items()} == {
        k: tuple(v.shape) for k, v in outputs.items()
    }
    assert all("float32" in str(value.dtype) for value in outputs.values())
    for name in expected:
        assert tuple(outputs[name].shape) == (2, 5)
    flows = model.motion(clips)
    np.testing.assert_allclose(outputs["flow2"], flows["flow2"], atol=1e-6)


def test_temporal_stream_reads_adapted_flow_and_spatial_the_middle_frame(golden):
    model = golden.fill(build())
    clips = golden.clips(1, 3, (32, 32))
    outputs = model(clips)
    adapted = model.adapter(outputs["flow2"])
    assert tuple(adapted.shape) == (1, 32, 32, 4)
    expected = model.temporal(adapted)
    temporal = to_numpy(outputs["temporal_logits"])
    np.testing.assert_allclose(temporal, to_numpy(expected), atol=1e-4)
    for frame, changes in ((0, False), (1, True), (2, False)):
        other = clips.copy()
        other[:, frame] = 255 - other[:, frame]
        answers = to_numpy(model(other)["spatial_logits"])
        moved = np.abs(answers - to_numpy(outputs["spatial_logits"])).max()
        assert (moved > 1e-3) == changes


def test_only_the_streams_that_are_asked_for_run(golden):
    model, clips = build(), golden.clips(1, 3, (32, 32))
    assert set(model.run_streams(clips, ["motion"])) == FLOWS
    assert set(model.run_streams(clips, ["spatial"])) == {"spatial_logits"}
    assert set(model.run_streams(clips, ["temporal"])) == FLOWS | {"temporal_logits"}
    with pytest.raises(ValueError, match=r"no spatial stream; add .spatial"):
        build(spatial=False).run_streams(clips, ["spatial"])


@pytest.mark.parametrize("options", [{}, {"spatial": False}, {"branched": True}])
def test_keras_file_round_trip(golden, tmp_path, options):
    names = ["jump", "run", "sit"]
    builder = HiddenTwoStreamBuilder(names, 3, (32, 32)).motion("tiny")
    if not options.get("branched"):
        builder.adapter(bound=10.0, levels=256, centre=127.5)
    builder.temporal("tiny", branched=options.get("branched", False))
    if options.get("spatial", True):
        builder.spatial("tiny", preprocessing="torch")
    model = golden.fill(builder.fusion(spatial=2.0, temporal=1.0).build(frame_stride=4))
    path = tmp_path / "model.keras"
    model.save(path)
    again = load_model(path)
    assert isinstance(again, HiddenTwoStream) and isinstance(again.motion, MotionNet)
    assert again.class_names == names and again.frame_stride == 4
    assert again.fusion == (2.0, 1.0) and again.image_size == (32, 32)
    assert again.branched == options.get("branched", False)
    if not again.branched:
        assert again.adapter.get_config()["bound"] == 10.0
        assert again.adapter.levels == 256 and again.adapter.centre == 127.5
    if again.spatial is not None:
        assert again.spatial_preprocessing.mode == "torch"
    clips = golden.clips(2, 3, (32, 32))
    expected, found = model(clips), again(clips)
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("branched", [False, True])
def test_golden_logits(golden, branched):
    name = "two_stream_tiny_branched" if branched else "two_stream_tiny"
    stored = np.load(golden.FOLDER / f"{name}.npz")
    outputs = golden.two_stream(branched)(golden.clips(2, 3, (32, 32)))
    assert set(stored) == {"logits", "temporal_logits", "spatial_logits"}
    for key in stored:
        size = np.abs(stored[key]).max()
        np.testing.assert_allclose(outputs[key], stored[key], atol=2e-3 * size)


def gradients(model, clips, labels):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow's tape")
    with tf.GradientTape() as tape:
        logits = model(clips)["temporal_logits"]
        labels = np.array(labels)
        loss = keras.losses.sparse_categorical_crossentropy(labels, logits, True)
    inside = {variable.path for variable in model.motion.variables}
    variables = [v for v in model.trainable_variables if v.path in inside]
    with_gradient = tape.gradient(loss, [v.value for v in variables])
    return {
        variable.path: 0.0 if gradient is None else float(np.abs(gradient).max())
        for variable, gradient in zip(variables, with_gradient, strict=True)
    }


def test_the_action_loss_reaches_motion_net_only_when_it_is_trainable(golden):
    model, clips = golden.two_stream(), golden.clips(2, 3, (32, 32))
    # Flow must lie within the adapter's bound: clipped flow has no gradient.
    for layer in model.motion.head.flow_convolutions:
        layer.kernel.assign(layer.kernel * 0.01)
    found = gradients(model, clips, [0, 1])
    assert found and all(value > 0 for value in found.values()), found
    assert all(np.isfinite(value) for value in found.values())
    model.motion.trainable = False
    assert gradients(model, clips, [0, 1]) == {}
    assert not model.motion.trainable_variables and model.temporal.trainable_variables


def test_branched_head_does_not_move_the_decoder(golden):
    model = golden.fill(build(branched=True))
    found = gradients(model, golden.clips(2, 3, (32, 32)), [0, 1])
    head = {path for path in found if "flow_head" in path}
    assert head and not any(found[path] for path in head)
    assert all(found[path] > 0 for path in set(found) - head)


def test_class_names_are_needed_to_name_a_class():
    assert build().class_names is None
    with pytest.raises(ValueError, match="no class names"):
        VideoClassifier(build())


def test_a_model_on_stored_flow_reads_no_video():
    temporal = build_backbone("tiny", (32, 32, 4), num_classes=2)
    with pytest.raises(UserError, match="stored flow, not video"):
        VideoClassifier(StoredFlowStream(temporal, class_names=["left", "right"]))
