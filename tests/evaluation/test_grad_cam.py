import keras
import numpy as np
import pytest
from keras import ops

from h2s_keras.evaluation.grad_cam import grad_cam, gradient, heat_overlay
from h2s_keras.evaluation.recognition_results import recognition_results
from h2s_keras.evaluation.report_pages import example_rows, write_recognition_report
from h2s_keras.evaluation.scores import VideoScores
from h2s_keras.training.run_report import write_run_report

CLIPS = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32, 3)).astype("uint8")


def test_maps_of_both_streams(network):
    maps = grad_cam(network, CLIPS)
    assert set(maps) == {"temporal", "spatial"}
    for heat in maps.values():
        assert heat.shape == (2, 32, 32) and heat.dtype == np.float32
        assert heat.min() >= 0 and heat.max() == pytest.approx(1)
    best = network.predict_on_batch(CLIPS)["logits"].argmax(axis=1)
    same, other = grad_cam(network, CLIPS, best), grad_cam(network, CLIPS, 1 - best)
    np.testing.assert_allclose(maps["spatial"], same["spatial"], atol=1e-5)
    assert np.abs(maps["spatial"] - other["spatial"]).max() > 0.1


def test_against_finite_differences(network):
    """The weights of the map are the mean slope of the logit by each channel."""
    frame = network.spatial_preprocessing(ops.convert_to_tensor(CLIPS[:1, 1]))
    layer = network.spatial.get_layer("conv4")
    body = keras.Model(network.spatial.inputs, layer.output)
    value = ops.convert_to_numpy(body(frame))
    head = keras.Model(layer.output, network.spatial.output)
    places = value.shape[1] * value.shape[2]
    step, slopes = 1.0, []
    for channel in range(value.shape[-1]):
        up, down = value.copy(), value.copy()
        up[..., channel] += step
        down[..., channel] -= step
        difference = head(up)[0, 1] - head(down)[0, 1]
        slopes.append(float(difference) / (2 * step) / places)
    heat = np.maximum((value[0] * np.array(slopes)).sum(axis=-1), 0)
    expected = ops.convert_to_numpy(
        ops.image.resize(heat[..., None].astype("float32"), (32, 32))
    )[..., 0]
    found = grad_cam(network, CLIPS[:1], [1])["spatial"][0]
    np.testing.assert_allclose(found, expected / expected.max(), atol=2e-3)


def pooled_by_hand(inputs, kernel, name):
    """A backbone of one convolution, 2D or 3D, as a model of its own."""
    layer = keras.layers.Conv3D if len(inputs) == 4 else keras.layers.Conv2D
    images = keras.Input(inputs, name="images")
    hidden = layer(4, kernel, padding="same", activation="relu", name=name)(images)
    return keras.Model(images, hidden)


@pytest.mark.parametrize("shape", [(32, 32, 3), (3, 32, 32, 3)])
def test_a_backbone_inside_the_stream_and_one_over_time(shape):
    """Of a linear head over a mean the map is known: the head's weights."""
    from h2s_keras.models import HiddenTwoStreamBuilder

    builder = HiddenTwoStreamBuilder(2, 3, (32, 32)).motion("tiny").temporal("tiny")
    backbone = pooled_by_hand(shape, 3, "only")
    model = builder.spatial(backbone, preprocessing="unit").build()
    # All for the class, so that no draw of weights leaves a map empty.
    kernel = model.spatial.get_layer("logits").kernel
    kernel.assign(ops.abs(kernel))
    found = grad_cam(model, CLIPS, [1, 0])["spatial"]
    maps = ops.convert_to_numpy(backbone(model.spatial_images(CLIPS)))
    weights = ops.convert_to_numpy(model.spatial.get_layer("logits").kernel).T[[1, 0]]
    heat = np.maximum(np.einsum("b...c,bc->b...", maps, weights), 0)
    heat = heat.mean(axis=1) if heat.ndim == 4 else heat
    assert (heat.max(axis=(1, 2)) > 0).all()
    expected = heat / heat.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_gradient():
    values = np.array([1.0, -2.0, 3.0])
    found = gradient(lambda tensor: ops.sum(tensor**3), values)
    np.testing.assert_allclose(found, 3 * values**2, rtol=1e-6)


@pytest.mark.parametrize(
    "motion, head, options",
    [
        ("tiny", "tiny", {}),
        # Of pairs of frames, as the models of the recipe `videos` are.
        ("small_video", "small", {}),
        ("tiny", "tiny", {"branched": True}),
        ("tiny", "vgg16", {"branched": True}),
    ],
)
def test_model_without_a_spatial_stream_has_one_map(motion, head, options):
    from h2s_keras.models import HiddenTwoStreamBuilder

    builder = HiddenTwoStreamBuilder(2, 3, (32, 32)).motion(motion)
    maps = grad_cam(builder.temporal(head, **options).build(), CLIPS)
    assert set(maps) == {"temporal"} and maps["temporal"].shape == (2, 32, 32)


def test_overlay():
    picture = np.full((2, 2, 3), 100, "uint8")
    found = heat_overlay(picture, np.array([[0.0, 1.0], [0.0, 0.0]]))
    assert found[0, 0].tolist() == [100, 100, 100]
    assert found[0, 1, 0] > 190 and found[0, 1, 2] < 50
    assert picture.max() == 100


@pytest.fixture
def scores():
    """Videos 0 and 1 of class 0 are taken for 1, 1 more surely; of class 1, 3 is best."""
    logits = np.array([[0, 1], [0, 3], [0, 1], [0, 2], [0, 1]], "float32")
    names = [f"v{row}.mp4" for row in range(5)]
    labels = np.array([0, 0, 1, 1, 1])
    return VideoScores({"fused": logits}, names, labels, ("left", "right"))


class Clips:
    def __init__(self):
        self.read = []

    def __call__(self, row):
        self.read.append(row)
        return CLIPS[row % 2]


def test_the_report_shows_confused_pairs_side_by_side(scores, network, tmp_path):
    assert example_rows(scores, 0, 1) == (1, 3)
    # No video of class 0 is right, so there is nothing to lay beside.
    assert example_rows(scores, 1, 0) is None
    path, clips = tmp_path / "report.html", Clips()
    results = recognition_results(scores)
    write_recognition_report(path, results, scores, network, clips)
    text = path.read_text("utf-8")
    assert clips.read[:3] == [1, 3, 1]
    assert text.index("side by side") < text.index("Worst clips")
    assert "v1.mp4, which is left and taken for right; below v3.mp4" in text


def test_so_does_the_report_of_a_training(scores, network, tmp_path):
    path, clips = tmp_path / "report.html", Clips()
    results = {"name": "videos", "test": "five videos", "advice": []}
    write_run_report(path, results, scores, {}, network, clips)
    text = path.read_text("utf-8")
    assert clips.read == [1, 3]
    assert "v1.mp4, which is left and taken for right; below v3.mp4" in text
    # The pair and the key of its colours, which are drawings of no chart.
    assert text.count("<img") == 2
    write_run_report(path, results, scores, {})
    assert "side by side" not in path.read_text("utf-8")
