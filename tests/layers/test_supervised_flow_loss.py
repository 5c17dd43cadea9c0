import numpy as np
import pytest
from checks import POLICIES, assert_close, assert_survives_config, dtype_of, to_numpy
from gradient import gradient
from keras import ops

from h2s_keras.layers import SupervisedFlowLoss

RANDOM = np.random.default_rng(12)
TRUTH = RANDOM.normal(size=(2, 1, 16, 16, 2)).astype("float32")


def penalty(error):
    return (error**2 + 0.01**2) ** 0.4


def test_by_hand():
    truth = np.zeros((2, 1, 16, 16, 2), "float32")
    truth[..., 0] = 4.0
    flows = {
        "flow2": np.full((2, 1, 8, 8, 2), 0.0, "float32"),  # off by 2 of its pixels
        "flow3": np.full((2, 1, 4, 4, 2), 0.0, "float32"),  # off by 1, which is 2 of flow2
    }
    flows["flow3"][1, ..., 0] = 1.0
    total = SupervisedFlowLoss(level_weights=(1.0, 0.5))(truth, flows)["total"]
    first, second = 1.5 * penalty(2.0), penalty(2.0) + 0.5 * penalty(0.0)
    assert_close(total, np.array([first, second]), rtol=1e-4)


def test_true_flow_costs_least_and_the_gradient_points_to_it():
    truth = np.full((1, 1, 16, 16, 2), 3.0, "float32")
    layer = SupervisedFlowLoss()

    def loss(flow):
        return ops.sum(layer(truth, {"flow2": flow})["total"])

    right = np.full((1, 1, 8, 8, 2), 1.5, "float32")
    (at_truth,) = gradient(loss, right)
    assert np.abs(at_truth).max() < 1e-6
    wrong = right + RANDOM.uniform(0.2, 1.0, right.shape).astype("float32")
    (slope,) = gradient(loss, wrong)
    assert (slope > 0).all()
    assert float(loss(wrong)) > float(loss(right))


@pytest.mark.parametrize("policy", POLICIES)
def test_float32_under_every_policy(policy):
    flows = {"flow2": ops.cast(RANDOM.normal(size=(2, 1, 8, 8, 2)), "float16")}
    total = SupervisedFlowLoss(dtype=policy)(TRUTH, flows)["total"]
    assert dtype_of(total) == "float32" and np.isfinite(to_numpy(total)).all()


def test_pairs_must_agree():
    with pytest.raises(ValueError, match="same number of pairs"):
        SupervisedFlowLoss()(TRUTH, {"flow2": np.zeros((2, 3, 8, 8, 2), "float32")})


def test_config():
    flows = {"flow2": np.zeros((2, 1, 8, 8, 2), "float32")}
    layer = SupervisedFlowLoss(level_weights=(2.0, 1.0), alpha=0.3)
    assert_survives_config(layer, TRUTH, flows)


def test_without_levels():
    with pytest.raises(ValueError, match="must hold levels flow2 .. flow6; received"):
        SupervisedFlowLoss()(ops.ones((1, 1, 8, 8, 2)), {"logits": None})
    with pytest.raises(ValueError, match="one factor or more"):
        SupervisedFlowLoss(level_weights=())
