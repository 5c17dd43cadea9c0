import numpy as np
import pytest
from evaluation.samples import write_video

from h2s_keras.data import even_clip_starts, read_frames
from h2s_keras.data.clips.crops import centre_crop_box, crop_frames, ten_crop_boxes
from h2s_keras.errors import UserError, VideoError
from h2s_keras.evaluation.protocol import Protocol, crop_views, video_views, view_indices


def test_named_protocols():
    paper, fast = Protocol.parse("paper"), Protocol.parse("fast")
    assert (paper.clips, paper.crops, paper.views, paper.sampling) == (25, 10, 250, "even")
    assert (fast.clips, fast.crops, fast.views) == (1, 1, 1)
    assert Protocol.parse("5x2") == Protocol(5, 2)
    sliding = Protocol.parse("5x2", sampling="sliding", step=4, top_k=None)
    assert (sliding.sampling, sliding.step, sliding.top_k, sliding.views) == (
        "sliding",
        4,
        0,
        None,
    )


@pytest.mark.parametrize("text", ["papers", "0x1", "1x3", "x", "2x", "-1x1", ""])
def test_bad_protocols(text):
    with pytest.raises(UserError):
        Protocol.parse(text)


@pytest.mark.parametrize(
    "values", [{"sampling": "random"}, {"step": 3}, {"top_k": -1}, {"crops": 4}]
)
def test_bad_values(values):
    with pytest.raises(UserError):
        Protocol(**values)


def test_the_text_says_all():
    text = Protocol.parse("paper").describe(11, 1, (224, 224))
    for part in ("25 evenly", "10 crops", "11 frames", "stride 1", "224x224", "averaged"):
        assert part in text
    text = Protocol(4, 1, "segments", top_k=3).describe(3, 2, (32, 32))
    assert "4 equal segments" in text and "3 highest" in text
    assert "every 5 frames" in Protocol(sampling="sliding", step=5).describe(3, 1, (8, 8))


def test_ten_crops_by_hand():
    boxes = ten_crop_boxes((256, 340), (224, 224))
    places = [box[:2] for box, mirrored in boxes[::2]]
    assert places == [(16, 58), (0, 0), (0, 116), (32, 0), (32, 116)]
    assert all(box[2:] == (224, 224) for box, _ in boxes)
    assert [mirrored for _, mirrored in boxes] == [False, True] * 5
    assert all(one[0] == two[0] for one, two in zip(boxes[::2], boxes[1::2], strict=True))


def test_mirrored_views_are_mirrored():
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3)).astype("uint8")
    views = list(crop_views(frames, (32, 32), 10))
    assert len(views) == 10 and views[0].shape == (2, 32, 32, 3)
    for plain, mirrored in zip(views[::2], views[1::2], strict=True):
        np.testing.assert_array_equal(plain[:, :, ::-1], mirrored)
    assert [len(list(crop_views(frames, (32, 32), n))) for n in (1, 2, 5)] == [1, 2, 5]
    box = centre_crop_box((40, 56), (32, 32))
    np.testing.assert_array_equal(views[0], crop_frames(frames, box, (32, 32), False))


def test_even_clips_are_the_papers():
    clips = view_indices(Protocol.parse("paper"), 111, 11, 1)
    np.testing.assert_array_equal(clips[:, 0], np.arange(25) * 4)
    np.testing.assert_array_equal(clips[:, 0], even_clip_starts(111, 11, 1, 25))


@pytest.mark.parametrize("length", [2, 3, 7, 20, 101])
@pytest.mark.parametrize("step", [0, 1, 4])
def test_sliding_windows_see_the_end(length, step):
    clips = view_indices(Protocol(sampling="sliding", step=step), length, 3, 2)
    assert clips.min() == 0 and clips.max() == length - 1 if length >= 5 else True
    assert (clips < length).all()
    if step and length >= 5:
        assert np.diff(clips[:, 0]).max(initial=0) <= step


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(4, 2),
        Protocol(30, 1),
        Protocol(2, 5, "segments"),
        Protocol(sampling="sliding", step=2),
    ],
)
@pytest.mark.parametrize("frames", [2, 4, 19])
def test_views_are_the_frames_of_the_file(tmp_path, protocol, frames):
    path = tmp_path / "video.mp4"
    write_video(path, frames)
    views = list(video_views(str(path), protocol, 3, 2, (32, 32)))
    every = read_frames(str(path), size=round(32 / 0.875))
    expected = [
        view
        for clip in view_indices(protocol, frames, 3, 2)
        for view in crop_views(every[clip], (32, 32), protocol.crops)
    ]
    assert len(views) == len(expected)
    for one, other in zip(views, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_frame_is_refused(tmp_path):
    write_video(tmp_path / "one.mp4", 1)
    with pytest.raises(VideoError, match="no motion"):
        next(video_views(str(tmp_path / "one.mp4"), Protocol(), 3, 1, (32, 32)))


def test_pooling():
    views = np.array([[1, 9], [3, 2], [5, 1.0]])
    np.testing.assert_allclose(Protocol(3).pool(views), [3, 4])
    np.testing.assert_allclose(Protocol(3, top_k=2).pool(views), [4, 5.5])
    np.testing.assert_allclose(Protocol(3, top_k=9).pool(views), [3, 4])
