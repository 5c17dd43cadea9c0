"""BN-Inception (TSN) from Caffe files that tests/caffe_inception.py wrote and computed."""

import types

import caffe_forward
import caffe_inception
import caffe_writer as caffe
import numpy as np
import pytest
from checks import to_numpy

from h2s_keras.errors import UserError
from h2s_keras.models import (
    HiddenTwoStreamBuilder,
    MotionNet,
    build_backbone,
    load_caffe_weights,
    load_model,
)

SIZE, CLASSES, FRAMES = 64, 5, 3
MEAN = np.array((104.0, 117.0, 123.0))  # BGR
# What real files combine: the release, and a copy in stock Caffe with plain names.
FORMS = {
    "BN": {"form": "BN"},
    "stock": {"form": "stock", "separator": "_", "last": "fc_action"},
}


def made(channels, seed, **options):
    """A network, an input of the kind that it reads, its weights and its logits."""
    net = caffe_inception.bn_inception(channels, SIZE, CLASSES, **options)
    data = np.random.default_rng(seed).normal(0, 50, (channels, SIZE, SIZE))
    weights = caffe_inception.random_weights(net, data, seed)
    logits = caffe_forward.forward(net, weights, data)[net[-1].top]
    return types.SimpleNamespace(net=net, weights=weights, data=data, logits=logits)


@pytest.fixture(scope="module", params=FORMS)
def rgb(request):
    return made(3, 1, **FORMS[request.param])


@pytest.fixture(scope="module")
def flow():
    return made(2 * (FRAMES - 1), 2, **FORMS["BN"])


@pytest.fixture(scope="module")
def stream():
    return build_backbone("bn_inception", (SIZE, SIZE, 3), CLASSES)


@pytest.fixture(scope="module")
def two_stream():
    builder = HiddenTwoStreamBuilder(CLASSES, FRAMES, (SIZE, SIZE)).motion("tiny")
    return builder.temporal("bn_inception").spatial("bn_inception").build()


def write(folder, made, changed=(), more=b"", left_out=()):
    """Path of the file of a network, some of its blobs changed or left out."""
    path = folder / "tsn.caffemodel"
    weights = {**made.weights, **dict(changed)}
    weights = {name: blobs for name, blobs in weights.items() if name not in left_out}
    path.write_bytes(caffe.caffemodel(made.net, weights) + more)
    return path


def difference(actual, expected):
    """The largest difference beside the largest value."""
    actual, expected = to_numpy(actual), np.asarray(expected)
    assert actual.shape == expected.shape and np.abs(expected).max() > 0.1
    return np.abs(actual - expected).max() / np.abs(expected).max()


def logits_of(stream, made):
    return stream(made.data.transpose(1, 2, 0)[None].astype("float32"))[0]


def layer_of(made, kind):
    """The normalisation layer of this kind in the middle of the network."""
    names = [layer.name for layer in made.net if layer.type == kind]
    return names[len(names) // 2]


# === The numbers ===


def test_a_stream_by_itself_gives_caffes_logits(rgb, stream, tmp_path):
    report = load_caffe_weights(stream, write(tmp_path, rgb))
    assert difference(logits_of(stream, rgb), rgb.logits) < 1e-4
    assert report.streams == ("spatial",) and report.spatial_mean is None
    assert report.parameters == stream.count_params()
    assert len(report.loaded) == len(rgb.weights) in (2 * 69 + 1, 3 * 69 + 1)
    assert report.loaded[rgb.net[-1].name] == ("spatial", "logits")
    assert (report.by_order, report.skipped) == ([], [])


def test_flow_has_any_number_of_channels_and_no_order_of_colours(flow, tmp_path):
    stream = build_backbone("bn_inception", (None, None, 2 * (FRAMES - 1)), CLASSES)
    assert load_caffe_weights(stream, write(tmp_path, flow)).streams == ("temporal",)
    assert difference(logits_of(stream, flow), flow.logits) < 1e-4
    kernel = stream.get_layer("bn_inception").get_layer("conv1_7x7_s2").get_weights()[0]
    expected = flow.weights["conv1/7x7_s2"][0].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, expected)


def test_the_spatial_stream_of_a_two_stream_model(rgb, two_stream, tmp_path):
    """For the frame itself: mean and order of the colours are in it."""
    path = write(tmp_path, rgb)
    clip = np.random.default_rng(3).integers(0, 256, (1, FRAMES, SIZE, SIZE, 3))
    frame = clip[0, FRAMES // 2].astype("float64")
    before = to_numpy(two_stream.temporal.get_layer("logits").kernel)

    def expected(bgr):
        data = (bgr - MEAN).transpose(2, 0, 1)
        return caffe_forward.forward(rgb.net, rgb.weights, data)[rgb.net[-1].top]

    report = load_caffe_weights(two_stream, path)
    logits = two_stream.run_streams(clip.astype("uint8"), ("spatial",))["spatial_logits"][0]
    assert report.streams == ("spatial",) and report.spatial_mean == tuple(MEAN)
    assert two_stream.spatial_preprocessing.mode == "tsn"
    assert difference(logits, expected(frame[..., ::-1])) < 1e-4
    # The comparison can fail: without the exchange of blue and red it does.
    assert difference(logits, expected(frame)) > 0.01
    after = to_numpy(two_stream.temporal.get_layer("logits").kernel)
    np.testing.assert_array_equal(before, after)


def test_the_temporal_stream_of_a_two_stream_model(flow, two_stream, tmp_path):
    report = load_caffe_weights(two_stream, write(tmp_path, flow))
    assert report.streams == ("temporal",) and report.spatial_mean is None
    clip = np.random.default_rng(4).integers(0, 256, (1, FRAMES, SIZE, SIZE, 3))
    outputs = two_stream.run_streams(clip.astype("uint8"), ("temporal",))
    adapted = to_numpy(two_stream.adapter(outputs["flow2"]))[0].transpose(2, 0, 1)
    expected = caffe_forward.forward(flow.net, flow.weights, adapted)["fc-action"]
    assert difference(outputs["temporal_logits"][0], expected) < 1e-4


def test_exchanged_blobs_give_other_logits(rgb, stream, tmp_path):
    """So the comparison can fail: mean for variance, and scale for shift."""
    kind = "BN" if rgb.net.form == "BN" else "BatchNorm"
    name = layer_of(rgb, kind)
    *affine, mean, variance = (
        rgb.weights[name][:4] if kind == "BN" else (*(), *rgb.weights[name][:2])
    )
    mean = np.abs(mean) + 0.1 * variance  # of a negative variance the next test tells
    rest = rgb.weights[name][2:] if kind == "BatchNorm" else ()
    right = {**rgb.weights, name: (*affine, mean, variance, *rest)}
    tops = caffe_forward.forward(rgb.net, right, rgb.data)
    load_caffe_weights(stream, write(tmp_path, rgb, right))
    assert difference(logits_of(stream, rgb), tops[rgb.net[-1].top]) < 1e-4
    wrong = {name: (*affine, variance, mean, *rest)}
    load_caffe_weights(stream, write(tmp_path, rgb, wrong))
    assert difference(logits_of(stream, rgb), tops[rgb.net[-1].top]) > 0.01
    name = layer_of(rgb, "BN" if affine else "Scale")
    scale, shift, *rest = rgb.weights[name]
    load_caffe_weights(stream, write(tmp_path, rgb, {name: (shift, scale, *rest)}))
    assert difference(logits_of(stream, rgb), rgb.logits) > 0.01


def test_eps_of_the_file_and_of_the_text(rgb, stream, tmp_path):
    """Another eps than ours goes into the variance, which is exact."""
    kind = "BN" if rgb.net.form == "BN" else "BatchNorm"
    field, number = (137, 4) if kind == "BN" else (139, 3)
    layer = next(one for one in rgb.net if one.name == layer_of(rgb, kind))
    blobs = [caffe.blob(blob) for blob in rgb.weights[layer.name]]
    tenth = float(np.ravel(rgb.weights[layer.name][-1 if kind == "BN" else 1])[0]) / 10

    def told(epsilon):
        settings = caffe.field(field, caffe.real(number, epsilon))
        return caffe.caffe_layer(layer.name, kind, blobs, settings=settings)

    load_caffe_weights(
        stream, write(tmp_path, rgb, more=told(tenth), left_out=[layer.name])
    )
    layer.eps = tenth
    expected = caffe_forward.forward(rgb.net, rgb.weights, rgb.data)[rgb.net[-1].top]
    assert difference(logits_of(stream, rgb), expected) < 1e-4
    assert difference(rgb.logits, expected) > 1e-3
    # The settings of the text count, as in Caffe.
    text = tmp_path / "deploy.prototxt"
    text.write_text(caffe.prototxt(rgb.net, (SIZE, SIZE)))
    layer.eps = 1e-5
    load_caffe_weights(stream, write(tmp_path, rgb), text)
    assert difference(logits_of(stream, rgb), expected) < 1e-4
    for wrong in (0.0, -1.0, np.nan):
        path = write(tmp_path, rgb, more=told(wrong), left_out=[layer.name])
        with pytest.raises(UserError, match=f"{layer.name} has eps .*above 0"):
            load_caffe_weights(stream, path)


def test_a_network_that_was_never_trained_has_a_factor_of_zero(tmp_path):
    net = made(3, 5, **FORMS["stock"])
    name = layer_of(net, "BatchNorm")
    mean, variance, _ = net.weights[name]
    stream = build_backbone("bn_inception", (SIZE, SIZE, 3), CLASSES)
    load_caffe_weights(stream, write(tmp_path, net, {name: (mean, variance, [0.0])}))
    ours = stream.get_layer("bn_inception").get_layer(name)
    assert not to_numpy(ours.moving_mean).any() and not to_numpy(ours.moving_variance).any()
    assert to_numpy(ours.gamma).any()


def test_a_scale_without_shift_only_where_the_text_says_so(tmp_path):
    net = made(3, 7, **FORMS["stock"])
    name = layer_of(net, "Scale")
    scale, shift = net.weights[name]
    path = write(tmp_path, net, {name: [scale]})
    # Blocks of layers that are computed again in training hold the layers one deeper.
    stream = build_backbone(
        "bn_inception",
        (SIZE, SIZE, 3),
        CLASSES,
        partial_batch_normalization=True,
        rematerialize=True,
    )
    with pytest.raises(UserError, match=f"{name} shift missing"):
        load_caffe_weights(stream, path)
    start, end = caffe.prototxt(net.net, (SIZE, SIZE)).split(f'name: "{name}"')
    text = tmp_path / "deploy.prototxt"
    text.write_text(f'{start}name: "{name}"{end.replace("bias_term: true", "", 1)}')
    load_caffe_weights(stream, path, text)
    weights = {**net.weights, name: (scale, np.zeros_like(shift))}
    expected = caffe_forward.forward(net.net, weights, net.data)["fc_action"]
    assert difference(logits_of(stream, net), expected) < 1e-4
    assert difference(net.logits, expected) > 1e-3


# === What does not fit ===


def test_missing_extra_and_mis_shaped_are_named_at_once(rgb, stream, tmp_path):
    kind = "BN" if rgb.net.form == "BN" else "Scale"
    name, first = layer_of(rgb, kind), rgb.net[0].name
    last = rgb.net[-1].name
    reduce = rgb.net[4 if kind == "BN" else 5].name
    changed = {
        name: [blob.ravel()[:-1] for blob in rgb.weights[name]],
        last: (rgb.weights[last][0][:-1], rgb.weights[last][1][:-1]),
        reduce: (*rgb.weights[reduce], np.ones(3)),
    }
    path = write(tmp_path, rgb, changed, left_out=[first])
    surplus = caffe.caffe_layer("aux", "InnerProduct", [caffe.blob(np.ones((7, 2)))])
    path.write_bytes(path.read_bytes() + surplus)
    before = stream.get_weights()
    with pytest.raises(UserError) as caught:
        load_caffe_weights(stream, path)
    count = rgb.weights[name][0].size
    for words in (
        "tsn.caffemodel: does not fit this model: missing conv1/7x7_s2",
        "left over aux (7x2)",
        f"{name} scale {count - 1}, expected {count}",
        f"{last} weights 4x1024, expected 5x1024",
        f"{reduce} has 3 blobs, expected 2",
    ):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    for one, other in zip(before, stream.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_values_that_are_no_statistics(rgb, stream, tmp_path):
    kind = "BN" if rgb.net.form == "BN" else "BatchNorm"
    name = layer_of(rgb, kind)
    at = 3 if kind == "BN" else 1
    before = stream.get_weights()
    for value, reason in ((np.nan, "NaN"), (-1.0, "a negative or infinite variance")):
        blobs = [blob.copy() for blob in rgb.weights[name]]
        blobs[at].flat[0] = value
        with pytest.raises(UserError, match=f"{name} (holds|has) {reason}"):
            load_caffe_weights(stream, write(tmp_path, rgb, {name: blobs}))
    for one, other in zip(before, stream.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_forms_of_normalisation_are_refused(rgb, stream, tmp_path):
    normalizations = [layer.name for layer in rgb.net if layer.type in caffe.NORMALIZATIONS]
    # Absorbed into the convolutions, as tools for deployment do.
    path = write(tmp_path, rgb, left_out=normalizations)
    with pytest.raises(UserError, match="either BN .* are Convolution, InnerProduct$"):
        load_caffe_weights(stream, path)
    other = "BatchNorm" if rgb.net.form == "BN" else "BN"
    mixed = caffe.caffe_layer("x_bn", other, [caffe.blob(np.ones(3))])
    with pytest.raises(UserError, match="either BN .* are BN, BatchNorm"):
        load_caffe_weights(stream, write(tmp_path, rgb, more=mixed))
    # A BatchNorm of five blobs, with scale and shift of its own, is of another fork.
    if rgb.net.form == "stock":
        name = layer_of(rgb, "BatchNorm")
        blobs = (*rgb.weights[name], *rgb.weights[name][:2])
        with pytest.raises(UserError, match=f"{name} has 5 blobs, expected 3"):
            load_caffe_weights(stream, write(tmp_path, rgb, {name: blobs}))


def test_unknown_names_by_order_and_shape(rgb, stream, tmp_path):
    names = {layer.name: f"L{index}" for index, layer in enumerate(rgb.net)}
    path = write(tmp_path, rgb)
    text = caffe.prototxt(rgb.net, (SIZE, SIZE))
    for old, new in names.items():
        text = text.replace(f'  name: "{old}"\n', f'  name: "{new}"\n')
    parts = []
    for layer in reversed(rgb.net):
        if layer.name in rgb.weights:
            blobs = [caffe.blob(blob) for blob in rgb.weights[layer.name]]
            parts.append(caffe.caffe_layer(names[layer.name], layer.type, blobs))
    path.write_bytes(b"".join(parts))
    (tmp_path / "deploy.prototxt").write_text(text)
    report = load_caffe_weights(stream, path, tmp_path / "deploy.prototxt")
    assert len(report.by_order) == len(rgb.weights)
    assert difference(logits_of(stream, rgb), rgb.logits) < 1e-4
    with pytest.raises(UserError, match="missing conv1/7x7_s2"):
        load_caffe_weights(stream, path)


def test_models_that_are_no_bn_inception(rgb, stream, two_stream, tmp_path):
    path = write(tmp_path, rgb)
    with pytest.raises(UserError, match=r"a BN-Inception .* and this is a MotionNet"):
        load_caffe_weights(MotionNet(2, "tiny"), path)
    tiny = HiddenTwoStreamBuilder(CLASSES, FRAMES, (SIZE, SIZE)).motion("tiny")
    without = tiny.temporal("tiny").build()
    with pytest.raises(UserError, match=r"spatial BN-Inception .*\(\"bn_inception\"\)"):
        load_caffe_weights(without, path)
    other = tiny.spatial("tiny").build()
    with pytest.raises(UserError, match=r"stream is none; build it by .spatial\(\"bn_inc"):
        load_caffe_weights(other, path)
    ones = [caffe.blob(np.ones((64, 3, 3, 3))), caffe.blob(np.ones(64))]
    path.write_bytes(caffe.caffe_layer("conv1_1", "Convolution", ones))
    for model in (stream, two_stream):
        with pytest.raises(UserError, match="is no BN-Inception whose batch norm"):
            load_caffe_weights(model, path)


# === h2s convert ===


def h2s(*arguments):
    from h2s_keras.cli import main

    parsed = main.build_parser().parse_args([str(item) for item in arguments])
    return parsed.run(parsed)


def test_convert_makes_the_stream(flow, tmp_path, capsys):
    out = tmp_path / "flow.keras"
    assert h2s("convert", write(tmp_path, flow), "--out", out) == 0
    assert "139 layers" in capsys.readouterr().out
    stream = load_model(out)
    assert stream.input_shape == (None, None, None, 2 * (FRAMES - 1))
    assert difference(logits_of(stream, flow), flow.logits) < 1e-4


def test_convert_makes_a_two_stream_model(flow, tmp_path):
    rgb = made(3, 6, **FORMS["stock"])
    spatial = write(tmp_path, rgb).rename(tmp_path / "rgb.caffemodel")
    temporal = write(tmp_path, flow)
    for name, frames in (("motion", FRAMES), ("two", 2)):
        motion = MotionNet(frames, "tiny")
        motion.build((None, frames, None, None, 3))
        motion.save(tmp_path / f"{name}.keras")
    classes = tmp_path / "classes.txt"
    classes.write_text("a\nb\nc\nd\ne\n")
    out = tmp_path / "both.keras"
    both = ("convert", temporal, "--out", out, "--spatial", spatial)
    for arguments, reason in (
        (both, "give it a MotionNet by --motion"),
        ((*both, "--motion", tmp_path / "two.keras"), "takes 2 frames .* num_frames=3"),
        (("convert", spatial, *both[2:], "--motion", "tiny"), "3 channels, which is no fl"),
        ((*both, "--motion", "tiny"), "tiny is an untrained network; .* for 3 frames"),
        (("convert", temporal, "--out", out, "--model", "tiny"), "holds no MotionNet"),
    ):
        with pytest.raises(UserError, match=reason):
            h2s(*arguments)
        assert not out.exists()
    assert h2s(*both, "--motion", tmp_path / "motion.keras", "--classes", classes) == 0
    model = load_model(out)
    assert model.class_names == list("abcde") and model.spatial_preprocessing.mode == "tsn"
    for stream, network in ((model.spatial, rgb), (model.temporal, flow)):
        body = stream.get_layer("bn_inception")
        name = network.net[0].name
        mean = network.weights[f"{name}_bn"]
        mean = mean[2] if network is flow else mean[0] / np.float32(mean[2])
        ours = body.get_layer("conv1_7x7_s2_bn").moving_mean
        np.testing.assert_allclose(to_numpy(ours), np.ravel(mean), rtol=1e-6)
