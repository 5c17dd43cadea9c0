import tracemalloc

import keras
import numpy as np
import pytest

from h2s_keras.data import VideoExample, class_folder_source
from h2s_keras.errors import UserError, VideoError
from h2s_keras.evaluation import score_videos as module
from h2s_keras.evaluation.measure import collect_scores
from h2s_keras.evaluation.protocol import Protocol, video_views
from h2s_keras.evaluation.score_videos import (
    fuse_published,
    fuse_streams,
    matched_examples,
    model_checksum,
    pooled_videos,
    score_videos,
    view_logits,
)

PROTOCOL = Protocol(2, 2)


def test_scores_are_the_mean_of_the_logits(network, videos):
    examples, names = class_folder_source(videos)
    seen = []
    scores, bad = score_videos(network, examples, PROTOCOL, 3, done=seen.append)
    assert not bad and seen == [1, 2, 3, 4, 5, 6]
    views = list(video_views(examples[4].path, PROTOCOL, 3, 1, (32, 32)))
    outputs = network.predict_on_batch(np.stack(views))
    for stream in ("temporal", "spatial"):
        expected = outputs[f"{stream}_logits"]
        np.testing.assert_allclose(
            scores.streams[stream][4], expected.mean(axis=0), rtol=1e-4, atol=1e-5
        )
        rows = scores.view_videos == 4
        np.testing.assert_allclose(scores.views[stream][rows], expected, atol=1e-4)
    fused = network.fuse(
        {f"{n}_logits": scores.streams[n] for n in ("temporal", "spatial")}
    )
    np.testing.assert_allclose(
        scores.streams["fused"], keras.ops.convert_to_numpy(fused), atol=1e-5
    )
    assert scores.class_names == names and scores.fusion == (1.0, 1.5)
    assert scores.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert scores.names[4] == examples[4].path
    assert "2 evenly spaced clips x 2 crops" in scores.protocol


def test_micro_batches_do_not_matter(network, videos):
    examples = class_folder_source(videos)[0][:2]
    one, _ = score_videos(network, examples, PROTOCOL, 1)
    many, _ = score_videos(network, examples, PROTOCOL, 100)
    for stream, values in one.streams.items():
        np.testing.assert_allclose(values, many.streams[stream], atol=1e-4)


def test_bad_files(network, videos, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 50)
    examples, _ = class_folder_source(videos)
    mixed = [VideoExample(str(tmp_path / "bad.mp4"), 1), *examples[2:4]]
    with pytest.raises(VideoError, match="bad.mp4"):
        score_videos(network, mixed, PROTOCOL)
    scores, bad = score_videos(network, mixed, PROTOCOL, on_bad_file="skip")
    alone, _ = score_videos(network, examples[2:4], PROTOCOL)
    assert [error.path for error in bad] == [str(tmp_path / "bad.mp4")]
    assert scores.names == alone.names and scores.labels.tolist() == [0, 1]
    np.testing.assert_allclose(scores.streams["fused"], alone.streams["fused"], atol=1e-5)
    assert scores.view_videos.tolist() == alone.view_videos.tolist()
    with pytest.raises(UserError, match="none of 1 videos"):
        score_videos(network, mixed[:1], PROTOCOL, on_bad_file="skip")


def test_views_are_pooled_video_by_video():
    class Wide:
        def predict_on_batch(self, clips):
            return {"logits": np.repeat(clips[:, :1], 1000, axis=1)}

    # 40 MB of logits, of which one video's share and the result are needed at once.
    views = ((number, np.array([number])) for number in range(200) for _ in range(50))
    tracemalloc.start()
    pooled, seen = pooled_videos(Wide(), views, PROTOCOL, 8, keep_views=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not seen and [video["fused"][0] for video in pooled.values()] == list(range(200))
    assert peak < 4e6


def test_repeated_clips_are_computed_once_and_count_as_often():
    computed = []

    class Halves:
        def predict_on_batch(self, clips):
            computed.extend(clips[:, 0].tolist())
            return {"logits": np.stack([clips[:, 0], -clips[:, 0]], axis=1) / 2.0}

        def predict(self, clips, batch_size, verbose):
            return self.predict_on_batch(clips)

    # Video 1 begins with the clip that video 0 ended with.
    clips = np.array([4, 4, 4, 6, 6, 0, 6], "float32")[:, None]
    numbers = [0, 0, 0, 0, 1, 1, 1]
    pooled, seen = pooled_videos(
        Halves(), zip(numbers, clips, strict=True), PROTOCOL, 2, True
    )
    assert computed == [4, 6, 6, 0, 6]
    assert pooled[0]["fused"].tolist() == [2.25, -2.25]
    assert seen[0]["fused"][:, 0].tolist() == [2, 2, 2, 3]
    computed.clear()
    batches = [
        {"clip": clips[:3], "label": np.ones(3, int), "video": np.array(numbers[:3])},
        {
            "clip": clips[3:],
            "label": np.array([1, 0, 0, 0]),
            "video": np.array(numbers[3:]),
        },
    ]
    scores, labels = collect_scores(Halves(), batches)
    assert computed == [4, 6, 6, 0, 6] and labels.tolist() == [1, 0]
    # Logits of 2 and -2: log-probabilities -log(1 + e^-4) and -log(1 + e^4).
    four, six = np.log1p(np.exp(4.0)), np.log1p(np.exp(6.0))
    wrong = [(3 * four + six) / 4, (2 * six + np.log(2)) / 3]
    np.testing.assert_allclose(scores["fused"][:, 1], -np.array(wrong), rtol=1e-6)


def test_memory_that_runs_out_halves_the_batch(network):
    sizes = []

    class ResourceExhaustedError(Exception):
        pass

    class Small:
        def predict_on_batch(self, clips):
            sizes.append(len(clips))
            if len(clips) > 2:
                raise ResourceExhaustedError("OOM")
            return network.predict_on_batch(clips)

    clips = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32, 3)).astype("uint8")
    found = list(view_logits(Small(), enumerate(clips), 5))
    assert sizes == [5, 2, 3, 1, 2] and [number for number, _ in found] == list(range(5))
    expected = network.predict_on_batch(clips)["temporal_logits"]
    temporal = [logits["temporal"] for _, logits in found]
    np.testing.assert_allclose(temporal, expected, atol=1e-4)


@pytest.mark.parametrize(
    "text, told, match",
    [
        ("RESOURCE_EXHAUSTED: Out of memory allocating 9", UserError, "--batch_size"),
        ("INTERNAL: other", RuntimeError, "other"),
    ],
)
def test_other_errors_are_reported(text, told, match):
    class JaxRuntimeError(RuntimeError):
        pass

    class Broken:
        def predict_on_batch(self, clips):
            raise JaxRuntimeError(text)

    with pytest.raises(told, match=match):
        list(view_logits(Broken(), enumerate(np.zeros((2, 3, 8, 8, 3), "uint8")), 2))


def test_classes_are_matched_by_name():
    examples = [VideoExample("a", 0, "1"), VideoExample("b", 1, "2")]
    matched = matched_examples(examples, ("wave", "clap"), ["clap", "jump", "wave"])
    assert [(one.path, one.label, one.group) for one in matched] == [
        ("a", 2, "1"),
        ("b", 0, "2"),
    ]
    with pytest.raises(UserError, match="'wave'"):
        matched_examples(examples, ("wave", "clap"), ["clap", "jump"])


def test_checksum(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert model_checksum(tmp_path / "model.keras") == expected
    assert model_checksum(tmp_path) == expected
    version = tmp_path / "served" / "2"
    (version / "variables").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"graph")
    (version / "variables" / "variables.index").write_bytes(b"weights")
    one = model_checksum(tmp_path / "served")
    (tmp_path / "served" / "batching.config").write_text("tuned")
    assert model_checksum(tmp_path / "served") == model_checksum(version) == one
    (version / "variables" / "variables.index").write_bytes(b"others")
    assert len(one) == 64 and model_checksum(version) != one
    assert module._OUTPUTS["temporal"] == "temporal_logits"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_end_it(value):
    """They would rank the first class first, and count where that is the true one."""

    class Broken:
        def predict_on_batch(self, clips):
            logits = np.zeros((len(clips), 2), "float32")
            logits[1] = value
            return {"logits": logits}

    views = view_logits(Broken(), enumerate(np.zeros((2, 3, 8, 8, 3), "uint8")), 2)
    assert next(views)[0] == 0
    with pytest.raises(UserError, match="video 2 of the list: .* not finite numbers"):
        next(views)


def test_the_published_fusion_of_logits():
    """By hand; a video without a positive logit has the model's own probabilities."""

    class Model:
        fusion = (1.0, 1.5)

    streams = {
        "spatial": np.array([[3.0, 1, -2], [-1, -2, -3], [-1, -2, -3]], "float32"),
        "temporal": np.array([[-1.0, 2, 2], [0, 5, 0], [-3, -1, -2]], "float32"),
    }
    fused, lost = fuse_published(Model, streams)
    rows = [[0.75 / 2.5, (0.25 + 0.75) / 2.5, 0.75 / 2.5], [0, 1, 0]]
    np.testing.assert_allclose(fused[:2], rows, atol=1e-6)
    assert lost == 1
    own = np.exp(fuse_streams(Model, streams)[2])
    np.testing.assert_allclose(fused[2], own / own.sum(), atol=1e-6)


def test_the_published_fusion_where_a_stream_has_no_positive_logit():
    class Model:
        fusion = (1.0, 1.5)

    negative = -np.ones((2, 2), "float32")
    positive = np.array([[1.0, 3], [4, 1]], "float32")
    fused, lost = fuse_published(Model, {"spatial": negative, "temporal": positive})
    np.testing.assert_allclose(fused, [[0.25, 0.75], [0.8, 0.2]], atol=1e-6)
    fused, lost_all = fuse_published(Model, {"spatial": negative, "temporal": negative})
    np.testing.assert_allclose(fused, 0.5, atol=1e-6)
    assert lost == 0 and lost_all == 2
