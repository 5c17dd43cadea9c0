"""OpenCV's Caffe importer against our models: python -m tox -e caffe

tests/caffe_writer.py writes .prototxt and .caffemodel of networks with random weights;
OpenCV 4 reads and computes them, we convert the same file and compute the same clip.
"""

import caffe_forward
import caffe_inception
import caffe_writer as caffe
import keras
import numpy as np
import pytest

from h2s_keras.models import (
    HiddenTwoStreamBuilder,
    MotionNet,
    build_backbone,
    load_caffe_weights,
)

cv2 = pytest.importorskip("cv2", reason="OpenCV 4 is in the tox environment `caffe`")
if not hasattr(getattr(cv2, "dnn", None), "readNetFromCaffe"):
    pytest.skip("this OpenCV has no Caffe importer", allow_module_level=True)

TOLERANCE = 1e-4  # of the largest value of a level


def write(folder, name, net, weights, size, v1=False):
    text, model = folder / f"{name}.prototxt", folder / f"{name}.caffemodel"
    text.write_text(caffe.prototxt(net, size))
    model.write_bytes(caffe.caffemodel(net, weights, v1=v1))
    return str(text), str(model)


def opencv(text, model, data, names):
    """Outputs of the layers `names` for data (channels, height, width)."""
    net = cv2.dnn.readNetFromCaffe(text, model)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setInput(np.ascontiguousarray(data[None], "float32"))
    return {
        name: np.array(values)[0]
        for name, values in zip(names, net.forward(list(names)), strict=True)
    }


def difference(actual, expected):
    assert actual.shape == expected.shape
    largest = np.abs(expected).max()
    assert largest > 1e-3
    return np.abs(actual - expected).max() / largest


SCALES = {6: 0.625, 5: 1.25, 4: 2.5, 3: 5.0, 2: 10.0}


@pytest.mark.parametrize("v1", [False, True], ids=["layer", "V1 layers"])
@pytest.mark.parametrize(
    ("variant", "frames", "size"),
    [("tiny", 11, (64, 96)), ("motionnet", 2, (64, 64)), ("motionnet", 11, (64, 96))],
)
def test_motion_net_at_every_level(tmp_path, variant, frames, size, v1):
    if v1 and (variant, frames) == ("motionnet", 11):
        pytest.skip("one format is enough for the largest")
    net = caffe.motion_net(frames, variant)
    weights = caffe.random_weights(net, frames)
    text, path = write(tmp_path, "net", net, weights, size, v1)
    clip = np.random.default_rng(5).integers(0, 256, (1, frames, *size, 3)).astype("uint8")
    model = MotionNet(frames, variant)
    load_caffe_weights(model, path, text)
    flows = {name: keras.ops.convert_to_numpy(flow) for name, flow in model(clip).items()}
    names = [f"conv_pr{name.removeprefix('flow')}" for name in flows]
    assert len(names) == (5 if variant == "motionnet" else 3)
    expected = opencv(text, path, caffe_forward.caffe_frames(clip[0]), names)
    worst = {}
    for name, flow in flows.items():
        level = int(name.removeprefix("flow"))
        raw = flow[0].transpose(0, 3, 1, 2).reshape(-1, *flow.shape[2:4]) / SCALES[level]
        worst[name] = difference(raw, expected[f"conv_pr{level}"])
    print(variant, frames, size, {name: f"{value:.1e}" for name, value in worst.items()})
    assert max(worst.values()) < TOLERANCE, worst

    # The comparison can fail: the frames in RGB are another input.
    rgb = caffe_forward.caffe_frames(clip[0][..., ::-1])
    other = opencv(text, path, rgb, names[:1])[names[0]]
    assert difference(other, expected[names[0]]) > 0.01


@pytest.fixture(scope="module")
def two_stream():
    builder = HiddenTwoStreamBuilder(5, 3, (64, 64)).motion("tiny")
    return builder.temporal("vgg16").spatial("vgg16").build()


def test_temporal_stream_of_the_stacked_file(two_stream, tmp_path):
    motion = caffe.motion_net(3, "tiny")
    temporal = caffe.vgg16(4, 64, 5, "_vgg16")
    weights = {**caffe.random_weights(motion), **caffe.random_weights(temporal, 1)}
    path = tmp_path / "stacked.caffemodel"
    path.write_bytes(caffe.caffemodel([*motion, *temporal], weights))
    stacked = str(path)
    text = tmp_path / "temporal.prototxt"
    text.write_text(caffe.prototxt(temporal, (64, 64)))
    load_caffe_weights(two_stream, stacked)
    clip = np.random.default_rng(6).integers(0, 256, (1, 3, 64, 64, 3)).astype("uint8")
    outputs = two_stream(clip)
    adapted = keras.ops.convert_to_numpy(two_stream.adapter(outputs["flow2"]))[0]
    # OpenCV reads the temporal layers of the stacked file, as Caffe would.
    expected = opencv(str(text), stacked, adapted.transpose(2, 0, 1), ["fc8_vgg16"])
    logits = keras.ops.convert_to_numpy(outputs["temporal_logits"])[0]
    worst = difference(logits, expected["fc8_vgg16"])
    print(f"temporal logits {worst:.1e}")
    assert worst < TOLERANCE


@pytest.mark.parametrize(
    "mean", [(103.939, 116.779, 123.68), (104.0, 117.0, 123.0)], ids=str
)
def test_spatial_stream(two_stream, tmp_path, mean):
    net = caffe.vgg16(3, 64, 5)
    weights = caffe.random_weights(net, 2)
    text, path = write(tmp_path, "spatial", net, weights, (64, 64))
    load_caffe_weights(two_stream, path, text, spatial_mean=mean)
    clip = np.random.default_rng(7).integers(0, 256, (1, 3, 64, 64, 3)).astype("uint8")
    frame = (clip[0, 1, :, :, ::-1] - np.array(mean)).transpose(2, 0, 1)
    expected = opencv(text, path, frame, ["fc8"])["fc8"]
    logits = two_stream.run_streams(clip, ("spatial",))["spatial_logits"]
    worst = difference(keras.ops.convert_to_numpy(logits)[0], expected)
    print(f"spatial logits, mean {mean}: {worst:.1e}")
    assert worst < TOLERANCE


@pytest.mark.parametrize("channels", [3, 10])
def test_bn_inception_with_stock_batch_normalisation(tmp_path, channels):
    """OpenCV has no BN of the TSN fork; BatchNorm, Scale, Concat and rounding up it has."""
    size, eps = 96, 1e-3
    net = caffe_inception.bn_inception(channels, size, 5, "stock", eps=eps)
    data = np.random.default_rng(8).normal(0, 50, (channels, size, size))
    weights = caffe_inception.random_weights(net, data, 9)
    text, path = write(tmp_path, "inception", net, weights, (size, size))
    stream = build_backbone("bn_inception", (size, size, channels), 5)
    load_caffe_weights(stream, path, text)
    logits = stream(data.transpose(1, 2, 0)[None].astype("float32"))
    logits = keras.ops.convert_to_numpy(logits)[0]
    expected = opencv(text, path, data, ["fc-action"])["fc-action"]
    worst = difference(logits, expected)
    print(f"BN-Inception, {channels} channels: {worst:.1e}")
    assert worst < TOLERANCE

    # The comparison can fail: without the text, its eps is not known.
    load_caffe_weights(stream, path)
    logits = stream(data.transpose(1, 2, 0)[None].astype("float32"))
    assert difference(keras.ops.convert_to_numpy(logits)[0], expected) > 10 * TOLERANCE
