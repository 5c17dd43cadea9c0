"""Augmentation: one draw a clip, classes of left and right, colours, RandAugment."""

import colorsys
import json

import numpy as np
import pytest
import tensorflow as tf

from h2s_keras.data import VideoExample, flip_flow, video_clip_dataset
from h2s_keras.data.clips.augmentation import (
    ClipAugmentation,
    checked_jitter,
    class_numbers,
)
from h2s_keras.data.clips.sampling import StatelessDraws
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import UserError

KERAS_CV = {"operations": 3, "magnitude": 0.7, "library": "keras_cv"}
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}


def has_keras_cv():
    try:
        import keras_cv  # noqa: F401
    except ImportError:
        return False
    return True


needs_keras_cv = pytest.mark.skipif(
    not has_keras_cv(), reason="needs KerasCV, the extra cv; run by `tox -e cv`"
)


def picture(seed=0, height=20, width=30):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def still_clip(frames=5):
    return np.stack([picture()] * frames)


# === One draw for all frames ===


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"color_jitter": JITTER},
        {"rand_augment": {"operations": 2}},
        {"rand_augment": {"magnitude": 0.8}, "color_jitter": JITTER},
        pytest.param({"rand_augment": KERAS_CV}, marks=needs_keras_cv),
    ],
)
def test_a_still_clip_stays_still_and_draws_differ(options):
    augment = ClipAugmentation((16, 16), **options)
    outcomes = set()
    for seed in range(20):
        clip, label = augment(still_clip(), 3, np.random.default_rng(seed))
        assert clip.shape == (5, 16, 16, 3) and clip.dtype == np.uint8 and label == 3
        assert (clip == clip[:1]).all()
        outcomes.add(clip.tobytes())
        again, _ = augment(still_clip(), 3, np.random.default_rng(seed))
        np.testing.assert_array_equal(clip, again)
    assert len(outcomes) > 10


def test_the_control_one_draw_a_frame_is_told_apart():
    augment = ClipAugmentation((16, 16), color_jitter=JITTER)
    frames = [
        augment(frame[None], 0, np.random.default_rng(seed))[0][0]
        for seed, frame in enumerate(still_clip())
    ]
    assert not (np.stack(frames) == frames[0]).all()


# === Left and right ===


def share_mirrored(augment, label, draws=200):
    """(share of mirrored clips, labels of plain ones, labels of mirrored ones)."""
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    frames[:, :, :8] = 255
    labels = {False: set(), True: set()}
    mirrored = 0
    for seed in range(draws):
        clip, shown = augment(frames, label, np.random.default_rng(seed))
        turned = bool(clip[0, :, 0].mean() < clip[0, :, -1].mean())
        flat = clip[0, :, 0].mean() == clip[0, :, -1].mean()
        if not flat:
            mirrored += turned
            labels[turned].add(int(shown))
    return mirrored / draws, labels[False], labels[True]


def test_listed_classes_are_never_mirrored():
    augment = ClipAugmentation((16, 16), no_flip_classes=[1])
    share, plain, mirrored = share_mirrored(augment, 1)
    assert share == 0 and plain == {1} and mirrored == set()
    share, plain, mirrored = share_mirrored(augment, 0)
    assert 0.3 < share < 0.7 and plain == mirrored == {0}


def test_mirrored_classes_change_their_labels():
    augment = ClipAugmentation((16, 16), flip_map={1: 4})
    assert share_mirrored(augment, 1)[1:] == ({1}, {4})
    assert share_mirrored(augment, 4)[1:] == ({4}, {1})
    assert share_mirrored(augment, 2)[1:] == ({2}, {2})


def test_contradictions_are_reported():
    with pytest.raises(UserError, match="class 1 is in flip_map and in no_flip_classes"):
        ClipAugmentation((8, 8), no_flip_classes=[1], flip_map={1: 2})
    with pytest.raises(UserError, match="class 2 into both 1 and 3"):
        ClipAugmentation((8, 8), flip_map={1: 2, 3: 2})
    assert class_numbers(["b", 0, "0"], ("a", "b"), "flip_map") == [1, 0, 0]
    for wrong in ("c", 2, -1, "7"):
        with pytest.raises(UserError, match="flip_map: no class"):
            class_numbers([wrong], ("a", "b"), "flip_map")


@pytest.fixture
def folder(make_video, tmp_path):
    for name in ("left", "right", "up"):
        make_video(f"set/{name}/0.avi", count=8, codec="mpeg4")
    return str(tmp_path / "set")


def test_recipes_name_classes(folder):
    values = {"kind": "videos", "root": folder, "num_frames": 2, "image_size": (16, 16)}
    mapped = json.loads(json.dumps({"flip_map": {0: 1}}))
    for settings in ({"flip_map": {"left": "right"}}, mapped):
        data = make_data({**values, **settings, "no_flip_classes": ["up"]})
        labels = next(data.training(60).as_numpy_iterator())[1]
        # 20 videos a class; half of left and right change places.
        assert (labels == 2).sum() == 20
        plain = make_data(values).training(60)
        shown = next(plain.as_numpy_iterator())[1]
        changed = np.mean((labels != shown)[shown != 2])
        assert 0.25 < changed < 0.75 and (shown == 0).sum() == 20
    with pytest.raises(UserError, match="no class 'down'; there are left, right, up"):
        make_data({**values, "flip_map": {"left": "down"}})
    with pytest.raises(UserError, match="color_jitter knows"):
        make_data({**values, "color_jitter": {"gamma": 1}})


def test_mirrored_flow_still_warps_the_mirrored_clip():
    """A picture that moves by (3, 1): mirrored, it moves by (-3, 1)."""
    first = picture(1, 24, 32)
    second = np.roll(first, (1, 3), axis=(0, 1))
    flow = np.broadcast_to(np.array([3.0, 1.0], np.float32), (24, 32, 2))
    flow = flow + np.linspace(0, 1e-3, 32, dtype=np.float32)[:, None]
    mirrored = flip_flow(flow)
    assert mirrored.dtype == np.float32 and mirrored.shape == flow.shape
    np.testing.assert_array_equal(flip_flow(mirrored), flow)
    np.testing.assert_array_equal(mirrored[:, 0, 0], -flow[:, -1, 0])
    rounded = np.round(mirrored).astype(int)
    y, x = np.mgrid[:24, :32]
    left, right = first[:, ::-1], second[:, ::-1]
    inside = (slice(0, 22), slice(4, 32))
    moved = right[(y + rounded[..., 1]) % 24, (x + rounded[..., 0]) % 32]
    np.testing.assert_array_equal(moved[inside], left[inside])
    # The control: without the negated x it does not.
    wrong = right[(y + rounded[..., 1]) % 24, (x - rounded[..., 0]) % 32]
    assert not (wrong[inside] == left[inside]).all()


# === Colours ===


def changed(clip, seeds=range(60), **options):
    """float (seeds, *clip.shape): the clip in the colours of every seed."""
    augment = ClipAugmentation((16, 16), **options)

    def colored(seed):
        return augment.colors(tf.constant(clip), StatelessDraws(tf, 1, seed))

    numbers = tf.data.Dataset.from_tensor_slices(list(seeds))
    return np.array(list(numbers.map(colored).as_numpy_iterator()), float)


def reaches(values, low, high):
    """Whether draws spread over a range and do not leave it."""
    slack = 0.12 * (high - low)
    inside = low - 0.02 <= min(values) and max(values) <= high + 0.02
    return inside and min(values) < low + slack and max(values) > high - slack


def test_brightness_is_added_to_all_frames_alike():
    grey = np.full((2, 4, 4, 3), 128, np.uint8)
    added = changed(grey, color_jitter={"brightness": 0.2}) - 128
    assert (added == added[:, :1, :1, :1]).all()
    assert reaches(added[:, 0, 0, 0, 0] / 255, -0.2, 0.2)


def test_contrast_spreads_about_the_mean():
    clip = np.stack([picture(seed) // 2 + 64 for seed in range(2)])
    spread = changed(clip, color_jitter={"contrast": 0.3})
    mean = clip.mean(axis=(0, 1, 2))
    factors = spread.std(axis=(2, 3)) / clip.std(axis=(1, 2))
    np.testing.assert_allclose(factors, factors[:, :1, :1] + 0 * factors, atol=0.02)
    assert reaches(factors[:, 0, 0], 0.7, 1.3)
    expected = (clip - mean) * factors[:, :1, :1, None, None] + mean
    np.testing.assert_allclose(spread, expected, atol=1.5)


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_saturation_and_hue_are_those_of_hsv(name):
    colour = np.full((2, 2, 2, 3), (180, 120, 100), np.uint8)
    before = colorsys.rgb_to_hsv(*colour[0, 0, 0] / 255)
    rows = changed(colour, color_jitter={name: 0.3})
    assert (rows == rows[:, :1, :1, :1]).all()
    after = np.array([colorsys.rgb_to_hsv(*row[0, 0, 0] / 255) for row in rows])
    np.testing.assert_allclose(after[:, 2], before[2], atol=0.01)
    turned = (after[:, 0] - before[0] + 0.5) % 1 - 0.5
    if name == "hue":
        np.testing.assert_allclose(after[:, 1], before[1], atol=0.02)
        assert reaches(turned, -0.3, 0.3)
    else:
        np.testing.assert_allclose(turned, 0, atol=0.02)
        assert reaches(after[:, 1] / before[1], 0.7, 1.3)
    grey = np.repeat(picture()[None, ..., :1], 3, axis=-1)
    same = changed(grey, range(5), color_jitter={name: 0.3})
    np.testing.assert_allclose(same, [grey] * 5, atol=1)


def test_jitter_ranges():
    assert checked_jitter({"hue": 0.2}) == {**dict.fromkeys(JITTER, 0.0), "hue": 0.2}
    assert not ClipAugmentation((8, 8), color_jitter={"hue": 0.0}).changes_colors
    for wrong in ({"hue": 0.6}, {"contrast": -1}, {"contrast": 2}, {"colour": 1}):
        with pytest.raises(UserError, match="color_jitter"):
            ClipAugmentation((8, 8), color_jitter=wrong)


# === RandAugment ===


@pytest.mark.parametrize(
    "settings",
    [
        {"operations": 3, "magnitude": 0.7},
        pytest.param(KERAS_CV, marks=needs_keras_cv),
    ],
)
def test_rand_augment_follows_from_the_seed_in_any_order(settings):
    clip, seeds = np.stack([picture(seed) for seed in range(4)]), range(25)
    first = changed(clip, seeds, rand_augment=settings)
    again = changed(clip, seeds[::-1], rand_augment=settings)[::-1]
    np.testing.assert_array_equal(first, again)
    assert len({value.tobytes() for value in first}) > 15
    # Pixels stay where they are: equal ones are changed alike.
    halves = np.concatenate([clip[:, :, :15], clip[:, :, :15]], axis=2)
    for value in changed(halves, range(10), rand_augment={**settings, "operations": 1}):
        np.testing.assert_array_equal(value[:, :, :15], value[:, :, 15:])


@pytest.mark.parametrize("magnitude", [0.0, 0.3, 1.0])
def test_rand_augment_of_any_magnitude(magnitude):
    clip = np.stack([picture(seed) for seed in range(2)])
    for value in changed(clip, range(12), rand_augment={"magnitude": magnitude}):
        assert np.isfinite(value).all() and value.shape == clip.shape


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"magnitude": 1.5}, "magnitude from 0 to 1"),
        ({"operations": 0}, "operations from 1"),
        ({"library": "cv2"}, "library of rand_augment must be one of"),
        ({"strength": 3}, "takes operations, magnitude and library"),
    ],
)
def test_rand_augment_that_makes_no_sense(settings, text):
    with pytest.raises(UserError, match=text):
        ClipAugmentation((8, 8), rand_augment=settings)


@pytest.mark.skipif(has_keras_cv(), reason="KerasCV is installed")
def test_without_keras_cv_the_cure_is_raised():
    with pytest.raises(UserError, match=r"pip install 'h2s_keras\[cv\]'"):
        ClipAugmentation((8, 8), rand_augment=KERAS_CV)


# === All of it at once ===


@pytest.mark.parametrize(
    "rand_augment",
    [None, {"operations": 2}, pytest.param(KERAS_CV, marks=needs_keras_cv)],
)
def test_everything_on_and_still_a_function_of_the_seed(make_video, rand_augment):
    examples = [VideoExample(make_video(f"{n}.mp4", count=30 + n), n % 2) for n in range(3)]
    arguments = dict(
        num_frames=3,
        image_size=(32, 48),
        batch_size=4,
        seed=3,
        segments=2,
        max_skip=3,
        flip_map={0: 1},
        color_jitter=JITTER,
        rand_augment=rand_augment,
    )

    def batches(first, count, **changes):
        dataset = video_clip_dataset(examples, **(arguments | changes), start_step=first)
        return list(dataset.take(count).as_numpy_iterator())

    whole = batches(0, 5, num_parallel_calls=1)
    variants = [
        (0, dict(num_parallel_calls=4)),
        (0, dict(num_parallel_calls=2, cache_bytes=0)),
        (3, dict(num_parallel_calls=3)),
        (4, dict(num_parallel_calls=2, cache_bytes=0)),
    ]
    for first, changes in variants:
        for (clips, labels), (expected, shown) in zip(
            batches(first, 5 - first, **changes), whole[first:], strict=True
        ):
            np.testing.assert_array_equal(clips, expected)
            np.testing.assert_array_equal(labels, shown)
    # The control: another seed, and a step beside the right one, are told apart.
    assert not np.array_equal(batches(0, 1, **{"seed": 4})[0][0], whole[0][0])
    assert not np.array_equal(batches(1, 1)[0][0], whole[0][0])
