"""Clips as a camera films them: still backgrounds, small motions, what codecs leave."""

import numpy as np
import pytest

from h2s_keras.data import MovingLayerClips
from h2s_keras.data.synthetic.moving_layers import CODECS, texture_bank, through_codec
from h2s_keras.data.training_data import make_data
from h2s_keras.ops.warp import backward_warp


def warped(frame, flow):
    """The second frame as the first would see it, and where that lies inside."""
    moved, inside = backward_warp(
        frame[None].astype("float32"), flow[None].astype("float32"), return_mask=True
    )
    return np.asarray(moved)[0], np.asarray(inside)[0, ..., 0] > 0


@pytest.fixture(scope="module")
def examples():
    clips = MovingLayerClips(num_frames=2, seed=4, filmed=1, degrade=False)
    stream = clips.dataset(60, 60, with_flow=True)
    return next(stream.as_numpy_iterator())


def test_some_cameras_stand_still_and_others_do_not(examples):
    moves = np.abs(examples["flow"][:, 0]).max(axis=-1)
    unmoved = (moves < 1e-4).mean(axis=(1, 2))
    # Where the camera is still the background is most of the picture.
    assert 0.2 < (unmoved > 0.4).mean() < 0.7
    assert (unmoved < 0.05).mean() > 0.3


def test_motions_below_half_a_pixel_are_as_frequent_as_those_of_some(examples):
    speed = np.linalg.norm(examples["flow"][:, 0], axis=-1)
    small, large = (speed > 1e-4) & (speed < 0.5), speed > 2.0
    assert small.mean() > 0.08 and large.mean() > 0.04
    assert speed.max() > 4.0


def test_flow_explains_the_next_frame(examples):
    right, wrong = [], []
    for clip, flow in zip(examples["clip"].astype(float), examples["flow"], strict=True):
        if np.median(np.abs(flow)) < 0.3:
            continue
        for sign, found in ((1, right), (-1, wrong)):
            moved, inside = warped(clip[1], sign * flow[0])
            found.append(np.median(np.abs(moved - clip[0])[inside]))
    assert len(right) > 8
    assert np.mean(right) < 1.5 and np.mean(wrong) > 3 * np.mean(right)


def test_still_shapes_on_a_still_background_do_not_change(examples):
    clips, flows = examples["clip"].astype(int), examples["flow"][:, 0]
    still = np.abs(flows).max(axis=-1) == 0.0
    change = np.abs(clips[:, 1] - clips[:, 0]).max(axis=-1)
    assert still.mean() > 0.1
    # But where a shape comes over it in the second frame.
    assert (change[still] <= 1).mean() > 0.95


def test_training_reads_a_pool_of_them():
    settings = {"kind": "moving_layers", "filmed": 1, "pool": 4, "targets": "flow"}
    settings |= {"num_frames": 3, "image_size": (32, 32), "seed": 1, "test_count": 2}
    data = make_data(settings)
    clips, flow = next(data.training(4).as_numpy_iterator())
    assert clips.shape == (4, 3, 32, 32, 3) and clips.dtype == np.uint8
    assert flow.shape == (4, 2, 32, 32, 2)
    (batch,) = data.evaluation(2)
    assert batch["clip"].shape == (2, 3, 32, 32, 3)
    again = next(make_data(settings).training(4).as_numpy_iterator())
    np.testing.assert_array_equal(again[0], clips)


def test_a_share_of_clips_is_filmed():
    def still(filmed):
        clips = MovingLayerClips(2, (32, 32), seed=4, filmed=filmed, degrade=False)
        batch = next(clips.dataset(40, 40, with_flow=True).as_numpy_iterator())
        return (np.abs(batch["flow"]).max(axis=(1, 4)) < 1e-5).mean()

    assert still(0) < 0.01 < still(0.5) < still(1)
    with pytest.raises(ValueError, match="0 to 1; received 2"):
        MovingLayerClips(filmed=2)


@pytest.fixture(scope="module")
def moving():
    """A texture that moves a pixel a frame to the left, in grey: no colour to lose."""
    texture = texture_bank(2, 64, seed=3)[1].mean(axis=-1).astype("uint8")
    frames = [np.roll(texture, -step, axis=1)[:40, :48] for step in range(3)]
    return np.repeat(np.stack(frames)[..., None], 3, axis=-1)


@pytest.mark.parametrize("codec", range(len(CODECS)))
def test_a_codec_keeps_shape_and_motion_and_loses_more_when_coarse(moving, codec):
    def loss(coarseness):
        coded = through_codec(moving, codec, coarseness)
        assert coded.shape == moving.shape and coded.dtype == np.uint8
        return np.abs(coded.astype(int) - moving).mean()

    fine, medium, coarse = loss(0.0), loss(0.5), loss(1.0)
    assert 0.0 < fine < medium < coarse < 20.0
    coded = through_codec(moving, codec, 0.0).astype(int)
    right = np.abs(coded[1, :, :-1] - coded[0, :, 1:]).mean()
    wrong = np.abs(coded[1, :, 1:] - coded[0, :, :-1]).mean()
    assert right < 0.5 * wrong


def test_blocks_lie_where_they_are_asked_for(moving):
    at_zero, at_five = (through_codec(moving[:1], 2, 1.0, (0, at))[0] for at in (0, 5))
    steps = np.abs(np.diff(at_zero.astype(int).mean(axis=-1), axis=1)).mean(axis=0)
    moved = np.abs(np.diff(at_five.astype(int).mean(axis=-1), axis=1)).mean(axis=0)
    # The outlines of 8-pixel blocks: between columns 7 and 8, or 2 and 3.
    assert steps[7::8].mean() > 1.2 * np.delete(steps, np.s_[7::8]).mean()
    assert moved[2::8].mean() > 1.2 * np.delete(moved, np.s_[2::8]).mean()


def test_h264_repeats_what_does_not_change(moving):
    noise = np.random.default_rng(0).normal(0, 2, moving.shape)
    still = np.clip(moving[:1] + noise, 0, 255).astype("uint8")
    coded = through_codec(still, 0, 1.0).astype(int)
    before = np.abs(np.diff(still.astype(int), axis=0)).mean()
    assert np.abs(np.diff(coded, axis=0)).mean() < 0.3 * before
