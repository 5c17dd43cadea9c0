"""Clips of moving layers: the flow they claim, what they hide, and no leaks."""

import numpy as np
import pytest
from scipy import ndimage

from h2s_keras.data import MovingLayerClips
from h2s_keras.data.synthetic.moving_layers import texture_bank
from h2s_keras.data.training_data import make_data
from h2s_keras.options import RunOptions


def take(count, **options):
    clips = MovingLayerClips(**options)
    return [
        {name: np.asarray(value) for name, value in clips.example(index).items()}
        for index in range(count)
    ]


def warped(frame, flow):
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(float)
    y, x = y + flow[..., 1], x + flow[..., 0]
    inside = (x >= 1) & (x <= width - 2) & (y >= 1) & (y <= height - 2)
    channels = [
        ndimage.map_coordinates(frame[..., c].astype(float), [y, x], order=1)
        for c in range(3)
    ]
    return np.stack(channels, -1), inside


def test_flow_explains_the_next_frame():
    right, wrong = [], []
    for example in take(12, num_frames=3, image_size=(64, 80), seed=4, degrade=False):
        for pair in (0, 1):
            first, second = example["clip"][pair : pair + 2].astype(float)
            for sign, found in ((1, right), (-1, wrong)):
                moved, inside = warped(second, sign * example["flow"][pair])
                found.append(np.median(np.abs(moved - first)[inside]))
    # Textures are sharp, so interpolation leaves a little; the wrong sign leaves much.
    assert np.mean(right) < 2.0
    assert np.mean(wrong) > 4 * np.mean(right)


def test_flow_jumps_where_shapes_move_over_the_ground():
    jumping = 0
    for example in take(20, num_frames=2, seed=4):
        flow = example["flow"][0]
        steps = np.abs(np.diff(flow, axis=1)).max(), np.abs(np.diff(flow, axis=0)).max()
        jumping += max(steps) > 0.5
    assert 10 <= jumping <= 20


@pytest.mark.long
def test_speeds_reach_what_is_asked_and_most_are_slow():
    fastest = np.array(
        [
            np.linalg.norm(example["flow"], axis=-1).max()
            for example in take(60, num_frames=2, seed=5, max_displacement=20.0)
        ]
    )
    assert 15.0 < fastest.max() < 30.0
    assert np.median(fastest) < 12.0


def test_a_clip_depends_on_seed_split_and_number_alone():
    clips = MovingLayerClips(num_frames=2, seed=6)
    wanted = np.asarray(clips.example(5)["clip"])
    for count in (2, 3):
        batches = clips.dataset(count, start=4 if count == 2 else 3).take(1)
        (pair,) = batches.as_numpy_iterator()
        np.testing.assert_array_equal(pair[0][1 if count == 2 else 2], wanted)
    for other in (
        MovingLayerClips(num_frames=2, seed=7),
        MovingLayerClips(num_frames=2, seed=6, split="test"),
    ):
        assert not np.array_equal(np.asarray(other.example(5)["clip"]), wanted)


def test_light_changes_and_noise_can_be_left_out():
    noisy = take(8, num_frames=2, seed=6)
    clean = take(8, num_frames=2, seed=6, degrade=False)
    for one, two in zip(noisy, clean, strict=True):
        np.testing.assert_array_equal(one["flow"], two["flow"])
    assert any(
        np.abs(one["clip"].mean() - two["clip"].mean()) > 1
        or not np.array_equal(one["clip"], two["clip"])
        for one, two in zip(noisy, clean, strict=True)
    )


@pytest.mark.long
def test_a_pool_is_shown_in_many_guises():
    clips = MovingLayerClips(num_frames=2, image_size=(32, 32), seed=3, pool=3)
    (shown,) = clips.dataset(60, 60).map(lambda clip, label: clip).as_numpy_iterator()
    again = clips.dataset(10, start=20).map(lambda clip, label: clip).take(1)
    np.testing.assert_array_equal(next(again.as_numpy_iterator()), shown[20:30])
    made = [np.asarray(clips.example(index)["clip"]) for index in range(3)]
    # Guises only move values, so sums tell which of the pool it was.
    sums = {int(clip.astype(int).sum()) for clip in made}
    assert {int(clip.astype(int).sum()) for clip in shown} == sums
    assert len(np.unique(shown.reshape(60, -1), axis=0)) > 40
    # With flow, as for tests, clips are made anew and no guise is put on.
    batch = next(clips.dataset(2, 2, with_flow=True).as_numpy_iterator())
    np.testing.assert_array_equal(batch["clip"][1], made[1])
    with pytest.raises(ValueError, match="square"):
        MovingLayerClips(image_size=(32, 40), pool=3)


@pytest.mark.parametrize("options", [{}, {"pool": 4}], ids=["anew", "pool"])
def test_flow_beside_the_clips_fits_them(options):
    options = {**options, "image_size": (64, 64), "degrade": False}
    clips = MovingLayerClips(num_frames=2, seed=4, **options)
    (batch,) = clips.dataset(16, 16, targets="flow").as_numpy_iterator()
    errors = []
    for guess in (batch[1], -batch[1], batch[1][..., ::-1]):
        pairs = zip(batch[0].astype(float), guess[:, 0], strict=True)
        moved = [(warped(clip[1], flow), clip[0]) for clip, flow in pairs]
        errors.append(np.mean([np.abs(w - f)[i].mean() for (w, i), f in moved]))
    assert errors[0] < 0.6 * min(errors[1:])


def test_textures_are_periodic_and_have_a_natural_spectrum():
    bank = texture_bank(8, 64, seed=1).astype(float)
    inside = np.abs(np.diff(bank, axis=2)).mean()
    around = np.abs(bank[:, :, 0] - bank[:, :, -1]).mean()
    assert around < 2 * inside
    spectrum = np.abs(np.fft.fft2(bank.mean(axis=-1)))[:, 0].mean(axis=0)
    slope = np.polyfit(np.log(np.arange(1, 24)), np.log(spectrum[1:24]), 1)[0]
    assert -1.9 < slope < -0.6
    np.testing.assert_array_equal(bank, texture_bank(8, 64, seed=1))


def test_training_reads_them():
    settings = {"kind": "moving_layers", "num_frames": 2, "image_size": (32, 32)}
    data = make_data({**settings, "seed": 1, "test_count": 3})
    clips, labels = next(data.training(4).as_numpy_iterator())
    assert clips.shape == (4, 2, 32, 32, 3) and not labels.any()
    batches = list(data.evaluation(2))
    assert [len(batch["flow"]) for batch in batches] == [2, 1]
    assert RunOptions.of({"stages": [], "model": {"temporal": None}})


@pytest.mark.parametrize(
    ("options", "told"),
    [({"num_frames": 1}, "at least 2 frames"), ({"split": "mine"}, "split must be")],
)
def test_mistakes(options, told):
    with pytest.raises(ValueError, match=told):
        MovingLayerClips(**options)
