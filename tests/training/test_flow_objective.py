"""The passes and ramps around the unsupervised loss, and that each can teach."""

import keras
import numpy as np
import pytest
from checks import assert_close, assert_differs, to_numpy
from keras import ops

from h2s_keras.errors import UserError
from h2s_keras.layers import UnsupervisedFlowLoss
from h2s_keras.models import MotionNet
from h2s_keras.training import StageModel
from h2s_keras.training.flow_objective import FlowObjective

RANDOM = np.random.default_rng(2)


def make_clips(frames=2, size=32, margin=0):
    shape = (2, frames, size + 2 * margin, size + 2 * margin, 3)
    return RANDOM.integers(0, 256, shape, dtype="uint8")


def make_motion(frames=2):
    keras.utils.set_random_seed(3)
    motion_net = MotionNet(frames, "tiny")
    motion_net.build((None, frames, 32, 32, 3))
    for layer in motion_net.head.flow_convolutions:
        layer.kernel.assign(layer.kernel * 100)
    return motion_net


def run(objective, motion_net, clips, step=None):
    visible = objective.visible_clips(clips)
    flows = motion_net(objective.first_view(visible))
    extra = objective.extra_passes(motion_net, visible, flows, 0.0)
    return objective.evaluate(clips, {**flows, **extra}, step), {**flows, **extra}


def test_plain_objective_is_the_loss():
    clips, motion_net = make_clips(3), make_motion(3)
    loss = UnsupervisedFlowLoss(smoothness_weight=3.0)
    terms, outputs = run(FlowObjective(loss), motion_net, clips)
    expected = loss(clips, outputs)
    assert set(terms) == set(expected)
    for name, value in expected.items():
        assert_close(terms[name], value)


def test_margin_is_seen_by_the_warp_and_not_by_the_network():
    clips, motion_net = make_clips(margin=8), make_motion()
    loss = UnsupervisedFlowLoss(border=0.0)
    terms, outputs = run(FlowObjective(loss, margin=8), motion_net, clips)
    middle = clips[:, :, 8:-8, 8:-8]
    assert_close(outputs["flow2"], motion_net(middle)["flow2"])
    # Shrinking the wider frames first changes pixels near the cut, and no others much.
    inside = loss(middle, motion_net(middle))
    assert_differs(terms["photometric"], inside["photometric"])
    other = clips.copy()
    other[:, :, :2] = 0
    changed, again = run(FlowObjective(loss, margin=8), motion_net, other)
    assert_close(again["flow2"], outputs["flow2"])
    assert_differs(changed["photometric"], terms["photometric"])


@pytest.mark.parametrize("kind", ["forward_backward", "range_map"])
def test_occlusion_waits_and_then_counts(kind):
    clips, motion_net = make_clips(3), make_motion(3)
    plain, outputs = run(FlowObjective(UnsupervisedFlowLoss()), motion_net, clips)
    objective = FlowObjective(UnsupervisedFlowLoss(occlusion=kind), occlusion_start=5)
    early, outputs = run(objective, motion_net, clips, step=4.0)
    late, _ = run(objective, motion_net, clips, step=5.0)
    assert_close(early["total"], plain["total"])
    assert_differs(late["photometric"], plain["photometric"])
    # The reversed clip holds its pairs last to first.
    backward = motion_net(clips[:, ::-1])
    assert_close(outputs["backward_flow2"], backward["flow2"])
    assert_close(late["smoothness"], plain["smoothness"])


def test_self_supervision_teaches_the_student_alone():
    clips, motion_net = make_clips(), make_motion()
    objective = FlowObjective(
        UnsupervisedFlowLoss(), self_supervision_weight=2.0, self_supervision_start=10
    )
    waiting, outputs = run(objective, motion_net, clips, step=9.0)
    begun, _ = run(objective, motion_net, clips, step=10.0)
    assert_close(waiting["self_supervision"], np.zeros(2))
    assert (to_numpy(begun["self_supervision"]) > 0).all()
    assert "self_supervision" in objective.terms
    # By hand: the middle half of the teacher, enlarged twice with its values.
    middle = to_numpy(outputs["flow2"])[:, :, 4:-4, 4:-4]
    grown = to_numpy(
        ops.image.resize(middle[:, 0], (16, 16), interpolation="bilinear", antialias=False)
    )
    gap = to_numpy(outputs["student_flow2"])[:, 0] - 2.0 * grown
    expected = 2.0 * np.mean((gap**2 + 1e-6) ** 0.45, axis=(1, 2, 3))
    assert_close(begun["self_supervision"], expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("crop", "error"),
    [
        (1, "1 pixels of the clip are not whole pixels .* a multiple of 2"),
        (5, "5 pixels of the clip are not whole pixels .* a multiple of 2"),
        (16, "leave nothing of clips of 32x32; cut less"),
    ],
)
def test_crops_that_student_and_teacher_cannot_share(crop, error):
    objective = FlowObjective(
        UnsupervisedFlowLoss(), self_supervision_weight=2.0, self_supervision_crop=crop
    )
    with pytest.raises(UserError, match=error):
        run(objective, make_motion(), make_clips())


@pytest.mark.parametrize("crop", [-2, 1.5])
def test_crops_that_make_no_sense(crop):
    with pytest.raises(ValueError, match="takes a whole number of pixels from 0"):
        FlowObjective(UnsupervisedFlowLoss(), self_supervision_crop=crop)


def test_without_a_crop_the_light_alone_differs():
    clips, motion_net = make_clips(), make_motion()
    objective = FlowObjective(
        UnsupervisedFlowLoss(), self_supervision_weight=2.0, self_supervision_crop=0
    )
    terms, outputs = run(objective, motion_net, clips)
    gap = to_numpy(outputs["student_flow2"] - outputs["flow2"])[:, 0]
    expected = 2.0 * np.mean((gap**2 + 1e-6) ** 0.45, axis=(1, 2, 3))
    assert_close(terms["self_supervision"], expected, rtol=1e-3)


def test_refinement_works_from_half_size_up():
    clips, motion_net = make_clips(), make_motion()
    loss = UnsupervisedFlowLoss()
    terms, outputs = run(FlowObjective(loss, refinement=True), motion_net, clips)
    refined = {
        name.removeprefix("refined_"): flow
        for name, flow in outputs.items()
        if name.startswith("refined_")
    }
    flows = {name: flow for name, flow in outputs.items() if name.startswith("flow")}
    pixels = clips.astype("float32").reshape(2, 2, 16, 2, 16, 2, 3)
    # A triangle filter reaches further than a block, but means agree.
    small = FlowObjective(loss, refinement=True).first_view(clips)
    assert small.shape == (2, 2, 16, 16, 3)
    assert_close(ops.mean(small), np.mean(pixels), rtol=0.02)
    assert flows["flow2"].shape[2:4] == (8, 8) and refined["flow2"].shape[2:4] == (16, 16)
    expected = 0.5 * (loss(small, flows)["total"] + loss(clips, refined)["total"])
    assert_close(terms["total"], expected)
    # Where the second pass finds nothing, the flow of the first is left, grown.
    for layer in motion_net.head.flow_convolutions:
        layer.kernel.assign(0.0 * layer.kernel)
        layer.bias.assign(0.0 * layer.bias)
    objective = FlowObjective(loss, refinement=True)
    kept = objective.extra_passes(motion_net, clips, flows, 0.0)["refined_flow3"]
    assert_close(ops.mean(kept), 1.0 * ops.mean(flows["flow2"]), rtol=0.1)
    with pytest.raises(ValueError, match="refinement goes without"):
        FlowObjective(UnsupervisedFlowLoss(occlusion="range_map"), refinement=True)


def test_refinement_by_two_halvings_works_from_a_quarter_up():
    clips, motion_net = make_clips(), make_motion()
    loss = UnsupervisedFlowLoss()
    objective = FlowObjective(loss, refinement=2)
    quarter = objective.first_view(clips)
    assert quarter.shape == (2, 2, 8, 8, 3)
    flows = motion_net(quarter)
    extra = objective.extra_passes(motion_net, clips, flows, 0.0)
    half = FlowObjective(loss, refinement=True).first_view(clips)
    sizes = {"": quarter, "refined1_": half, "refined_": clips}
    outputs, totals = {**flows, **extra}, []
    for prefix, view in sizes.items():
        own = {f"flow{n}": outputs[f"{prefix}flow{n}"] for n in (2, 3, 4)}
        assert own["flow2"].shape[2] == view.shape[2] // 2
        totals.append(to_numpy(loss(view, own)["total"]))
    terms = objective.evaluate(clips, outputs)
    assert_close(terms["total"], np.mean(totals, axis=0))
    # What a stage measures outside of training is the first pass alone.
    assert_close(objective.evaluate(clips, flows)["total"], totals[0])
    again = FlowObjective.from_config(objective.get_config())
    assert again.first_view(clips).shape == (2, 2, 8, 8, 3)
    with pytest.raises(ValueError, match="0 or more; received -1"):
        FlowObjective(loss, refinement=-1)


def test_a_stage_logs_and_learns_every_term():
    motion_net = make_motion(3)
    stage = StageModel(
        motion_net,
        ["motion"],
        FlowObjective(
            UnsupervisedFlowLoss(
                photometric="census",
                edge_weight=10.0,
                smoothness_order=2,
                occlusion="range_map",
                consistency_weight=1.0,
                border=0.0,
            ),
            margin=8,
            self_supervision_weight=0.1,
        ),
    )
    stage.compile(optimizer=keras.optimizers.Adam(1e-4), run_eagerly=True)
    clips = make_clips(3, margin=8)
    before = to_numpy(motion_net.convolutions[0].kernel)
    logs = stage.train_on_batch(clips, np.zeros(2, "int32"), return_dict=True)
    terms = {"photometric", "smoothness", "ssim", "consistency", "self_supervision"}
    assert set(logs) == {"loss", *terms}
    assert all(np.isfinite(value) for value in logs.values())
    assert sum(logs[name] for name in terms) == pytest.approx(logs["loss"], rel=1e-4)
    assert_differs(before, motion_net.convolutions[0].kernel, by=5e-5)
    again = StageModel.from_config(stage.get_config())
    assert again.flow_objective.get_config()["margin"] == 8


def test_true_flow_in_the_place_of_labels():
    from h2s_keras.layers import SupervisedFlowLoss

    motion_net, clips = make_motion(), make_clips()
    truth = RANDOM.normal(size=(2, 1, 32, 32, 2)).astype("float32")
    loss = SupervisedFlowLoss()
    objective = FlowObjective(loss, refinement=True)
    flows = motion_net(objective.first_view(clips))
    extra = objective.extra_passes(motion_net, clips, flows, 0.0)
    terms = objective.evaluate(clips, {**flows, **extra}, truth=truth)
    half = truth.reshape(2, 1, 16, 2, 16, 2, 2).mean(axis=(3, 5)) / 2
    coarse = to_numpy(loss(half, flows)["total"])
    fine = to_numpy(
        loss(truth, {n.removeprefix("refined_"): f for n, f in extra.items()})["total"]
    )
    # A triangle filter instead of the mean of four pixels.
    assert_close(terms["total"], 0.5 * (coarse + fine), rtol=0.1)
    stage = StageModel(motion_net, ["motion"], objective)
    stage.compile(optimizer=keras.optimizers.Adam(3e-4), run_eagerly=True)
    losses = [float(stage.train_on_batch(clips, truth)[0]) for _ in range(8)]
    assert losses[-1] < losses[0]
    with pytest.raises(ValueError, match="goes with the stream 'motion' alone"):
        StageModel(motion_net, ["temporal"], loss)
    with pytest.raises(ValueError, match="leave the margin out"):
        FlowObjective(loss, margin=8)
