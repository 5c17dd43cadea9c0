"""BN-Inception (TSN) from Caffe files that tests/caffe_inception.py wrote and computed."""

import caffe_forward
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
    build_backbone,
    load_caffe_weights,
)

MEAN = np.array((104.0, 117.0, 123.0))  # BGR


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
    assert difference(to_numpy(logits), expected(frame[..., ::-1])) < 1e-4
    # The comparison can fail: without the exchange of blue and red it does.
    assert difference(to_numpy(logits), expected(frame)) > 0.01
    after = to_numpy(two_stream.temporal.get_layer("logits").kernel)
    np.testing.assert_array_equal(before, after)


def test_the_temporal_stream_of_a_two_stream_model(flow, two_stream, tmp_path):
    report = load_caffe_weights(two_stream, write(tmp_path, flow))
    assert report.streams == ("temporal",) and report.spatial_mean is None
    clip = np.random.default_rng(4).integers(0, 256, (1, FRAMES, SIZE, SIZE, 3))
    outputs = two_stream.run_streams(clip.astype("uint8"), ("temporal",))
    adapted = to_numpy(two_stream.adapter(outputs["flow2"]))[0].transpose(2, 0, 1)
    expected = caffe_forward.forward(flow.net, flow.weights, adapted)["fc-action"]
    assert difference(to_numpy(outputs["temporal_logits"])[0], expected) < 1e-4


def test_exchanged_blobs_give_other_logits(rgb, stream, tmp_path):
    """So the comparison can fail: mean for variance, and scale for shift."""
    kind, mean = ("BN", 2) if rgb.net.form == "BN" else ("BatchNorm", 0)
    name = layer_of(rgb, kind)
    right = list(rgb.weights[name])
    # A negative variance would be refused.
    right[mean] = np.abs(right[mean]) + 0.1 * right[mean + 1]
    tops = caffe_forward.forward(rgb.net, {**rgb.weights, name: right}, rgb.data)
    load_caffe_weights(stream, write(tmp_path, rgb, {name: right}))
    assert difference(logits_of(stream, rgb), tops[rgb.net[-1].top]) < 1e-4
    wrong = list(right)
    wrong[mean], wrong[mean + 1] = right[mean + 1], right[mean]
    load_caffe_weights(stream, write(tmp_path, rgb, {name: wrong}))
    assert difference(logits_of(stream, rgb), tops[rgb.net[-1].top]) > 0.01

    name = layer_of(rgb, "BN" if kind == "BN" else "Scale")
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
    net = made(3, 5, "stock")
    name = layer_of(net, "BatchNorm")
    mean, variance, _ = net.weights[name]
    stream = build_backbone("bn_inception", (SIZE, SIZE, 3), CLASSES)
    load_caffe_weights(stream, write(tmp_path, net, {name: (mean, variance, [0.0])}))
    ours = stream.get_layer("bn_inception").get_layer(name)
    assert not to_numpy(ours.moving_mean).any() and not to_numpy(ours.moving_variance).any()
    assert to_numpy(ours.gamma).any()


def test_a_scale_without_shift_only_where_the_text_says_so(tmp_path):
    net = made(3, 7, "stock")
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
