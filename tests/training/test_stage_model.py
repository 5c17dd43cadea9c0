"""A stage: its loss against a sum by hand, what moves, and how fast."""

import keras
import numpy as np
import pytest
from checks import dtype_of

from h2s_keras.errors import UserError
from h2s_keras.layers import UnsupervisedFlowLoss
from h2s_keras.models import HiddenTwoStreamBuilder, MotionNet
from h2s_keras.training import StageModel
from h2s_keras.training.flow_objective import FlowObjective
from h2s_keras.training.stages import prepare_stage

STAGE = {
    "name": "both",
    "streams": ["temporal"],
    "train": ["motion", "temporal"],
    "steps": 10,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "optimizer": "sgd",
    "global_clipnorm": None,
    "flow_loss": {},
}


def copy(model):
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.variables]


def moves(before, model):
    return [b - a for a, b in zip(before, copy(model), strict=True)]


def loss_by_hand(network, clips, labels, smoothing):
    """(action, accuracy, terms of the flow loss), from the outputs in NumPy."""
    outputs = network(clips)
    logits = np.asarray(outputs["temporal_logits"], "float64")
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    target = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    flows = {name: value for name, value in outputs.items() if name.startswith("flow")}
    terms = UnsupervisedFlowLoss()(clips, flows)
    return (
        -(target * logs).sum(axis=1).mean(),
        np.mean(logits.argmax(axis=1) == labels),
        {name: float(np.mean(np.asarray(value))) for name, value in terms.items()},
    )


def test_loss_is_the_weighted_sum_and_every_term_has_its_name(network, batch):
    clips, labels = batch
    stage = StageModel(
        network,
        ["temporal"],
        UnsupervisedFlowLoss(),
        flow_loss_weight=0.25,
        action_loss_weight=3.0,
        label_smoothing=0.2,
    )
    stage.compile(optimizer="sgd")
    logs = stage.test_on_batch(clips, labels, return_dict=True)
    action, accuracy, terms = loss_by_hand(network, clips, labels, 0.2)
    assert set(logs) == {
        "loss",
        "photometric",
        "smoothness",
        "ssim",
        "action",
        "accuracy",
    }
    assert logs["action"] == pytest.approx(action, rel=1e-4)
    assert logs["accuracy"] == pytest.approx(accuracy)
    for name in ("photometric", "smoothness", "ssim"):
        assert logs[name] == pytest.approx(terms[name], rel=1e-4)
    expected = 3.0 * action + 0.25 * (
        terms["photometric"] + terms["smoothness"] + terms["ssim"]
    )
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)


def test_motion_stage_needs_no_labels_and_takes_a_bare_motion_net(batch):
    stage = StageModel(MotionNet(3, "tiny"), ["motion"], UnsupervisedFlowLoss())
    stage.compile(optimizer="sgd")
    logs = stage.test_on_batch(batch[0], np.zeros(4), return_dict=True)
    assert set(logs) == {"loss", "photometric", "smoothness", "ssim"}


def test_two_streams_share_the_action_term(network, batch):
    clips, labels = batch
    stage = StageModel(network, ["temporal", "spatial"])
    stage.compile(optimizer="sgd")
    logs = stage.test_on_batch(clips, labels, return_dict=True)
    assert set(logs) == {"loss", "action", "accuracy"}
    assert logs["loss"] == pytest.approx(2 * logs["action"], rel=1e-5)


def test_smoothness_climbs_geometrically_in_training_only(network, batch):
    clips, labels = batch
    for layer in network.motion.head.flow_convolutions:
        layer.kernel.assign(layer.kernel * 100)
    stage = StageModel(
        network,
        ["motion"],
        FlowObjective(UnsupervisedFlowLoss(), smoothness_ramp=100, smoothness_start=0.01),
    )
    stage.compile(optimizer="sgd")
    outputs = stage(clips)

    def smoothness(step, training=True):
        stage.step_counter.assign(step)
        stage.reset_metrics()
        stage.compute_loss(clips, labels, outputs, training=training)
        return float(stage.term_trackers["smoothness"].result())

    full = smoothness(0, training=False)
    assert full > 0
    for step, share in ((0, 0.01), (25, 0.01**0.75), (50, 0.1), (100, 1.0), (500, 1.0)):
        assert smoothness(step) == pytest.approx(share * full, rel=1e-3)


@pytest.mark.parametrize(
    ("train", "still"),
    [
        (["temporal"], ("motion", "spatial")),
        (["motion"], ("temporal", "spatial")),
        (["motion", "temporal"], ("spatial",)),
    ],
)
def test_frozen_parts_do_not_change(network, batch, train, still):
    before = {
        part: copy(getattr(network, part)) for part in ("motion", "temporal", "spatial")
    }
    stage_model = prepare_stage(network, {**STAGE, "train": train})
    stage_model.train_on_batch(*batch)
    for part, values in before.items():
        largest = max(np.abs(move).max() for move in moves(values, getattr(network, part)))
        assert (largest == 0) == (part in still), part


def test_a_part_with_a_tenth_of_the_rate_moves_a_tenth(network, batch):
    start = network.get_weights()
    before = {part: copy(getattr(network, part)) for part in ("motion", "temporal")}
    found = {}
    for name, factors in (("even", {}), ("slow", {"motion": 0.1})):
        network.set_weights(start)
        stage = {**STAGE, "lr_multipliers": factors}
        stage_model = prepare_stage(network, stage)
        stage_model.train_on_batch(*batch)
        found[name] = {
            part: moves(values, getattr(network, part)) for part, values in before.items()
        }
    for part, factor in (("motion", 0.1), ("temporal", 1.0)):
        for even, slow in zip(found["even"][part], found["slow"][part], strict=True):
            assert np.abs(even).max() > 0
            # Differences of float32 weights carry a rounding of their own.
            np.testing.assert_allclose(slow, factor * even, rtol=1e-2, atol=3e-7)


def test_smoothness_still_climbs_with_groups(network, batch):
    stage = {**STAGE, "lr_multipliers": {"motion": 0.1}}
    stage["flow_loss"] = {**STAGE["flow_loss"], "smoothness_ramp": 10}
    stage_model = prepare_stage(network, stage)
    for _ in range(3):
        stage_model.train_on_batch(*batch)
    assert int(stage_model.step_counter) == 3
    stage_model.test_on_batch(*batch)
    assert int(stage_model.step_counter) == 3  # measuring does not move the ramp


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"train": ["temporal"], "lr_multipliers": {"motion": 0.1}},
            "names 'motion', which has nothing to train",
        ),
        ({"lr_multipliers": {"motoin": 0.1}}, "names 'motoin'"),
        ({"optimizer": "lion"}, "'adam' or 'sgd'; received 'lion'"),
        ({"schedule": "linear"}, "schedule takes 'constant', 'cosine'"),
        ({"streams": ["tempral"]}, "streams takes one or several of 'motion', 'temp"),
        ({"streams": ["motion"], "train": ["motion"], "flow_loss": None}, "pass flow_loss"),
        (
            {"flow_loss": {"weighting": "mine"}},
            "flow_loss.weighting takes 'paper' or",
        ),
    ],
)
def test_wrong_stages(network, changes, text):
    with pytest.raises(ValueError, match=text):
        prepare_stage(network, {**STAGE, **changes})


def test_a_stage_of_a_missing_part_is_named(network):
    network.spatial = None
    with pytest.raises(UserError, match="trains 'spatial', which the model does not have"):
        prepare_stage(network, {**STAGE, "train": ["spatial"]})


def test_config_round_trip(network):
    stage = StageModel(
        network,
        ["temporal", "spatial"],
        FlowObjective(
            UnsupervisedFlowLoss(border=0.2), smoothness_ramp=7, smoothness_start=0.3
        ),
        flow_loss_weight=0.5,
        action_loss_weight=2.0,
        label_smoothing=0.1,
    )
    again = StageModel.from_config(stage.get_config())
    one, two = stage.get_config(), again.get_config()
    for name in set(one) - {"network", "name"}:
        assert one[name] == two[name], name


# === Segments ===


@pytest.mark.parametrize(
    ("mode", "policy"), [("average", "mixed_bfloat16"), ("max", "float32")]
)
def test_segments_share_one_consensus_and_mean_flow_terms(network, batch, mode, policy):
    clips, labels = batch
    segments = np.stack([clips, clips[::-1], clips[[1, 0, 3, 2]]], axis=1)
    keras.config.set_dtype_policy(policy)
    try:
        stage = StageModel(network, ["temporal"], UnsupervisedFlowLoss(), consensus=mode)
    finally:
        keras.config.set_dtype_policy("float32")
    stage.compile(optimizer="sgd")
    assert dtype_of(stage(segments)["temporal_logits"]) == "float32"
    logs = stage.test_on_batch(segments, labels, return_dict=True)
    logits, terms = [], []
    for number in range(3):
        outputs = network(segments[:, number])
        logits.append(np.asarray(keras.ops.convert_to_numpy(outputs["temporal_logits"])))
        flows = {k: v for k, v in outputs.items() if k.startswith("flow")}
        found = UnsupervisedFlowLoss()(segments[:, number], flows)
        terms.append(np.mean(keras.ops.convert_to_numpy(found["total"])))
    joined = np.mean(logits, axis=0) if mode == "average" else np.max(logits, axis=0)
    logs_of = joined - np.log(np.exp(joined).sum(axis=1, keepdims=True))
    action = -logs_of[np.arange(4), labels].mean()
    assert logs["action"] == pytest.approx(action, rel=1e-4)
    assert logs["loss"] == pytest.approx(action + np.mean(terms), rel=1e-4)


def test_a_stage_learns_on_segments_with_groups_and_accumulation(network, batch):
    clips, labels = batch
    stage = {
        **STAGE,
        "consensus": "average",
        "gradient_accumulation_steps": 2,
        "lr_multipliers": {"motion": 0.5, "temporal": 10.0, "temporal.bias": 20.0},
    }
    model = prepare_stage(network, stage)
    before = {part: copy(getattr(network, part)) for part in ("motion", "temporal")}
    segments = np.stack([clips, clips[::-1]], axis=1)
    model.train_on_batch(segments, labels)
    for part, values in before.items():
        assert not any(np.abs(move).max() for move in moves(values, getattr(network, part)))
    model.train_on_batch(segments, labels)
    for part, values in before.items():
        assert all(np.abs(move).max() > 0 for move in moves(values, getattr(network, part)))


def test_a_part_that_was_saved_frozen_is_frozen_again(network, tmp_path):
    """A MotionNet out of a finished run learned from actions alone, and lost its flow."""
    network.motion.trainable = False
    network.motion.save(tmp_path / "motion.keras")
    builder = HiddenTwoStreamBuilder(4, 3, (32, 32)).motion(str(tmp_path / "motion.keras"))
    again = builder.temporal("tiny").build()
    stage = {"name": "temporal", "streams": ["temporal"], "train": ["temporal"]}
    model = prepare_stage(again, {**stage, "steps": 1, "learning_rate": 1e-3})
    assert len(model.trainable_variables) == len(again.temporal.trainable_variables)
