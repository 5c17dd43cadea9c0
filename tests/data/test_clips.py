import itertools

import numpy as np
import pytest

from h2s_keras.data import (
    ClipReport,
    VideoExample,
    centre_crop_box,
    random_crop_box,
    read_frames,
    resize_frames,
    video_clip_dataset,
)
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import UserError, VideoError

SIZE = dict(image_size=(32, 48), num_frames=5, batch_size=3)


@pytest.fixture
def examples(make_video):
    return tuple(
        VideoExample(make_video(f"{label}/{n}.avi", count=20 + n, codec="mpeg4"), label)
        for label in range(2)
        for n in range(3)
    )


def batches(dataset, count):
    return [
        tuple(value.numpy() for value in batch)
        for batch in itertools.islice(dataset, count)
    ]


def same(left, right):
    return all(
        np.array_equal(x, y)
        for one, other in zip(left, right, strict=True)
        for x, y in zip(one, other, strict=True)
    )


# === Resizing and cropping ===


@pytest.mark.parametrize("size", [(20, 30), (64, 100), (33, 47), (90, 130), (64, 31)])
def test_resize_agrees_with_tensorflow(size):
    tf = pytest.importorskip("tensorflow")
    noise = np.random.default_rng(0).uniform(0, 255, (2, 9, 12, 3))
    frames = tf.image.resize(noise, (64, 100), "bicubic").numpy().clip(0, 255)
    frames = frames.astype(np.uint8)
    small = resize_frames(frames, size)
    assert small.shape == (2, *size, 3) and small.dtype == np.uint8
    expected = tf.image.resize(frames, size, antialias=True).numpy()
    assert np.abs(small - expected).mean() < 1.0
    # The control: a mirrored picture or swapped channels are far outside.
    assert np.abs(small[:, :, ::-1] - expected).mean() > 5
    assert np.abs(small[..., ::-1] - expected).mean() > 5


def test_resize_keeps_the_whole_range_and_unmixed_channels():
    frames = np.zeros((1, 16, 16, 3), np.uint8)
    frames[..., 0] = 255
    frames[..., 2] = 3
    np.testing.assert_array_equal(resize_frames(frames, (7, 29))[0, 3, 5], (255, 0, 3))
    assert resize_frames(frames, (16, 16)) is frames
    with pytest.raises(ValueError, match="Received"):
        resize_frames(frames[0], (4, 4))
    with pytest.raises(ValueError, match="Received"):
        resize_frames(frames.astype(np.float32), (4, 4))
    with pytest.raises(ValueError, match="Received"):
        resize_frames(frames, (0, 4))


def test_the_published_crops_and_no_others():
    generator = np.random.default_rng(0)
    boxes = {random_crop_box((256, 340), (224, 224), generator) for _ in range(3000)}
    sizes = {box[2:] for box in boxes}
    allowed = {(256, 256), (224, 224), (192, 192)}
    allowed |= {(256, 224), (224, 256), (224, 192), (192, 224)}
    assert sizes == allowed
    corners = {box[:2] for box in boxes if box[2:] == (224, 224)}
    assert corners == {(0, 0), (0, 116), (32, 0), (32, 116), (16, 58)}
    assert centre_crop_box((256, 340), (224, 224)) == (16, 58, 224, 224)


@pytest.mark.parametrize("frame_size", [(1, 1), (2, 500), (37, 5), (240, 320)])
def test_boxes_stay_inside_any_frame(frame_size):
    generator = np.random.default_rng(0)
    for image_size in ((224, 224), (112, 200), (64, 16)):
        for _ in range(100):
            box = random_crop_box(frame_size, image_size, generator)
            for top, side, whole in zip(box[:2], box[2:], frame_size, strict=True):
                assert top >= 0 and side >= 1 and top + side <= whole


# === Training ===


def test_shapes_dtypes_and_labels(examples):
    dataset = video_clip_dataset(examples, **SIZE)
    assert tuple(dataset.element_spec[0].shape) == (3, 5, 32, 48, 3)
    for clips, labels in batches(dataset, 3):
        assert clips.shape == (3, 5, 32, 48, 3) and clips.dtype == np.uint8
        assert labels.shape == (3,) and labels.dtype == np.int32
        assert clips.std() > 10 and set(labels) <= {0, 1}


def test_the_stream_is_a_function_of_the_seed_alone(examples):
    first = batches(video_clip_dataset(examples, seed=3, **SIZE), 6)
    variants = (dict(num_parallel_calls=1), dict(num_parallel_calls=5), dict(cache_bytes=0))
    for variant in variants:
        assert same(
            first, batches(video_clip_dataset(examples, seed=3, **SIZE, **variant), 6)
        )
    assert not same(first, batches(video_clip_dataset(examples, seed=4, **SIZE), 6))
    # Augmentation differs from epoch to epoch: 6 videos are 2 batches.
    assert not same(first[:2], first[2:4])


def test_resuming_continues_bit_for_bit(examples):
    whole = batches(video_clip_dataset(examples, seed=3, **SIZE), 7)
    for step in (1, 5):
        rest = video_clip_dataset(examples, seed=3, start_step=step, **SIZE)
        assert same(whole[step:], batches(rest, 7 - step))
    # The control: a step beside the right one is told apart.
    assert not same(whole[4:5], batches(rest, 1))


def test_each_epoch_holds_every_video_once(examples):
    size = SIZE | {"batch_size": 6}
    dataset = video_clip_dataset(
        [VideoExample(example.path, place) for place, example in enumerate(examples)],
        **size,
    )
    orders = [tuple(labels) for _, labels in batches(dataset, 4)]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len(set(orders)) > 1


def test_one_crop_and_flip_for_all_frames_of_a_clip(make_video):
    example = VideoExample(make_video("still.avi", count=12, codec="mpeg4"), 0)
    flat = video_clip_dataset([example], 5, image_size=(32, 32), batch_size=40)
    clips, _ = batches(flat, 1)[0]
    # The lower half of the picture stands still, so the frames of a clip differ little.
    lower = clips[:, :, 24:].astype(int)
    assert np.abs(lower - lower[:, :1]).max() < 12
    assert len({clip[0, 24:].tobytes() for clip in clips}) >= 5


def test_flip_mirrors_half_of_the_clips_and_can_be_off(make_video):
    example = VideoExample(make_video("a.avi", count=6, codec="mpeg4"), 0)
    arguments = dict(
        num_frames=5, image_size=(40, 100), batch_size=60, decode_size=(40, 100)
    )
    for flip, share in ((True, (0.3, 0.7)), (False, (0.0, 0.0))):
        clips, _ = batches(video_clip_dataset([example], flip=flip, **arguments), 1)[0]
        # The blue patch lies at the lower left; mirrored, at the lower right.
        left, right = (clips[:, 2, 36, x, 2].astype(int) for x in (4, 95))
        mirrored = np.mean(right > left)
        assert share[0] <= mirrored <= share[1]


# === Testing ===


def test_evaluation_is_finite_ordered_and_complete(examples):
    dataset = video_clip_dataset(examples, training=False, clips_per_video=2, **SIZE)
    assert int(dataset.cardinality()) == 4
    result = batches(dataset, 100)
    assert [len(labels) for _, labels, _ in result] == [3, 3, 3, 3]
    assert np.concatenate([b[2] for b in result]).tolist() == sorted(list(range(6)) * 2)
    assert np.concatenate([b[1] for b in result]).tolist() == [0] * 6 + [1] * 6
    assert same(result, batches(dataset, 100))
    small = video_clip_dataset(examples, 5, 1, (32, 48), 4, training=False)
    assert [len(b[1]) for b in small.as_numpy_iterator()] == [4, 2]


def test_evaluation_takes_the_centre_of_the_right_frames(make_video, numbers_of):
    path = make_video("a.mp4", count=30)
    dataset = video_clip_dataset(
        [VideoExample(path, 0)], 4, 2, (56, 140), 3, training=False, clips_per_video=3
    )
    clips, _, _ = batches(dataset, 1)[0]
    frames = read_frames(path)
    expected = [[start + 2 * t for t in range(4)] for start in (0, 8, 16)]
    # A clip may begin at 24 of 30 frames, a third of that is 8.
    np.testing.assert_array_equal(clips, frames[expected][:, :, 4:60, 10:150])


# === Bad files ===


@pytest.fixture
def with_bad(examples, tmp_path):
    bad = tmp_path / "bad.avi"
    bad.write_bytes(b"")
    return (*examples[:2], VideoExample(str(bad), 0), *examples[2:])


@pytest.mark.parametrize("training", [True, False])
def test_a_bad_file_raises_one_clear_error(with_bad, training):
    report = ClipReport()
    dataset = video_clip_dataset(with_bad, training=training, report=report, **SIZE)
    with pytest.raises(VideoError, match=r"bad.avi: is empty") as caught:
        with report.user_errors():
            batches(dataset, 10)
    assert "\n" not in str(caught.value) and list(report.bad_files) == [with_bad[2].path]


def test_other_errors_pass_the_report_unchanged():
    with pytest.raises(KeyError), ClipReport().user_errors():
        raise KeyError("mine")


@pytest.mark.parametrize("policy", ["skip", "substitute"])
def test_training_goes_on_without_a_bad_file(with_bad, policy):
    report = ClipReport()
    arguments = SIZE | {"batch_size": 7}
    dataset = video_clip_dataset(with_bad, on_bad_file=policy, report=report, **arguments)
    result = batches(dataset, 6)
    assert 6 <= report.replaced <= 16 and len(report.bad_files) == 1
    assert "1 bad files" in report.summary() and "is empty" in report.summary()
    if policy == "substitute":
        # The class balance of the list is kept: 4 examples of class 0, 3 of class 1.
        assert all(labels.tolist().count(0) == 4 for _, labels in result)
    again = video_clip_dataset(
        with_bad, on_bad_file=policy, start_step=4, cache_bytes=0, **arguments
    )
    assert same(result[4:], batches(again, 2))


def test_evaluation_leaves_a_bad_file_out(with_bad):
    report = ClipReport()
    dataset = video_clip_dataset(
        with_bad,
        training=False,
        clips_per_video=2,
        on_bad_file="skip",
        report=report,
        **SIZE,
    )
    places = np.concatenate([b[2] for b in batches(dataset, 100)])
    assert sorted(set(places.tolist())) == [0, 1, 3, 4, 5, 6] and len(places) == 12
    assert report.replaced == 2


def test_too_short_videos_are_bad_files_with_a_name(make_video):
    one = VideoExample(make_video("one.avi", count=1, codec="mpeg4"), 0)
    report = ClipReport()
    with pytest.raises(
        VideoError, match=r"one.avi: the video has 1 frame and so no motion"
    ):
        with report.user_errors():
            batches(video_clip_dataset([one], report=report, **SIZE), 1)
    few = VideoExample(make_video("few.avi", count=3, codec="mpeg4"), 0)
    for short, works in (("loop", True), ("hold", True), ("refuse", False)):
        report = ClipReport()
        dataset = video_clip_dataset([few], short=short, report=report, **SIZE)
        if works:
            assert len(batches(dataset, 1)) == 1
        else:
            with pytest.raises(VideoError, match="few.avi"), report.user_errors():
                batches(dataset, 1)


def test_a_segment_that_is_too_short_spoils_no_other(make_video):
    path = make_video("long.avi", count=50, codec="mpeg4")
    good = VideoExample(path, 0, start=0.0, end=1.6)
    short = VideoExample(path, 1, start=0.4, end=0.5)
    streams = []
    for start_step in (0, 3):
        report = ClipReport()
        dataset = video_clip_dataset(
            [good, short],
            8,
            image_size=(8, 8),
            batch_size=4,
            short="refuse",
            on_bad_file="skip",
            start_step=start_step,
            report=report,
        )
        streams.append(batches(dataset, 5 - start_step))
        assert "8 frames" in report.summary()
    assert same(streams[0][3:], streams[1])
    assert all((labels == 0).all() for _, labels in streams[0])


def test_nothing_but_bad_files_ends_with_an_error(with_bad):
    report = ClipReport()
    dataset = video_clip_dataset(
        [with_bad[2]], 5, on_bad_file="skip", batch_size=1, report=report
    )
    with (
        pytest.raises(UserError, match=r"none of 1 videos.*is empty"),
        report.user_errors(),
    ):
        batches(dataset, 1)


# === Cache ===


def test_each_video_is_decoded_once_and_memory_is_bounded(examples, monkeypatch):
    from h2s_keras.data.video import frame_source as module

    scans = []
    scan = module.open_container
    monkeypatch.setattr(
        module,
        "open_container",
        lambda path, timeout: scans.append(path) or scan(path, timeout),
    )
    reads = []
    read = module.read_frames
    monkeypatch.setattr(
        module,
        "read_frames",
        lambda path, *rest, **more: reads.append(path) or read(path, *rest, **more),
    )
    batches(video_clip_dataset(examples, **SIZE), 8)
    assert len(scans) == len(set(scans)) == 6 and reads == []

    frame = 37 * 92 * 3
    store = FrameSource(37, cache_bytes=50 * frame, timeout=60)
    for _ in range(2):
        for example in examples:
            store.read(example.path, lambda count: np.arange(5))
    held = sum(frame.nbytes for frames in store.videos.values() for frame in frames)
    assert store.used == held <= 50 * frame and 0 < len(store.videos) < 6
    # The first reading of a video that is not kept decodes it once, the next again.
    assert len(reads) == 6 - len(store.videos)


# === Arguments ===


@pytest.mark.parametrize(
    "arguments, text",
    [
        (dict(seed=-1), "0 or more"),
        (dict(start_step=-1), "0 or more"),
        (dict(on_bad_file="ignore"), "'ignore'"),
        (dict(short="mirror"), "'mirror'"),
        (dict(stride=0), "stride"),
        (dict(batch_size=0), "batch_size"),
        (dict(num_frames=0), "num_frames"),
        (dict(image_size=(0, 4)), "image_size"),
        (dict(clips_per_video=2), "training=False"),
        (dict(clips_per_video=0, training=False), "clips_per_video"),
        (dict(training=False, start_step=3), "start_step"),
        (dict(training=False, on_bad_file="substitute"), "cannot replace a bad video"),
    ],
)
def test_bad_arguments(arguments, text):
    with pytest.raises(UserError, match=text):
        video_clip_dataset(**({"examples": [VideoExample("a", 0)]} | SIZE | arguments))


def test_no_examples():
    with pytest.raises(UserError, match="empty"):
        video_clip_dataset([], 5)


@pytest.mark.real_data
def test_real_gestures(real_data):
    from h2s_keras.data.datasets.csv_source import csv_source

    examples, _ = csv_source(real_data("actions", "gestures", "manifest.csv"))
    dataset = video_clip_dataset(examples[:4], 11, image_size=(64, 64), batch_size=4)
    clips, _ = batches(dataset, 1)[0]
    assert clips.shape == (4, 11, 64, 64, 3)
    assert np.abs(np.diff(clips.astype(int), axis=1)).mean() > 0.3
