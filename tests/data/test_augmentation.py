"""Augmentation: one draw a clip, classes of left and right, colours, RandAugment."""

import colorsys
import json

import numpy as np
import pytest

from h2s_keras.data import VideoExample, flip_flow, video_clip_dataset
from h2s_keras.data.clips.augmentation import ClipAugmentation, class_numbers
from h2s_keras.data.clips.color_jitter import checked_jitter, draw_jitter, jitter_colors
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import UserError

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
        pytest.param({"rand_augment": {"operations": 2}}, marks=needs_keras_cv),
        pytest.param(
            {"rand_augment": {"magnitude": 0.8}, "color_jitter": JITTER},
            marks=needs_keras_cv,
        ),
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


def test_contradictions_are_told():
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


def reference_jitter(clip, brightness, contrast, saturation, hue):
    """The four changes one after the other, in float64."""
    luma = np.array([0.299, 0.587, 0.114])
    out = clip.astype(np.float64) * brightness
    out = (out - (out @ luma).mean()) * contrast + (out @ luma).mean()
    grey = (out @ luma)[..., None]
    out = grey + saturation * (out - grey)
    i = out @ np.array([0.595716, -0.274453, -0.321263])
    q = out @ np.array([0.211456, -0.522591, 0.311135])
    turned = (i + 1j * q) * np.exp(2j * np.pi * hue)
    yiq = np.stack([out @ luma, turned.real, turned.imag], -1)
    back = np.array([[1, 0.9563, 0.6210], [1, -0.2721, -0.6474], [1, -1.1070, 1.7046]])
    return np.clip(yiq @ back.T, 0, 255)


@pytest.mark.parametrize(
    "factors", [(0.7, 1.0, 1, 0), (1, 1.4, 1, 0), (1, 1, 0.3, 0), (1.2, 0.8, 1.3, 0.08)]
)
def test_jitter_agrees_with_one_change_after_the_other(factors):
    clip = np.stack([picture(seed) for seed in range(3)])
    ours = jitter_colors(clip, *factors).astype(float)
    np.testing.assert_allclose(ours, reference_jitter(clip, *factors), atol=1.0)
    # The control: other factors are told apart.
    assert np.abs(ours - reference_jitter(clip, 1.1, 1.1, 1.1, 0.2)).mean() > 5


def test_jitter_keeps_what_it_should():
    clip = np.stack([picture(seed) for seed in range(2)])
    np.testing.assert_array_equal(jitter_colors(clip), clip)
    grey = np.repeat(clip[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(jitter_colors(grey, saturation=1.7, hue=0.3), grey)
    faded = jitter_colors(clip, saturation=0.0).astype(int)
    assert np.ptp(faded, axis=-1).max() <= 1
    white = np.full((1, 2, 2, 3), 250, np.uint8)
    assert (jitter_colors(white, brightness=1.5) == 255).all()
    red = np.full((1, 1, 1, 3), (200, 60, 60), np.uint8)
    hue = colorsys.rgb_to_hsv(*jitter_colors(red, hue=1 / 3)[0, 0, 0] / 255)[0]
    assert 0.2 < hue < 0.8


def test_jitter_ranges():
    ranges = checked_jitter({"brightness": 0.5, "hue": 0.2})
    drawn = [draw_jitter(ranges, np.random.default_rng(seed)) for seed in range(300)]
    brightness = [draw["brightness"] for draw in drawn]
    assert 0.5 <= min(brightness) < 0.55 and 1.45 < max(brightness) <= 1.5
    assert {draw["contrast"] for draw in drawn} == {1.0}
    assert -0.2 <= min(draw["hue"] for draw in drawn) < -0.15
    for wrong in ({"hue": 0.6}, {"contrast": -1}, {"colour": 1}):
        with pytest.raises(UserError, match="color_jitter"):
            checked_jitter(wrong)


# === RandAugment ===


@needs_keras_cv
def test_rand_augment_follows_from_the_seed_in_any_order():
    from h2s_keras.data.clips.rand_augment import ClipRandAugment

    augment, other = ClipRandAugment(3, 0.7), ClipRandAugment(3, 0.7)
    clip = np.stack([picture(seed) for seed in range(4)])
    seeds = list(range(25))
    first = {seed: augment(clip, seed) for seed in seeds}
    for seed in reversed(seeds):
        np.testing.assert_array_equal(other(clip, seed), first[seed])
    assert len({value.tobytes() for value in first.values()}) > 15
    with pytest.raises(UserError, match="magnitude from 0 to 1"):
        ClipRandAugment(2, 1.5)
    with pytest.raises(UserError, match="takes operations and magnitude"):
        ClipAugmentation((8, 8), rand_augment={"strength": 3})


@pytest.mark.skipif(has_keras_cv(), reason="KerasCV is installed")
def test_without_keras_cv_the_cure_is_told():
    with pytest.raises(UserError, match=r"pip install 'h2s_keras\[cv\]'"):
        ClipAugmentation((8, 8), rand_augment={"operations": 2})


# === All of it at once ===


@pytest.mark.parametrize(
    "rand_augment", [None, pytest.param({"operations": 2}, marks=needs_keras_cv)]
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
