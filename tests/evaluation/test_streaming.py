import numpy as np
import pytest
from evaluation.samples import CLASSES, served, write_video

from h2s_keras.data import read_frames
from h2s_keras.data.clips.crops import centre_crop_box, crop_frames
from h2s_keras.errors import UserError
from h2s_keras.evaluation.annotated_video import AnnotatedVideo, annotate, draw_text
from h2s_keras.evaluation.streaming import (
    Window,
    merged_timeline,
    sliding_windows,
    stream_frames,
)

FRAMES = np.random.default_rng(0).integers(0, 256, (11, 40, 56, 3)).astype("uint8")


@pytest.mark.parametrize("step", [None, 1, 2, 3])
@pytest.mark.parametrize("count", [2, 3, 4, 7, 11])
def test_windows_cover_every_frame_once(network, step, count):
    windows = list(sliding_windows(network, iter(FRAMES[:count]), step))
    covered = [index for one in windows for index in range(one.start, one.stop)]
    assert covered == list(range(count))
    shown = np.concatenate([np.stack(one.frames) for one in windows])
    np.testing.assert_array_equal(shown, FRAMES[:count])
    assert all(one.probabilities.sum() == pytest.approx(1) for one in windows)


def test_a_window_is_a_clip_of_the_model(network):
    windows = list(sliding_windows(network, FRAMES, 2))
    box = centre_crop_box((40, 56), (32, 32))
    window = windows[2]
    clip = crop_frames(FRAMES[window.stop - 3 : window.stop], box, (32, 32), False)
    outputs = network.predict_on_batch(clip[None])
    powers = np.exp(outputs["logits"][0])
    np.testing.assert_allclose(window.probabilities, powers / powers.sum(), atol=1e-5)
    np.testing.assert_allclose(window.flow, outputs["flow2"][0, 1], atol=1e-4)


def test_windows_refuse(network):
    with pytest.raises(UserError, match="from 1 to the 3"):
        next(sliding_windows(network, FRAMES, 4))
    with pytest.raises(UserError, match="two frames"):
        list(sliding_windows(network, FRAMES[:1]))


def same_windows(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a.start, a.stop) == (b.start, b.stop)
        np.testing.assert_array_equal(np.stack(a.frames), np.stack(b.frames))
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)
        np.testing.assert_allclose(a.flow, b.flow, atol=1e-4)


def test_windows_side_by_side_have_no_flow_to_reuse(network):
    for count in (2, 3, 9):
        frames = FRAMES[:count]
        plain = list(sliding_windows(network, frames))
        same_windows(plain, list(sliding_windows(network, frames, reuse_flow=True)))


@pytest.mark.parametrize("step", [1, 2])
def test_reused_flow_is_that_of_its_pair(network, step, monkeypatch):
    """Windows as before; MotionNet runs on clips side by side, and no pair twice."""
    clips = []
    run = network.motion.predict_on_batch

    def counted(clip):
        clips.append(clip)
        return run(clip)

    plain = list(sliding_windows(network, FRAMES, step))
    monkeypatch.setattr(network.motion, "predict_on_batch", counted)
    windows = list(sliding_windows(network, FRAMES, step, reuse_flow=True))
    assert [(w.start, w.stop) for w in windows] == [(w.start, w.stop) for w in plain]
    shown = np.concatenate([np.stack(one.frames) for one in windows])
    np.testing.assert_array_equal(shown, FRAMES)
    # Ten pairs in clips of two pairs.
    assert len(clips) == 5 and len(plain) == {1: 9, 2: 5}[step]
    box = centre_crop_box((40, 56), (32, 32))
    crops = crop_frames(FRAMES, box, (32, 32), False)
    for number, clip in enumerate(clips):
        np.testing.assert_array_equal(clip[0], crops[2 * number : 2 * number + 3])
    # Windows at the place of a clip have its flow; the first one also its answer.
    same_windows(windows[:1], plain[:1])
    middle = run(crops[None, 2:5])["flow2"][0, 1]
    found = [one for one in windows if one.stop == 5]
    np.testing.assert_allclose(found[0].flow, middle, atol=1e-4)


@pytest.mark.parametrize("reuse", [False, True])
def test_windows_without_finite_scores_end_it(network, reuse):
    weight = network.temporal.weights[-1]
    kept = weight.numpy()
    try:
        weight.assign(np.full(kept.shape, np.nan))
        with pytest.raises(UserError, match="frames 0 to 3: .* not finite numbers"):
            list(sliding_windows(network, FRAMES, 1, reuse_flow=reuse))
    finally:
        weight.assign(kept)


def test_flow_of_an_export_is_not_reused(network):
    class Exported:
        num_frames, frame_stride = network.num_frames, network.frame_stride

    with pytest.raises(UserError, match="stacked .keras model only"):
        list(sliding_windows(Exported(), FRAMES, 1, reuse_flow=True))


def test_timeline_merges_neighbours():
    told = [(0, 5, [0.9, 0.1]), (5, 10, [0.7, 0.3]), (10, 12, [0.2, 0.8])]
    rows = merged_timeline([(a, b, np.array(c)) for a, b, c in told], CLASSES, 5.0)
    assert rows == [
        {"start": 0.0, "end": 2.0, "class": "left", "score": pytest.approx(0.8)},
        {"start": 2.0, "end": 2.4, "class": "right", "score": 0.8},
    ]


def test_text_stands_in_a_darkened_bar():
    picture = np.full((40, 120, 3), 90, "uint8")
    drawn = draw_text(picture, "jump 90%", 4, 12)
    assert (picture == 90).all() and drawn.shape == picture.shape
    assert (drawn[4:] == 255).any() and (drawn[5, 5] == 30).all()
    assert (drawn[:4] == 90).all() and (drawn[:, -4:] == 90).all()


def test_text_shrinks_to_the_picture():
    picture = np.full((40, 60, 3), 90, "uint8")
    drawn = draw_text(picture, "a class of a very long name", 4, 12)
    assert (drawn[:, :4] == 90).all() and (drawn[:, -4:] == 90).all()
    assert (drawn == 30).any()


def window(flow=True):
    field = np.full((16, 16, 2), (4.0, 0.0), "float32") if flow else None
    frames = list(FRAMES[:3])
    return Window(0, 3, frames, np.array([0.25, 0.75], "float32"), field)


def test_annotated_frame():
    picture = annotate(FRAMES[0], window(), CLASSES)
    assert picture.shape == (160, 224, 3)
    # Flow to the right is red, in the lower right corner.
    assert picture[-10, -10].tolist() == [255, 0, 0]
    assert (picture[4:24] == 255).all(axis=-1).any()
    plain = annotate(FRAMES[0], window(flow=False), CLASSES)
    assert plain[-10, -10].tolist() == FRAMES[0][-3, -3].tolist()


def test_annotated_video(tmp_path):
    path = tmp_path / "out.mp4"
    with AnnotatedVideo(path, CLASSES, 12.5) as video:
        video.add(window())
        video.add(window())
        assert not path.exists()
    frames = read_frames(str(path))
    assert frames.shape == (6, 160, 224, 3)
    assert frames[0][-10, -10, 0] > 200 and frames[0][-10, -10, 2] < 60
    for name, text in (
        (path, "exists"),
        ("x.avi", ".mp4"),
        (tmp_path / "no/x.mp4", "make"),
    ):
        with pytest.raises(UserError, match=text):
            AnnotatedVideo(name, CLASSES)


def test_a_cut_run_leaves_no_video(tmp_path):
    with pytest.raises(RuntimeError):
        with AnnotatedVideo(tmp_path / "out.mp4", CLASSES) as video:
            video.add(window())
            raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.fixture
def address(tmp_path):
    write_video(tmp_path / "stream.ts", 8)
    write_video(tmp_path / "stream.avi", 8)
    with served(tmp_path) as found:
        yield found


def test_stream_of_an_address(address):
    rate, frames = stream_frames(f"{address}/stream.ts")
    frames = list(frames)
    assert rate == pytest.approx(25, rel=0.2) and len(frames) == 8
    assert frames[0].shape == (40, 56, 3) and frames[0].dtype == np.uint8
    _, frames = stream_frames(f"{address}/stream.avi", size=20, max_frames=3)
    assert [frame.shape for frame in frames] == [(20, 28, 3)] * 3


@pytest.mark.parametrize("source", ["http://127.0.0.1:1/none", "97", "video.mp4"])
def test_sources_that_cannot_be_opened(source):
    with pytest.raises(UserError, match=source.split("/")[0]):
        stream_frames(source, timeout=2.0)
