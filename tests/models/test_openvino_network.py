import sys

import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.evaluation.video_classifier import VideoClassifier
from h2s_keras.models import HiddenTwoStreamBuilder, MotionNet
from h2s_keras.models.openvino_network import OpenVinoNetwork

CLIPS = np.random.default_rng(0).integers(0, 256, (2, 3, 61, 83, 3), "uint8")


@pytest.fixture
def without_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)


def test_a_missing_or_unknown_runtime_is_told(without_openvino):
    motion_net = MotionNet(3, "tiny")
    with pytest.raises(UserError, match=r"pip install 'h2s_keras\[openvino\]'"):
        motion_net.estimate_flow(CLIPS, runtime="openvino")
    with pytest.raises(UserError, match="one of keras, openvino; received 'tpu'"):
        motion_net.estimate_flow(CLIPS, runtime="tpu")


def test_an_export_keeps_its_own_runtime():
    pytest.importorskip("openvino")
    with pytest.raises(UserError, match="takes a .keras model; received object"):
        OpenVinoNetwork(object())


def test_flow_is_the_same():
    pytest.importorskip("openvino")
    motion_net = MotionNet(3, "tiny")
    flow = motion_net.estimate_flow(CLIPS)
    again = motion_net.estimate_flow(CLIPS, runtime="openvino")
    assert np.abs(flow).max() > 0.01
    np.testing.assert_allclose(again, flow, atol=1e-4)
    # Another size, and another number of clips, on the same network.
    small = CLIPS[:1, :, :40, :48]
    again = motion_net.estimate_flow(small, runtime="openvino")
    np.testing.assert_allclose(again, motion_net.estimate_flow(small), atol=1e-4)


def test_scores_of_every_stream_are_the_same():
    pytest.importorskip("openvino")
    builder = HiddenTwoStreamBuilder(["left", "right"], 3, (32, 32)).motion("tiny")
    network = builder.temporal("tiny").spatial("tiny").build()
    clips = CLIPS[:, :, :32, :32]
    expected = network.predict_on_batch(clips)
    classifier = VideoClassifier(network, runtime="openvino")
    assert classifier.class_names == ["left", "right"]
    actual = classifier.model.predict_on_batch(clips)
    assert set(actual) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, atol=1e-4)


def test_frames_warped_between_passes_are_not_rounded():
    pytest.importorskip("openvino")
    motion_net = MotionNet.from_preset("tiny_synthetic", num_frames=2)
    clips = CLIPS[:, :2]
    again = motion_net.estimate_flow(clips, runtime="openvino")
    np.testing.assert_allclose(again, motion_net.estimate_flow(clips), atol=1e-3)
