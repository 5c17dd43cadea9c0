"""Flow of made videos whose flow tells which pair it is."""

import numpy as np
import pytest

from h2s_keras.data.clips.augmentation import ClipAugmentation
from h2s_keras.data.clips.cached_flow import LARGEST_TEMPO, FlowCache, FlowClips, zoom_flow
from h2s_keras.data.clips.sampling import epoch_order
from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.errors import VideoError

LENGTHS = {"a": 12, "b": 3, "long": 200, "broken": 0}


class Store:
    """Videos of frames that hold their own number; counts how many were read."""

    def __init__(self):
        self.read_frames = 0

    def frames_of(self, example):
        if example.path == "broken":
            raise VideoError(example.path, "is broken")
        return range(LENGTHS[example.path])

    def read(self, path, choose):
        numbers = np.asarray(choose(LENGTHS[path]))
        self.read_frames += numbers.size
        return np.broadcast_to(
            numbers[..., None, None, None], (*numbers.shape, 8, 8, 3)
        ).astype("uint8")


def estimate(frames):
    """x: the number of the first frame; y: frames from the first to the second."""
    first = frames[:, 0, ::2, ::2, 0].astype("float32")
    step = frames[:, 1, ::2, ::2, 0].astype("float32") - first
    return np.stack([first, step], axis=-1)


def make(folder, names, store=None, **options):
    examples = [VideoExample(name, index) for index, name in enumerate(names)]
    options = {"stride": 2, "pairs": 3, "key": "k", **options}
    cache = FlowCache(str(folder), examples, store or Store(), **options)
    cache.fill(estimate)
    return cache


def test_flow_of_every_pair_is_kept(tmp_path):
    cache = make(tmp_path, ["a"])
    assert cache.windows[0].tolist() == [[0, 10, 0]]
    flow = cache.clip(0, [3, 5, 7])
    assert flow.shape == (3, 4, 4, 2) and flow.dtype == np.float32
    assert flow[:, 0, 0, 0].tolist() == [3, 5, 7]
    assert (flow[..., 1] == 2).all()


def test_beyond_the_end_nothing_moves(tmp_path):
    flow = make(tmp_path, ["b"]).clip(0, [0, 2, 4])
    assert flow[:, 0, 0].tolist() == [[0, 2], [0, 0], [0, 0]]


def test_long_videos_are_kept_in_part(tmp_path):
    store = Store()
    cache = make(tmp_path, ["long"], store, most_pairs=40)
    windows = cache.windows[0]
    # A clip spans 5 pairs, at 1.35 times the speed 7.
    assert len(windows) == 5 and windows[:, 1].tolist() == [7] * 5
    assert windows[0, 0] == 0 and windows[-1, 0] == 191
    assert store.read_frames == 2 * 35
    generator = np.random.default_rng(0)
    for _ in range(20):
        start = cache.random_start(0, 5, generator)
        flow = cache.clip(0, start + 2 * np.arange(3))
        assert flow[:, 0, 0, 0].tolist() == [start, start + 2, start + 4]
    assert [int(s) for s in cache.even_starts(0, 2)] == [0, 191]


def test_what_is_there_is_used_again_and_other_weights_are_not(tmp_path):
    make(tmp_path, ["a", "broken"])
    store = Store()
    again = make(tmp_path, ["a", "broken"], store)
    assert store.read_frames == 0
    assert again.clip(0, [1])[0, 0, 0].tolist() == [1, 2]
    assert list(again.bad) == [1] and "broken" in str(again.bad[1])
    make(tmp_path, ["a", "broken"], store, key="other")
    assert store.read_frames > 0
    again.remove()
    assert not list(tmp_path.iterdir())


def test_damage_is_seen(tmp_path):
    make(tmp_path, ["a"])
    with open(tmp_path / "flow.raw", "ab") as file:
        file.write(b"x")
    store = Store()
    make(tmp_path, ["a"], store)
    assert store.read_frames > 0


def test_zoom_scales_the_motion():
    flow = np.zeros((1, 4, 4, 2), "float32")
    flow[0, :2, :, 0], flow[0, :, :, 1] = 1.0, 3.0
    zoomed = zoom_flow(flow, 0, 0, 2, 4)
    assert zoomed.shape == flow.shape
    assert (zoomed[..., 0] == 1.0).all() and (zoomed[..., 1] == 6.0).all()
    assert (zoom_flow(flow, 0, 0, 4, 4) == flow).all()


def stream(cache, labels, **options):
    def order(epoch):
        return epoch_order(labels, np.random.default_rng(epoch))

    return FlowClips(cache, order, labels, **options)


def test_a_training_example_is_a_function_of_its_number(tmp_path):
    cache = make(tmp_path, ["a", "long"])
    augment = ClipAugmentation((8, 8), flip_map={0: 1})
    one = stream(cache, [0, 1], augment=augment, seed=1)
    two = stream(cache, [0, 1], augment=augment, seed=1)
    for number in (0, 5, 1001):
        assert (one.clip(number)[0] == two.clip(number)[0]).all()
    other = stream(cache, [0, 1], augment=augment, seed=2)
    assert any((one.clip(n)[0] != other.clip(n)[0]).any() for n in range(4))
    flow, labels = next(iter(one.dataset(4, start_step=3)))
    assert (flow[1].numpy() == one.clip(13)[0]).all()
    assert int(labels[1]) == one.clip(13)[1]


def test_training_clips_are_faster_and_slower_and_never_still(tmp_path):
    """The flow tells the number of its pair; crops leave it as it is at the first pixel."""
    cache = make(tmp_path, ["long"], pairs=9, most_pairs=80)
    clips = stream(cache, [0], tempo=LARGEST_TEMPO, seed=3)
    spans = []
    for number in range(200):
        flow = clips.clip(number)[0][:, 0, 0]
        factor = flow[:, 1] / 2  # Of the crop's enlargement.
        assert (factor >= 1).all(), "a pair beyond its window"
        spans.append(int(clips._steps(np.random.default_rng(number))[-1]))
    # 8 steps of 2 frames, over 1.35 and times 1.35.
    assert min(spans) == 12 and max(spans) == 22 and 15 < np.mean(spans) < 17.5
    steady = stream(cache, [0])
    assert steady._steps(np.random.default_rng(0)).tolist() == list(range(0, 18, 2))


def test_mirrored_flow_goes_the_other_way_and_has_the_label_of_its_image(tmp_path):
    cache = make(tmp_path, ["a"])
    clips = stream(cache, [0], augment=ClipAugmentation((8, 8), flip_map={0: 1}))
    signs = set()
    for number in range(20):
        flow, label = clips.clip(number)
        signs.add((bool(flow[-1, 0, 0, 0] < 0), int(label)))
    assert signs == {(True, 1), (False, 0)}


def test_evaluation_takes_evenly_spaced_clips(tmp_path):
    cache = make(tmp_path, ["a", "b"])
    batches = list(stream(cache, [4, 7]).evaluation([0, 1], 3, batch_size=4))
    assert [len(batch["label"]) for batch in batches] == [4, 2]
    first = np.concatenate([batch["flow"] for batch in batches])[:, :, 0, 0, 0]
    # 12 frames, clips of 4 frames with stride 2 span 7: starts 0, 2, 4.
    assert first[:3].tolist() == [[0, 2, 4], [2, 4, 6], [4, 6, 8]]
    assert first[3:].tolist() == [[0, 0, 0]] * 3
    assert (
        np.concatenate([batch["video"] for batch in batches]).tolist() == [0] * 3 + [1] * 3
    )


def test_balanced_epochs_show_classes_equally_often():
    labels = np.array([0] * 6 + [1] * 2)
    order = epoch_order(labels, np.random.default_rng(0), balanced=True)
    assert len(order) == 12 and (np.bincount(labels[order]) == 6).all()
    assert set(order) == set(range(8))
    plain = epoch_order(labels, np.random.default_rng(0))
    assert sorted(plain) == list(range(8))


def test_no_video_with_flow_is_refused(tmp_path):
    cache = make(tmp_path, ["broken"])
    with pytest.raises(Exception, match="none of the training videos"):
        FlowClips(cache, lambda epoch: np.array([], int), [0])
