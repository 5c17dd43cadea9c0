"""Synthetic clips: the truth they claim, checked by warping with SciPy, and no leaks."""

import numpy as np
import pytest
from scipy import ndimage

from h2s_keras.data.synthetic.action_clips import (
    APPEARANCES,
    CLASS_NAMES,
    MOTIONS,
    SyntheticClips,
)
from h2s_keras.data.training_data import SyntheticData, make_data
from h2s_keras.errors import UserError

NOISE = 2.0  # standard deviation of the noise of a frame, grey levels


def take(count, batch=50, start=0, **options):
    """`count` clips as one dict of arrays."""
    dataset = SyntheticClips(**options).dataset(batch, count, start, with_flow=True)
    batches = list(dataset.as_numpy_iterator())
    return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}


def warp(frame, flow):
    """frame(y + v, x + u) by cubic interpolation, and where that lies inside."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype("float64")
    y, x = y + flow[..., 1], x + flow[..., 0]
    inside = (x >= 2) & (x <= width - 3) & (y >= 2) & (y <= height - 3)
    channels = [
        ndimage.map_coordinates(frame[..., c].astype("float64"), [y, x], order=3)
        for c in range(3)
    ]
    return np.stack(channels, axis=-1), inside


def away_from_edges(flow, margin):
    """Where flow has no jump within `margin` pixels: outlines hide and uncover."""
    jump_x = np.abs(np.diff(flow, axis=1, append=flow[:, -1:])).max(axis=-1)
    jump_y = np.abs(np.diff(flow, axis=0, append=flow[-1:])).max(axis=-1)
    jumps = np.maximum(jump_x, jump_y) > 0.45
    return ~ndimage.binary_dilation(jumps, iterations=margin)


def residual(clips, guess, pairs=((0, 0),)):
    """Root mean square of frame t minus frame t+1 warped by guess(flow)."""
    total, count = 0.0, 0
    for index, pair in pairs:
        flow = clips["flow"][index, pair]
        warped, inside = warp(clips["clip"][index, pair + 1], guess(flow))
        used = inside & away_from_edges(flow, margin=14)
        difference = (clips["clip"][index, pair] - warped)[used]
        total, count = total + np.sum(difference**2), count + difference.size
    assert count > 10000
    return np.sqrt(total / count)


@pytest.mark.parametrize("foreground", [0.0, 1.0])
@pytest.mark.parametrize("motion", MOTIONS)
def test_true_flow_explains_every_pair_and_a_wrong_one_does_not(motion, foreground):
    clips = take(
        12, num_frames=4, seed=5, motions=(motion,), foreground_probability=foreground
    )
    pairs = [(index, pair) for index in range(12) for pair in range(3)]
    exact = residual(clips, lambda flow: flow, pairs)
    # Two noisy frames differ by NOISE * sqrt(2); rounding to uint8 adds a little.
    assert exact < 1.25 * NOISE * np.sqrt(2)
    for wrong in (np.zeros_like, np.negative, lambda flow: flow[..., ::-1]):
        assert residual(clips, wrong, pairs) > 4 * exact


def test_half_a_pixel_would_be_seen():
    clips = take(12, num_frames=2, seed=5, foreground_probability=0.0)
    pairs = [(index, 0) for index in range(12)]
    exact = residual(clips, lambda flow: flow, pairs)
    assert residual(clips, lambda flow: flow + 0.5, pairs) > 1.5 * exact


def test_a_clip_is_a_function_of_seed_split_and_index_alone():
    clips = SyntheticClips(num_frames=3, image_size=(32, 48), seed=7)
    whole = take(12, batch=12, num_frames=3, image_size=(32, 48), seed=7)
    other = take(6, batch=4, start=6, num_frames=3, image_size=(32, 48), seed=7)
    for name in whole:
        np.testing.assert_array_equal(other[name], whole[name][6:], err_msg=name)
    alone = clips.example(9)
    np.testing.assert_array_equal(alone["clip"], whole["clip"][9])
    np.testing.assert_allclose(alone["flow"], whole["flow"][9], atol=1e-5)
    assert whole["clip"].shape == (12, 3, 32, 48, 3) and whole["clip"].dtype == np.uint8
    assert whole["flow"].shape == (12, 2, 32, 48, 2)
    assert not np.array_equal(whole["clip"][0], whole["clip"][1])


def test_pairs_of_clip_and_label_are_the_same_stream():
    clips = SyntheticClips(num_frames=2, image_size=(16, 16), seed=2)
    pictures, labels = next(clips.dataset(8).as_numpy_iterator())
    whole = take(8, num_frames=2, image_size=(16, 16), seed=2)
    np.testing.assert_array_equal(pictures, whole["clip"])
    np.testing.assert_array_equal(labels, whole["label"])


def test_splits_and_seeds_share_no_clip():
    def fingerprints(**options):
        clips = take(64, num_frames=2, image_size=(16, 16), **options)["clip"]
        return {clip.tobytes() for clip in clips}

    streams = [
        fingerprints(seed=seed, split=split)
        for seed in (0, 1)
        for split in ("train", "test")
    ]
    assert [len(stream) for stream in streams] == [64] * 4
    assert len(set.union(*streams)) == 4 * 64
    assert fingerprints(seed=0, split="train") == streams[0]


def test_labels_displacement_and_foreground_share():
    clips = take(200, num_frames=2, seed=3)
    np.testing.assert_array_equal(
        clips["label"], clips["motion"] * len(APPEARANCES) + clips["appearance"]
    )
    assert set(clips["label"]) == set(range(len(CLASS_NAMES)))
    assert CLASS_NAMES[7] == f"{MOTIONS[2]}/{APPEARANCES[1]}"
    fastest = np.linalg.norm(clips["flow"], axis=-1).max(axis=(1, 2, 3))
    assert 8.0 < fastest.max() < 16.0
    share = clips["foreground"].mean()
    assert abs(share - 0.4) < 4 * np.sqrt(0.4 * 0.6 / 200)
    # A clip with a foreground has a jump in its flow, one without has none.
    jump = np.abs(np.diff(clips["flow"][:, 0], axis=2)).max(axis=(1, 2, 3))
    assert jump[~clips["foreground"]].max() < 0.45
    assert (jump[clips["foreground"]] > 0.45).mean() > 0.8


def test_speed_grows_with_the_image():
    def fastest(size):
        clips = take(40, num_frames=2, image_size=size, seed=3)
        return np.linalg.norm(clips["flow"], axis=-1).max()

    assert fastest((64, 64)) == pytest.approx(2 * fastest((32, 32)), rel=0.1)


def chance_of(features, labels, classes, train=500):
    """Held-out accuracy of ridge regression on standardised features."""
    features = features.reshape(len(features), -1).astype("float64")
    mean, deviation = features[:train].mean(0), features[:train].std(0) + 1e-6
    features = np.c_[(features - mean) / deviation, np.ones(len(features))]
    target = np.eye(classes)[labels[:train]]
    gram = features[:train].T @ features[:train] + 30.0 * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features[:train].T @ target)
    return np.mean(np.argmax(features[train:] @ weights, axis=1) == labels[train:])


def frame_features(frames):
    """Colours, contrast along x and y in a 4x4 grid, and a thumbnail."""
    frames = frames.astype("float64") / 255

    def cells(values):
        n, h, w, c = values.shape
        return values.reshape(n, 4, h // 4, 4, w // 4, c).mean(axis=(2, 4))

    grey = frames.mean(axis=-1, keepdims=True)
    in_y, in_x = np.gradient(grey, axis=(1, 2))
    parts = [cells(v) for v in (frames, grey**2, in_x**2, in_y**2, in_x * in_y)]
    return np.concatenate([part.reshape(len(frames), -1) for part in parts], axis=1)


def flow_features(flow):
    """Divergence, curl, shear and speed, and their squares."""
    dx, dy = np.gradient(flow, axis=2), np.gradient(flow, axis=1)
    values = np.stack(
        [
            dx[..., 0] + dy[..., 1],
            dx[..., 1] - dy[..., 0],
            dx[..., 0] - dy[..., 1],
            dx[..., 1] + dy[..., 0],
            np.linalg.norm(flow, axis=-1),
        ],
        axis=-1,
    )
    middle = np.median(values, axis=(1, 2))
    return np.concatenate([middle, np.abs(middle)], axis=1)


@pytest.fixture(scope="module")
def many():
    return take(1100, num_frames=3, image_size=(32, 32), seed=11)


def test_one_frame_says_nothing_of_the_motion(many):
    features = frame_features(many["clip"][:, 1])
    limit = 0.25 + 3.5 * np.sqrt(0.25 * 0.75 / 600)
    assert chance_of(features, many["motion"], 4) < limit
    # The same features and classifier do see what is there to be seen.
    assert chance_of(features, many["appearance"], 3) > 0.95


def test_flow_says_nothing_of_the_appearance(many):
    features = flow_features(many["flow"][:, 0])
    limit = 1 / 3 + 3.5 * np.sqrt(2 / 9 / 600)
    assert chance_of(features, many["appearance"], 3) < limit
    assert chance_of(features, many["motion"], 4) > 0.7


def test_middle_frame_statistics_are_equal_for_all_motions(many):
    grey = many["clip"][:, 1].astype("float64").mean(axis=-1)
    contrast = np.abs(np.gradient(grey, axis=(1, 2))).mean(axis=(0, 2, 3))
    for statistic in (grey.mean(axis=(1, 2)), grey.std(axis=(1, 2)), contrast):
        groups = [statistic[many["motion"] == motion] for motion in range(4)]
        error = statistic.std() / np.sqrt(min(map(len, groups)))
        assert np.ptp([group.mean() for group in groups]) < 5 * error


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_frames": 1}, "at least 2 frames"),
        ({"image_size": (15, 64)}, "16x16"),
        ({"split": "validation"}, "split must be one of"),
        ({"motions": ("jump",)}, "motions must be among"),
        ({"motions": ()}, "motions must be among"),
    ],
)
def test_errors(options, text):
    with pytest.raises(ValueError, match=text):
        SyntheticClips(**options)


SETTINGS = {"num_frames": 2, "image_size": (16, 16), "seed": 4, "test_count": 10}


def test_training_data_continues_at_a_step_and_stays_apart_from_the_test():
    data = make_data({"kind": "synthetic", **SETTINGS})
    assert isinstance(data, SyntheticData) and data.class_names == CLASS_NAMES
    whole = data.training(4, 0, seed=9).take(5).as_numpy_iterator()
    later = data.training(4, 3, seed=9).take(2).as_numpy_iterator()
    whole = list(whole)
    for expected, got in zip(whole[3:], later, strict=True):
        np.testing.assert_array_equal(got[0], expected[0])
    other = next(data.training(4, 0, seed=10).as_numpy_iterator())
    assert not np.array_equal(other[0], whole[0][0])
    tested = list(data.evaluation(4))
    assert [len(batch["label"]) for batch in tested] == [4, 4, 2]
    seen = {clip.tobytes() for clips, _ in whole for clip in clips}
    assert not seen & {clip.tobytes() for batch in tested for clip in batch["clip"]}


def test_unknown_kind_of_data_is_a_user_error():
    with pytest.raises(
        UserError, match="data.kind takes 'synthetic', .*received 'vidoes'; did you mean"
    ):
        make_data({"kind": "vidoes"})
