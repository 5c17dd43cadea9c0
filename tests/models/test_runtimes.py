"""Other runtimes give the numbers of Keras, or say what they lack."""

import sys

import keras
import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.evaluation.video_classifier import VideoClassifier
from h2s_keras.models import HiddenTwoStreamBuilder, MotionNet
from h2s_keras.runtimes import RUNTIMES
from h2s_keras.runtimes.in_runtime import RuntimeNetwork, in_runtime

CLIPS = np.random.default_rng(0).integers(0, 256, (2, 3, 61, 83, 3), "uint8")
PACKAGES = {"openvino": "openvino", "litert": "ai_edge_litert"}
PACKAGES["litert_8bit"] = PACKAGES["litert"]


@pytest.fixture(params=["openvino", "litert"])
def exact(request):
    """A runtime that computes in float32."""
    return installed(request.param)


def installed(runtime):
    pytest.importorskip(PACKAGES[runtime])
    if keras.backend.backend() != "tensorflow":
        pytest.skip("runtimes convert TensorFlow's graphs")
    return runtime


def two_stream():
    builder = HiddenTwoStreamBuilder(["left", "right"], 3, (32, 32)).motion("tiny")
    return builder.temporal("tiny").spatial("tiny").build()


def test_every_other_runtime_is_tested():
    assert set(PACKAGES) == set(RUNTIMES) - {"keras"}


@pytest.mark.parametrize(
    ("runtime", "extra"),
    [("openvino", "openvino"), ("litert", "litert"), ("litert_8bit", "litert")],
)
def test_a_missing_runtime_is_reported(monkeypatch, runtime, extra):
    monkeypatch.setitem(sys.modules, PACKAGES[runtime], None)
    motion_net = MotionNet(3, "tiny")
    with pytest.raises(UserError, match=rf"pip install 'h2s_keras\[{extra}\]'"):
        in_runtime(motion_net, runtime)


def test_an_unknown_runtime_is_reported():
    with pytest.raises(UserError, match="one of keras, openvino, .*; received 'tpu'"):
        in_runtime(MotionNet(3, "tiny"), "tpu")


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="of other backends")
@pytest.mark.parametrize("runtime", ["openvino", "litert"])
def test_a_runtime_needs_the_backend_tensorflow(runtime):
    pytest.importorskip(PACKAGES[runtime])
    with pytest.raises(UserError, match="on the backend TensorFlow"):
        in_runtime(MotionNet(3, "tiny"), runtime)


def test_an_export_keeps_its_own_runtime(exact):
    with pytest.raises(UserError, match="takes a .keras model; received object"):
        in_runtime(object(), exact)


def test_flow_is_the_same(exact):
    motion_net = MotionNet(3, "tiny")
    # The other runtime goes first: it finds a network that has no weights yet.
    network = in_runtime(motion_net, exact)
    again = network.estimate_flow(CLIPS)
    flow = motion_net.estimate_flow(CLIPS)
    assert np.abs(flow).max() > 0.01
    np.testing.assert_allclose(again, flow, atol=1e-4)
    # Another size, and another number of clips, on the same network.
    small = CLIPS[:1, :, :40, :48]
    again = network.estimate_flow(small)
    np.testing.assert_allclose(again, motion_net.estimate_flow(small), atol=1e-4)
    again = network.estimate_flow(CLIPS[1:])
    np.testing.assert_allclose(again, flow[1:], atol=1e-4)
    # After further training the network is given to the runtime once more.
    motion_net.set_weights([0.9 * weight for weight in motion_net.get_weights()])
    again = in_runtime(motion_net, exact).estimate_flow(small)
    np.testing.assert_allclose(again, motion_net.estimate_flow(small), atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow")
def test_every_change_of_a_weight_is_noticed():
    """Also of a large kernel alone, whose other weights stay."""
    motion_net = MotionNet(3, "tiny")
    network = RuntimeNetwork(motion_net, "openvino")
    large = max(motion_net.weights, key=lambda weight: np.prod(weight.shape))
    kept = large.numpy()
    assert kept.size > 2**17 and network.is_current()
    one = kept.copy()
    one[1, 2, 3, 4] += 1e-3
    swapped = kept.copy()
    swapped[..., [0, 1]] = kept[..., [1, 0]]
    changes = {
        "one": one,
        "negated": -kept,
        "halved": kept / 2,
        "turned": kept[::-1],
        "channels": swapped,
    }
    for name, changed in changes.items():
        large.assign(changed)
        assert not network.is_current(), name
    large.assign(kept)
    assert network.is_current()


def test_scores_of_every_stream_are_the_same(exact):
    network, clips = two_stream(), CLIPS[:, :, :32, :32]
    expected = network.predict_on_batch(clips)
    classifier = VideoClassifier(network, runtime=exact)
    assert classifier.class_names == ["left", "right"]
    actual = classifier.model.predict_on_batch(clips)
    assert set(actual) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, atol=1e-4)
    # Answers of one object never come from weights of different times.
    network.set_weights([2.0 * weight for weight in network.get_weights()])
    again = classifier.model.predict_on_batch(clips)
    np.testing.assert_array_equal(again["logits"], actual["logits"])
    with pytest.raises(UserError, match=rf"have changed .* in_runtime\(model, '{exact}'\)"):
        classifier.model.predict_on_batch(clips.astype("float32"))


def test_frames_warped_between_passes_are_not_rounded(exact):
    motion_net = MotionNet.from_preset("tiny_synthetic", num_frames=2)
    clips = CLIPS[:, :2]
    expected = motion_net.estimate_flow(clips)
    again = in_runtime(motion_net, exact).estimate_flow(clips)
    np.testing.assert_allclose(again, expected, atol=1e-3)
    # One of a run has seen no size of frames yet.
    fresh = motion_net.with_num_frames(3).with_num_frames(2)
    again = in_runtime(fresh, exact).estimate_flow(clips)
    np.testing.assert_allclose(again, expected, atol=1e-3)


def test_eight_bits_round_but_find_the_same_motion():
    """Within a tenth of the motion, and not equal: the weights have 8 bits."""
    runtime = installed("litert_8bit")
    motion_net = MotionNet.from_preset("tiny_synthetic", num_frames=2)
    ramp = np.linspace(0, 6 * np.pi, 96)
    picture = 128 + 60 * np.sin(ramp)[:, None, None] * np.cos(ramp)[None, :, None]
    picture = np.repeat(picture, 3, axis=-1)
    pair = np.stack([picture[8:72, 8:72], picture[8:72, 5:69]])[None].astype("uint8")
    flow = motion_net.estimate_flow(pair)[0, 0, 12:-12, 12:-12]
    network = in_runtime(motion_net, runtime)
    again = network.estimate_flow(pair)[0, 0, 12:-12, 12:-12]
    assert flow[..., 0].mean() == pytest.approx(3.0, abs=0.5)
    distance = np.sqrt(np.square(again - flow).sum(-1)).mean()
    assert 1e-4 < distance < 0.1 * 3.0
    network, clips = two_stream(), CLIPS[:, :, :32, :32]
    expected = network.predict_on_batch(clips)
    actual = in_runtime(network, runtime).predict_on_batch(clips)
    for name, value in expected.items():
        largest = np.abs(value).max()
        np.testing.assert_allclose(actual[name], value, atol=0.1 * largest)
