"""BN-Inception (TSN) Caffe files: what is refused, and `h2s convert`."""

import caffe_writer as caffe
import numpy as np
import pytest
from caffe_inception import (
    CLASSES,
    FRAMES,
    SIZE,
    difference,
    layer_of,
    logits_of,
    made,
    write,
)
from checks import to_numpy

from h2s_keras.errors import UserError
from h2s_keras.models import (
    HiddenTwoStreamBuilder,
    MotionNet,
    build_backbone,
    load_caffe_weights,
    load_model,
)

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
    if kind == "BatchNorm":
        mean, variance, _ = rgb.weights[name]
        blobs = mean + 1, variance, np.float32([1e-39])  # both are divided by it
        with pytest.raises(UserError, match="or infinite variance or mean"):
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


def test_a_converted_stream_gives_its_weights_to_others(flow, rgb, tmp_path, capsys):
    """What `spatial_weights` and `temporal_weights` of a recipe take."""
    for net, channels, kind in ((rgb, 3, "images"), (flow, 20, "flow")):
        out = tmp_path / f"{kind}.keras"
        assert h2s("convert", write(tmp_path, net), "--out", out) == 0
        ours = build_backbone("bn_inception", (32, 32, channels), 7, weights=str(out))
        network = ours.get_layer("bn_inception")
        theirs = load_model(out).get_layer("bn_inception")
        for layer in theirs.layers:
            if layer.weights and (net is rgb or layer.name != "conv1_7x7_s2"):
                pairs = zip(
                    network.get_layer(layer.name).get_weights(),
                    layer.get_weights(),
                    strict=True,
                )
                for one, two in pairs:
                    np.testing.assert_array_equal(one, two)


@pytest.mark.long
def test_convert_makes_a_two_stream_model(flow, tmp_path):
    rgb = made(3, 6, "stock")
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
        (
            ("convert", spatial, *both[2:], "--motion", "tiny"),
            "3 channels, which is not fl",
        ),
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
