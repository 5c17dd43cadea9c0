"""Each clip pays one of two losses, and only that."""

import numpy as np
import pytest
from checks import POLICIES, assert_close, assert_survives_config, dtype_of, to_numpy
from gradient import gradient
from keras import ops

from h2s_keras.layers import MixedFlowLoss, SupervisedFlowLoss, UnsupervisedFlowLoss

RANDOM = np.random.default_rng(7)
CLIPS = RANDOM.integers(0, 256, (3, 2, 32, 32, 3)).astype("uint8")
TRUTH = RANDOM.normal(size=(3, 1, 32, 32, 2)).astype("float32")
UNKNOWN = np.full_like(TRUTH, np.nan)
FLOWS = {
    "flow2": RANDOM.normal(size=(3, 1, 16, 16, 2)).astype("float32"),
    "flow3": RANDOM.normal(size=(3, 1, 8, 8, 2)).astype("float32"),
}
REAL = {"smoothness_weight": 3.0, "edge_weight": 5.0}


def test_only_real_clips_pay_what_the_unsupervised_loss_says():
    terms = MixedFlowLoss(UnsupervisedFlowLoss(**REAL))(CLIPS, UNKNOWN, FLOWS)
    expected = UnsupervisedFlowLoss(**REAL)(CLIPS, FLOWS)
    assert_close({name: terms[name] for name in expected}, expected)
    assert_close(terms["end_point_error"], np.zeros(3))


def test_only_synthetic_clips_pay_what_the_supervised_loss_says():
    loss = MixedFlowLoss(supervised=SupervisedFlowLoss(alpha=0.3), supervised_weight=2.0)
    terms = loss(CLIPS, TRUTH, FLOWS)
    expected = 2.0 * SupervisedFlowLoss(alpha=0.3)(TRUTH, FLOWS)["total"]
    assert_close(terms["end_point_error"], expected)
    assert_close(terms["total"], expected)
    for name in ("photometric", "smoothness", "ssim"):
        assert_close(terms[name], np.zeros(3))


def test_a_mixed_batch_by_clip():
    truth = TRUTH.copy()
    truth[1] = np.nan
    total = to_numpy(MixedFlowLoss()(CLIPS, truth, FLOWS)["total"])
    real = to_numpy(UnsupervisedFlowLoss()(CLIPS, FLOWS)["total"])
    synthetic = to_numpy(SupervisedFlowLoss()(TRUTH, FLOWS)["total"])
    assert_close(total, np.array([synthetic[0], real[1], synthetic[2]]))


def test_a_clip_of_which_a_part_is_known_counts_as_real():
    truth = TRUTH.copy()
    truth[0, 0, 3, 4] = np.nan
    terms = MixedFlowLoss()(CLIPS, truth, FLOWS)
    real = UnsupervisedFlowLoss()(CLIPS, FLOWS)["total"]
    assert_close(terms["total"][0], real[0])


def test_gradients_are_those_of_the_two_losses():
    truth = TRUTH.copy()
    truth[1] = np.nan

    def slope(loss):
        (found,) = gradient(lambda flow: ops.sum(loss({"flow2": flow})), FLOWS["flow2"])
        return found

    mixed = slope(lambda flows: MixedFlowLoss()(CLIPS, truth, flows)["total"])
    real = slope(lambda flows: UnsupervisedFlowLoss()(CLIPS, flows)["total"])
    synthetic = slope(lambda flows: SupervisedFlowLoss()(TRUTH, flows)["total"])
    assert np.isfinite(mixed).all() and np.abs(mixed[1]).max() > 0
    assert_close(mixed[[0, 2]], synthetic[[0, 2]])
    assert_close(mixed[1], real[1])


@pytest.mark.parametrize("policy", POLICIES)
def test_float32_under_every_policy(policy):
    flows = {"flow2": ops.cast(FLOWS["flow2"], "float16")}
    total = MixedFlowLoss(dtype=policy)(CLIPS, UNKNOWN, flows)["total"]
    assert dtype_of(total) == "float32" and np.isfinite(to_numpy(total)).all()


def test_config():
    layer = MixedFlowLoss(
        UnsupervisedFlowLoss(**REAL), SupervisedFlowLoss(alpha=0.3), supervised_weight=0.5
    )
    truth = TRUTH.copy()
    truth[2] = np.nan
    assert_survives_config(layer, CLIPS, truth, FLOWS)
