"""Weights from Caffe files that tests/caffe_writer.py wrote and computed by itself."""

import dataclasses
import re
import struct
import tracemalloc

import caffe_forward
import caffe_writer as caffe
import keras
import numpy as np
import pytest
import reference

from h2s_keras.errors import UserError
from h2s_keras.models import (
    HiddenTwoStreamBuilder,
    MotionNet,
    build_backbone,
    load_caffe_weights,
    load_model,
)
from h2s_keras.models.caffe_weights.caffe_file import read_caffemodel
from h2s_keras.models.caffe_weights.caffe_prototxt import read_prototxt


def clips(frames, size=16, seed=4):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (1, frames, size, size, 3)).astype("uint8")


def expected_flows(net, weights, clip):
    """dict flow2 ... -> (pairs, h, w, 2) in pixels of the level, by NumPy alone."""
    tops = caffe_forward.forward(net, weights, caffe_forward.caffe_frames(clip))
    result = {}
    for level, scale in ((2, 10), (3, 5), (4, 2.5), (5, 1.25), (6, 0.625)):
        if f"conv_pr{level}" in tops:
            raw = tops[f"conv_pr{level}"] * scale
            pairs = raw.reshape(-1, 2, *raw.shape[1:])
            result[f"flow{level}"] = pairs.transpose(0, 2, 3, 1)
    return result


def assert_near(actual, expected, relative=1e-4):
    """The largest difference is small beside the largest value."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.abs(expected).max() > 1e-3
    assert np.abs(actual - expected).max() <= relative * np.abs(expected).max()


def assert_same_flows(model, net, weights, frames):
    clip = clips(frames)
    flows = model(clip)
    expected = expected_flows(net, weights, clip[0])
    assert set(flows) == set(expected)
    for name, values in expected.items():
        assert_near(keras.ops.convert_to_numpy(flows[name])[0], values)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(network, weights, path of its .caffemodel, path of its .prototxt), 3 frames."""
    folder = tmp_path_factory.mktemp("tiny")
    net = caffe.motion_net(3, "tiny")
    weights = caffe.random_weights(net)
    (folder / "tiny.caffemodel").write_bytes(caffe.caffemodel(net, weights))
    (folder / "tiny.prototxt").write_text(caffe.prototxt(net, (16, 16)))
    return net, weights, folder / "tiny.caffemodel", folder / "tiny.prototxt"


def write(folder, net, weights, **options):
    path = folder / "net.caffemodel"
    path.write_bytes(caffe.caffemodel(net, weights, **options))
    return path


# === MotionNet ===


def test_tiny_gives_caffes_flow(tiny):
    net, weights, path, _ = tiny
    model = MotionNet(3, "tiny")
    report = load_caffe_weights(model, path)
    assert_same_flows(model, net, weights, 3)
    assert report.streams == ("motion",) and len(report.loaded) == 13
    assert report.parameters == model.count_params()
    assert report.loaded["conv_pr4"] == ("motion", "flow4")
    assert (report.by_order, report.skipped) == ([], [])
    assert "13 layers" in str(report)


@pytest.mark.parametrize(
    "options",
    [{"v1": True}, {"double": True}, {"v1": True, "legacy": False}, {"legacy": True}],
    ids=str,
)
def test_both_formats_and_all_ways_of_storing(tiny, tmp_path, options):
    net, weights, _, _ = tiny
    model = MotionNet(3, "tiny")
    load_caffe_weights(model, write(tmp_path, net, weights, **options))
    assert_same_flows(model, net, weights, 3)


def test_the_test_can_fail(tiny, tmp_path):
    """RGB for BGR, or a deconvolution with its axes exchanged, gives other flow."""
    net, weights, _, _ = tiny
    clip = clips(3)
    expected = expected_flows(net, weights, clip[0])["flow2"]
    model = MotionNet(3, "tiny")
    for name in ("conv1", "deconv2", "upsample_flow3to2", "conv_pr2"):
        kernel, bias = weights[name]
        turned = kernel[:, ::-1] if name == "conv1" else kernel[:, :, ::-1]
        wrong = {**weights, name: (turned, bias)}
        load_caffe_weights(model, write(tmp_path, net, wrong))
        actual = keras.ops.convert_to_numpy(model(clip)["flow2"])[0]
        assert np.abs(actual - expected).max() > 0.01 * np.abs(expected).max(), name


def test_full_motion_net_array_by_array(tmp_path):
    """All 29 layers of the 2-frame network, element by element of a few places."""
    net = caffe.motion_net(2)
    weights = caffe.random_weights(net)
    model = MotionNet(2)
    report = load_caffe_weights(model, write(tmp_path, net, weights))
    assert len(report.loaded) == 12 + 5 + 4 * 3 == len(weights)
    ours = {layer.name: layer for layer in model.convolutions}
    head = model.head
    for group in (
        head.flow_convolutions,
        head.deconvolutions,
        head.upsamplings,
        head.smooth_convolutions,
    ):
        ours.update({layer.name: layer for layer in group})
    rng = np.random.default_rng(0)
    for name, (kernel, bias) in weights.items():
        layer = ours[name.replace("conv_pr", "flow")]
        mine, my_bias = layer.get_weights()
        np.testing.assert_array_equal(my_bias, bias)
        for _ in range(20):
            a, b, y, x = (rng.integers(side) for side in kernel.shape)
            # (out, in, h, w) -> (h, w, in, out); for deconvolutions (in, out, h, w) ->
            # (h, w, out, in): the same places.
            where = b // 3 * 3 + 2 - b % 3 if name == "conv1" else b
            assert mine[y, x, where, a] == kernel[a, b, y, x], name


def test_flow_predictors_of_other_names(tiny, tmp_path):
    for flow_name in ("flow", "predict_flow"):
        net = caffe.motion_net(3, "tiny", flow_name)
        weights = caffe.random_weights(net)
        model = MotionNet(3, "tiny")
        load_caffe_weights(model, write(tmp_path, net, weights))
        kernel = model.head.flow_convolutions[0].get_weights()[0]
        np.testing.assert_array_equal(
            kernel[1, 2, 5, 3], weights[f"{flow_name}4"][0][3, 5, 1, 2]
        )


def test_unknown_names_by_order_and_shape(tiny, tmp_path):
    net, weights, _, _ = tiny
    names = {layer.name: f"L{index}" for index, layer in enumerate(net)}
    renamed = caffe.Net(9)
    renamed.extend(dataclasses.replace(one, name=names[one.name]) for one in net)
    model_path = tmp_path / "renamed.caffemodel"
    stored = {names[name]: arrays for name, arrays in weights.items()}
    # The order of the file does not matter: that of the text does.
    model_path.write_bytes(caffe.caffemodel(list(reversed(renamed)), stored))
    text = tmp_path / "renamed.prototxt"
    text.write_text(caffe.prototxt(renamed, (16, 16)))
    model = MotionNet(3, "tiny")
    report = load_caffe_weights(model, model_path, text)
    assert len(report.by_order) == 13 and "matched by order" in str(report)
    assert_same_flows(model, net, weights, 3)
    with pytest.raises(UserError, match="give its deploy prototxt, if only names"):
        load_caffe_weights(model, model_path)


def test_missing_extra_and_mis_shaped_are_named_at_once(tiny, tmp_path):
    net, weights, _, _ = tiny
    broken = dict(weights)
    del broken["conv3"], broken["upsample_flow4to3"]
    kernel, bias = broken["deconv2"]
    broken["deconv2"] = (kernel[:-1], bias)
    kernel, bias = broken["conv_pr2"]
    broken["conv_pr2"] = (kernel, bias[:-1])
    path = tmp_path / "broken.caffemodel"
    surplus = caffe.caffe_layer("aux", "Convolution", [caffe.blob(np.ones((2, 3, 1, 1)))])
    path.write_bytes(caffe.caffemodel(net, broken) + surplus)
    model = MotionNet(3, "tiny")
    model.build((None, 3, None, None, 3))
    before = model.get_weights()
    with pytest.raises(UserError) as caught:
        load_caffe_weights(model, path)
    for words in (
        "broken.caffemodel: does not fit",
        "missing conv3, upsample_flow4to3",
        "left over aux (2x3x1x1)",
        "deconv2 weights 127x64x4x4, expected 128x64x4x4",
        "conv_pr2 bias 3, expected 4",
    ):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_number_of_frames_is_reported(tiny):
    with pytest.raises(UserError, match="conv1 weights 64x9x7x7, expected 64x6x7x7"):
        load_caffe_weights(MotionNet(2, "tiny"), tiny[2])


def test_without_the_convolutions_between(tiny):
    model = MotionNet(3, "tiny", intermediate_convolution=False)
    with pytest.raises(UserError, match=r"left over xconv3 .*, xconv2"):
        load_caffe_weights(model, tiny[2])


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_weights_that_are_not_numbers(tiny, tmp_path, value):
    net, weights, _, _ = tiny
    kernel = weights["conv2"][0].astype("float64")
    kernel[3, 4, 1, 1] = value
    weights = {**weights, "conv2": (kernel, weights["conv2"][1])}
    path = write(tmp_path, net, weights, double=True)
    with pytest.raises(UserError, match="conv2 holds NaN"):
        load_caffe_weights(MotionNet(3, "tiny"), path)


# === What the prototxt adds ===


def test_layers_that_the_text_does_not_name_are_left_out(tiny, tmp_path):
    net, weights, path, text = tiny
    extra = caffe.caffe_layer("augment", "DataAugmentation", [caffe.blob(np.ones(3))])
    (tmp_path / "more.caffemodel").write_bytes(path.read_bytes() + extra)
    report = load_caffe_weights(MotionNet(3, "tiny"), tmp_path / "more.caffemodel", text)
    assert report.skipped == ["augment"]


def test_strides_and_paddings_are_compared(tiny, tmp_path):
    net, _, path, text = tiny
    wrong = tmp_path / "wrong.prototxt"
    wrong.write_text(
        text.read_text().replace("kernel_size: 5 stride: 2 pad: 2", "kernel_size: 5")
    )
    with pytest.raises(
        UserError, match="conv2 stride 1, expected 2; conv2 pad 0, expected 2"
    ):
        load_caffe_weights(MotionNet(3, "tiny"), path, wrong)


def test_no_bias_only_where_the_text_says_so(tiny, tmp_path):
    net, weights, _, text = tiny
    without = {**weights, "upsample_flow3to2": weights["upsample_flow3to2"][:1]}
    path = write(tmp_path, net, without)
    with pytest.raises(UserError, match="upsample_flow3to2 bias missing"):
        load_caffe_weights(MotionNet(3, "tiny"), path)
    said = tmp_path / "said.prototxt"
    start, end = text.read_text().split('name: "upsample_flow3to2"')
    end = end.replace("num_output", "bias_term: false num_output", 1)
    said.write_text(f'{start}name: "upsample_flow3to2"{end}')
    model = MotionNet(3, "tiny")
    load_caffe_weights(model, path, said)
    zero = {**weights, "upsample_flow3to2": (without["upsample_flow3to2"][0], np.zeros(4))}
    assert_same_flows(model, net, zero, 3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no layers"),
        ("layer {", "is truncated"),
        ("layer { name: }", "is no .prototxt"),
        ("}", "is no .prototxt"),
        ('layer { name: "open }', "is no .prototxt"),
        ("a {" * 100_000, "is no .prototxt"),
        ("\x00\x01", "is no .prototxt|truncated"),
    ],
)
def test_a_bad_prototxt(tmp_path, text, reason):
    path = tmp_path / "bad.prototxt"
    path.write_text(text)
    with pytest.raises(UserError, match=f"bad.prototxt: .*({reason})"):
        read_prototxt(path)


def test_the_older_text_and_lists(tmp_path):
    with pytest.raises(UserError, match="nothing.prototxt: no such file"):
        read_prototxt(tmp_path / "nothing.prototxt")
    path = tmp_path / "old.prototxt"
    path.write_text(
        "layers { name: 'c' type: CONVOLUTION # note {\n bottom: 'x' "
        "convolution_param { stride_h: 2 stride_w: 2 pad: [1, 1] bias_term: false } }\n"
        "layers < name: 'd' type: DATA transform_param: { mean_value: 104 mean_value: 117 "
        "mean_value: 123 } >"
    )
    first, second = read_prototxt(path)
    assert (first.type, first.stride, first.pad, first.bias) == ("Convolution", 2, 1, False)
    assert second.means == (104, 117, 123)


# === Two streams ===

SIZE, CLASSES, FRAMES = 64, 5, 3


@pytest.fixture(scope="module")
def two_stream(tmp_path_factory):
    """Stacked and spatial Caffe files, and the model that was filled from both."""
    folder = tmp_path_factory.mktemp("two_stream")
    motion = caffe.motion_net(FRAMES, "tiny")
    temporal = caffe.vgg16(2 * (FRAMES - 1), SIZE, CLASSES, "_vgg16")
    spatial = caffe.vgg16(3, SIZE, CLASSES)
    weights = {
        **caffe.random_weights(motion, 1),
        **caffe.random_weights(temporal, 2),
    }
    spatial_weights = caffe.random_weights(spatial, 3)
    stacked = folder / "stacked.caffemodel"
    stacked.write_bytes(caffe.caffemodel([*motion, *temporal], weights))
    alone = folder / "spatial.caffemodel"
    alone.write_bytes(caffe.caffemodel(spatial, spatial_weights, v1=True))
    builder = HiddenTwoStreamBuilder(CLASSES, FRAMES, (SIZE, SIZE)).motion("tiny")
    model = builder.temporal("vgg16").spatial("vgg16").build()
    report = load_caffe_weights(model, stacked)
    yield model, report, (motion, temporal, spatial), (weights, spatial_weights), folder
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.long
def test_stacked_model_gives_caffes_logits(two_stream):
    model, report, (motion, temporal, _), (weights, _), _ = two_stream
    assert report.streams == ("motion", "temporal") and len(report.loaded) == 13 + 16
    assert report.loaded["fc6_vgg16"] == ("temporal", "fc6")
    clip = clips(FRAMES, SIZE)
    outputs = model(clip)
    flows = expected_flows(motion, weights, clip[0])
    assert_near(keras.ops.convert_to_numpy(outputs["flow2"])[0], flows["flow2"])
    # Between them the released graph clips, shifts and deconvolves with zeros around.
    values = reference.quantize_flow(2 * flows["flow2"])
    adapted = reference.deconvolved_twice(values) - 128
    adapted = adapted.transpose(0, 3, 1, 2).reshape(-1, SIZE, SIZE)
    tops = caffe_forward.forward(temporal, weights, adapted)
    logits = keras.ops.convert_to_numpy(outputs["temporal_logits"])[0]
    assert_near(logits, tops["fc8_vgg16"])


@pytest.mark.parametrize(
    "mean", [None, (103.939, 116.779, 123.68), (104, 117, 123)], ids=str
)
def test_spatial_stream_gives_caffes_logits(two_stream, mean):
    """For the frame itself: mean, scale and order of the channels are in it."""
    model, _, (_, _, spatial), (_, weights), folder = two_stream
    clip = clips(FRAMES, SIZE)
    report = load_caffe_weights(model, folder / "spatial.caffemodel", spatial_mean=mean)
    assert report.streams == ("spatial",)
    used = mean or (103.939, 116.779, 123.68)
    assert report.spatial_mean == tuple(float(value) for value in used)
    frame = clip[0, FRAMES // 2, :, :, ::-1] - np.array(used)
    expected = caffe_forward.forward(spatial, weights, frame.transpose(2, 0, 1))["fc8"]
    outputs = model.run_streams(clip, ("spatial",))
    assert_near(keras.ops.convert_to_numpy(outputs["spatial_logits"])[0], expected)
    assert model.get_config()["spatial_preprocessing"] == (
        "tsn" if mean == (104, 117, 123) else "caffe"
    )
    load_caffe_weights(
        model, folder / "spatial.caffemodel", spatial_mean=(103.939, 116.779, 123.68)
    )


def test_other_means_and_means_without_use(two_stream, tiny):
    model, _, _, _, folder = two_stream
    with pytest.raises(UserError, match=r"must be BGR .*received \(1.0, 2.0, 3.0\)"):
        load_caffe_weights(model, folder / "spatial.caffemodel", spatial_mean=(1, 2, 3))
    with pytest.raises(UserError, match="spatial_mean has no use"):
        load_caffe_weights(MotionNet(3, "tiny"), tiny[2], spatial_mean=(104, 117, 123))


def test_the_mean_of_the_prototxt(two_stream, tmp_path):
    model, _, (_, _, spatial), _, folder = two_stream
    text = tmp_path / "spatial.prototxt"
    text.write_text(caffe.prototxt(spatial, (SIZE, SIZE), mean=(104, 117, 123)))
    report = load_caffe_weights(model, folder / "spatial.caffemodel", text)
    assert report.spatial_mean == (104.0, 117.0, 123.0)


def test_the_adapter_of_a_stacked_file_pads_zeros(two_stream):
    model = two_stream[0]
    config = model.get_config()["adapter"]["config"]
    assert config["padding"] == "zeros" and config["bound"] == 20.0
    other = HiddenTwoStreamBuilder(CLASSES, FRAMES, (SIZE, SIZE)).motion("tiny")
    assert other.temporal("tiny").build().adapter.padding == "border"


def test_motion_net_out_of_the_stacked_file(two_stream):
    _, _, (motion, _, _), (weights, _), folder = two_stream
    model = MotionNet(FRAMES, "tiny")
    report = load_caffe_weights(model, folder / "stacked.caffemodel")
    assert len(report.skipped) == 16 and "conv1_1_vgg16" in report.skipped
    assert_same_flows(model, motion, weights, FRAMES)


def test_a_stream_by_itself(two_stream):
    whole, _, (_, temporal, _), (weights, _), folder = two_stream
    stream = build_backbone("vgg16", (SIZE, SIZE, 2 * (FRAMES - 1)), CLASSES)
    report = load_caffe_weights(stream, folder / "stacked.caffemodel")
    assert report.streams == ("temporal",) and "conv1" in report.skipped
    data = np.random.default_rng(0).normal(0, 50, (1, SIZE, SIZE, 4)).astype("float32")
    expected = caffe_forward.forward(temporal, weights, data[0].transpose(2, 0, 1))[
        "fc8_vgg16"
    ]
    assert_near(keras.ops.convert_to_numpy(stream(data))[0], expected)


def test_streams_that_do_not_fit(two_stream, tiny):
    _, _, _, _, folder = two_stream
    small = HiddenTwoStreamBuilder(CLASSES, FRAMES, (SIZE, SIZE)).motion("tiny")
    small = small.temporal("tiny").build()
    with pytest.raises(UserError, match="temporal stream is no VGG16"):
        load_caffe_weights(small, folder / "stacked.caffemodel")
    with pytest.raises(UserError, match=r"no spatial stream; add .spatial\(\"vgg16\"\)"):
        load_caffe_weights(small, folder / "spatial.caffemodel")
    with pytest.raises(UserError, match="received list"):
        load_caffe_weights([], tiny[2])
    load_caffe_weights(small.motion, folder / "stacked.caffemodel")


# === The file format ===


def one_layer(*blobs):
    return caffe.caffe_layer("a", "Convolution", blobs)


def read(tmp_path, data):
    path = tmp_path / "some.caffemodel"
    path.write_bytes(data)
    return read_caffemodel(path)


def test_values_in_several_runs_and_unpacked(tmp_path):
    array = np.arange(6, dtype="float32")
    parts = caffe.field(7, caffe.field(1, b"\x02\x03"))
    parts += caffe.field(5, array[:2].tobytes()) + caffe.field(5, array[2:].tobytes())
    (layer,) = read(tmp_path, one_layer(parts, caffe.blob(array, unpacked=True)))
    np.testing.assert_array_equal(layer.blobs[0].values(), array.reshape(2, 3))
    np.testing.assert_array_equal(layer.blobs[1].values(), array)


def test_gradients_and_unknown_fields_are_passed_over(tmp_path):
    array = np.ones((2, 2), "float32")
    blob = caffe.field(6, array.tobytes()) + caffe.blob(array) + caffe.integer(77, 300)
    layer = caffe.field(
        100, caffe.field(1, b"a") + caffe.integer(10, 1) + caffe.field(7, blob)
    )
    (read_layer,) = read(tmp_path, caffe.field(8, b"\x0a\x00") + layer)
    np.testing.assert_array_equal(read_layer.blobs[0].values(), array)


def every_cut(data, count=60):
    return sorted({len(data) * part // count for part in range(1, count)} | {len(data) - 1})


@pytest.mark.parametrize("v1", [False, True])
def test_a_truncated_file_at_any_byte(tmp_path, v1):
    """Cut between two layers it is a whole shorter file, whose missing layers are named."""
    net = caffe.motion_net(2, "tiny")
    whole = caffe.caffemodel(net, caffe.random_weights(net), v1=v1)
    path = tmp_path / "cut.caffemodel"
    model = MotionNet(2, "tiny")
    for cut in [*range(1, 60), *every_cut(whole, 20)]:
        path.write_bytes(whole[:cut])
        with pytest.raises(
            UserError, match="cut.caffemodel: .*(truncated|no layer|missing)"
        ):
            load_caffe_weights(model, path)


HUGE = caffe.varint(2**62)
HOSTILE = {
    "empty": (b"", "is empty"),
    "text": (b'name: "net"\nlayer {\n', "is damaged or no .caffemodel"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    "no layers": (caffe.field(1, b"net"), "no layer with weights"),
    "length beyond the end": (b"\xa2\x06" + HUGE, "truncated"),
    "endless varint": (b"\xff" * 64, "more than 10 bytes"),
    "group": (b"\x0b" * 8, "not a protobuf field"),
    "field 0": (b"\x00\x01", "not a protobuf field"),
    "huge shape": (
        one_layer(caffe.field(7, caffe.field(1, HUGE * 3)) + caffe.field(5, bytes(8))),
        "impossible shape",
    ),
    "product of sides": (
        one_layer(caffe.field(7, caffe.field(1, caffe.varint(2**31 - 1) * 32))),
        "with 0 values",
    ),
    "side of 0": (
        one_layer(caffe.field(7, caffe.field(1, b"\x00" + caffe.varint(2**31 - 1)))),
        "impossible shape 0x2147483647",
    ),
    "negative": (
        one_layer(caffe.integer(1, 2**64 - 1) + caffe.field(5, bytes(4))),
        "impossible shape",
    ),
    "too many axes": (one_layer(caffe.field(7, caffe.field(1, b"\x01" * 33))), "32 axes"),
    "too few values": (
        one_layer(caffe.field(7, caffe.field(1, b"\x03")) + caffe.field(5, bytes(8))),
        "shape 3 with 2 values",
    ),
    "half a value": (one_layer(caffe.field(5, bytes(7))), "middle of a number"),
    "long name": (caffe.field(100, caffe.field(1, b"x" * 1000)), "256 bytes"),
    "layer as number": (caffe.integer(100, 5), "wrong type"),
    "blob as number": (caffe.field(100, caffe.integer(7, 5)), "wrong type"),
    "type as number": (caffe.field(100, caffe.integer(2, 5)), "wrong type"),
    "settings": (
        caffe.caffe_layer("a", "BN", [], settings=caffe.field(137, b"\xff" * 11)),
        "more than 10 bytes",
    ),
    "very old": (caffe.field(2, caffe.field(1, b"")), "V0"),
    "many layers": (caffe.field(100, b"") * 20_000, "more than 10000 layers"),
    "many blobs": (
        caffe.field(100, caffe.field(7, caffe.field(5, bytes(4))) * 30_000),
        "more than 20000 blobs",
    ),
    "twice": (one_layer(caffe.blob(np.ones(1))) * 2, "names layers twice: a"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file(tmp_path, case):
    data, reason = HOSTILE[case]
    path = tmp_path / "hostile.caffemodel"
    path.write_bytes(data)
    model = MotionNet(2, "tiny")
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=f"hostile.caffemodel: .*{re.escape(reason)}"):
            load_caffe_weights(model, path)
        # The largest of these files has less than one megabyte.
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_random_damage_never_ends_in_another_error(tmp_path):
    net = caffe.motion_net(2, "tiny")
    whole = bytearray(caffe.caffemodel(net, caffe.random_weights(net)))
    # Headers are where damage bites: the bytes before and after every run of values.
    heads = [m.start() for m in re.finditer(rb"(conv|flow)", bytes(whole))]
    rng, path = np.random.default_rng(0), tmp_path / "damaged.caffemodel"
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(3):
            at = heads[rng.integers(len(heads))] + int(rng.integers(-8, 60))
            data[max(0, min(at, len(data) - 1))] = rng.integers(256)
        path.write_bytes(data)
        try:
            read_caffemodel(path)
        except UserError:
            refused += 1
    assert refused > 20


def test_a_missing_file():
    with pytest.raises(UserError, match="gone.caffemodel: no such file"):
        load_caffe_weights(MotionNet(2, "tiny"), "gone.caffemodel")


# === h2s convert ===


def h2s(*arguments):
    from h2s_keras.cli import main

    parsed = main.build_parser().parse_args([str(item) for item in arguments])
    return parsed.run(parsed)


def test_convert_writes_a_model_that_computes_the_same(tiny, tmp_path, capsys):
    net, weights, path, text = tiny
    out = tmp_path / "deep" / "tiny.keras"
    assert h2s("convert", path, "--out", out, "--prototxt", text) == 0
    assert "13 layers" in capsys.readouterr().out
    model = load_model(out)
    assert model.variant == "tiny" and model.num_frames == 3
    assert_same_flows(model, net, weights, 3)
    assert [item.name for item in out.parent.iterdir()] == ["tiny.keras"]
    with pytest.raises(UserError, match="exists already"):
        h2s("convert", path, "--out", out)


def test_convert_refuses_what_it_cannot_do(tiny, two_stream, tmp_path):
    _, _, path, _ = tiny
    folder = two_stream[-1]
    out = tmp_path / "x.keras"
    for arguments, reason in (
        ((path, "--out", tmp_path / "x.h5"), "must end in .keras"),
        ((path, "--out", out, "--model", "motionnet"), "does not fit this model"),
        ((path, "--out", out, "--model", "stacked"), "its dense layers are missing"),
        ((path, "--out", out, "--classes", path), "go with a stacked FILE"),
        ((path, "--out", out, "--spatial_mean", 1, 2, 3), "goes with --spatial"),
        ((folder / "spatial.caffemodel", "--out", out), "give it as --spatial"),
        ((tmp_path / "no.caffemodel", "--out", out), "no such file"),
    ):
        with pytest.raises(UserError, match=reason):
            h2s("convert", *arguments)
    assert not out.exists()


IMAGE, DENSE = ("conv1/7x7_s2", (64, 4, 1, 1)), "InnerProduct"


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([("conv1", (1, 3000, 7, 7)), ("up", (1,))], "first convolution is 1x3000x7x7"),
        ([IMAGE, ("fc-action", ())], "classifier is one number over an image of 4 chan"),
        ([IMAGE, ("fc-action", (5000,))], "classifier is 5000 over"),
        ([IMAGE, ("fc-action", (1, 1, 5000, 1))], "classifier is 5000x1 over"),
        ([(IMAGE[0], (1, 300, 1, 1)), ("fc", (5, 1024))], "of 300 channels; that of BN-"),
        ([IMAGE, ("fc-action", (1, 1024))], "num_classes must be at least 2, .*received 1"),
    ],
)
def test_convert_takes_no_sizes_that_the_network_cannot_have(tmp_path, layers, reason):
    kinds = {"up": "Deconvolution", "fc": DENSE, "fc-action": DENSE}
    path = tmp_path / "many.caffemodel"
    path.write_bytes(
        b"".join(
            caffe.caffe_layer(
                name, kinds.get(name, "Convolution"), [caffe.blob(np.zeros(shape))]
            )
            for name, shape in layers
        )
    )
    motion = () if "up" in dict(layers) else ("--motion", "tiny_synthetic")
    with pytest.raises(UserError, match=f"many.caffemodel: .*{reason}"):
        h2s("convert", path, "--out", tmp_path / "x.keras", *motion)


@pytest.mark.slow
def test_convert_the_whole_two_stream_model(tmp_path):
    motion = caffe.motion_net(2)
    temporal = caffe.vgg16(2, 32, 3, "_vgg16")
    weights = {**caffe.random_weights(motion), **caffe.random_weights(temporal)}
    stacked = tmp_path / "stacked.caffemodel"
    stacked.write_bytes(caffe.caffemodel([*motion, *temporal], weights))
    spatial = caffe.vgg16(3, 32, 3)
    (tmp_path / "spatial.caffemodel").write_bytes(
        caffe.caffemodel(spatial, caffe.random_weights(spatial, 5))
    )
    (tmp_path / "classes.txt").write_text("jump\nrun\nwalk\n")
    arguments = ["--spatial", tmp_path / "spatial.caffemodel"]
    arguments += ["--spatial_mean", 104, 117, 123, "--classes", tmp_path / "classes.txt"]
    out = tmp_path / "both.keras"
    assert h2s("convert", stacked, "--out", out, *arguments) == 0
    model = load_model(out)
    assert model.class_names == ["jump", "run", "walk"]
    clip = clips(2, 32)
    outputs = model(clip)
    flows = expected_flows(motion, weights, clip[0])
    for name, values in flows.items():
        assert_near(keras.ops.convert_to_numpy(outputs[name])[0], values)
    frame = clip[0, 1, :, :, ::-1] - np.array((104.0, 117.0, 123.0))
    expected = caffe_forward.forward(
        spatial, caffe.random_weights(spatial, 5), frame.transpose(2, 0, 1)
    )
    assert_near(keras.ops.convert_to_numpy(outputs["spatial_logits"])[0], expected["fc8"])


def test_the_writer_knows_the_format():
    """One blob byte for byte, so that writer and reader cannot agree on a wrong format."""
    assert caffe.blob(np.array([1.5], "float32")) == (
        b"\x3a\x03\x0a\x01\x01" + b"\x2a\x04" + struct.pack("<f", 1.5)
    )
    assert caffe.caffe_layer("a", "ReLU", [])[:2] == b"\xa2\x06"
