"""Runs a classifier over labelled videos by a protocol, in micro-batches."""

import dataclasses
import itertools
import json
import os

import numpy as np

from h2s_keras.data.clips.video_clips import frame_size
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import UserError, VideoError
from h2s_keras.evaluation.fusion import normalize_scores
from h2s_keras.evaluation.measure import join_repeats
from h2s_keras.evaluation.protocol import video_views
from h2s_keras.evaluation.scores import VideoScores
from h2s_keras.evaluation.statistics import check_finite, log_softmax
from h2s_keras.files import sha256, sha256_of
from h2s_keras.model_files import preset_index, preset_name, weights_file
from h2s_keras.process import JAX_ERRORS, is_out_of_memory

_OUTPUTS = {"temporal": "temporal_logits", "spatial": "spatial_logits"}


def score_videos(
    model,
    examples,
    protocol,
    batch_size=8,
    on_bad_file="raise",
    keep_views=True,
    done=None,
    rate=None,
):
    """Scores of every video: logits of each stream pooled over views, then fused.

    An example with a segment, or with a number of frames, is scored on these alone.

    Args:
        model: HiddenTwoStream with `class_names`, or a SavedNetwork, which gives fused
            scores alone.
        examples: `VideoExample`s, no two of the same part of a video.
        protocol: Protocol.
        batch_size: views computed at a time, of one or several videos; halved by itself
            where memory runs out, except under JAX.
        on_bad_file: "raise", or "skip" to leave a bad video out.
        keep_views: store the logits of every view as well.
        done: function called with the number of finished videos, or None.
        rate: frames per second to read the videos at; None for what the model was trained
            at, where folders of frames are taken as they are.

    Returns:
        (VideoScores, bad): the scores of the readable videos in their order, named as
        `example_name` does, and a list of the `VideoError`s of the others, one per file.

    Raises:
        VideoError: a bad file under "raise".
        UserError: no video is readable; under JAX, memory runs out.

    Example:
        >>> scores, _ = score_videos(model, examples, Protocol.parse("paper"))
        >>> scores.streams["fused"].shape
        (27, 3)
    """
    bad, bad_numbers = {}, set()
    rate = model.frame_rate if rate is None else rate
    size = frame_size(model.image_size, protocol.decode_size)
    source = FrameSource(size, 0, rate=rate, per_frame=True)

    def views():
        for number, example in enumerate(examples):
            try:
                for view in video_views(
                    example.path,
                    protocol,
                    model.num_frames,
                    model.frame_stride,
                    model.image_size,
                    source.frames_of(example),
                    source,
                ):
                    yield number, view
            except VideoError as error:
                if on_bad_file == "raise":
                    raise
                bad.setdefault(error.path, error)
                bad_numbers.add(number)
            if done is not None:
                done(number + 1)

    pooled, seen = pooled_videos(model, views(), protocol, batch_size, keep_views)
    kept = [number for number in range(len(examples)) if number not in bad_numbers]
    if not kept:
        first = next(iter(bad.values()))
        raise UserError(f"none of {len(examples)} videos can be read; the first: {first}")
    scores = video_scores(
        model,
        [pooled[number] for number in kept],
        [seen[number] for number in kept] if keep_views else [],
        [example_name(examples[number]) for number in kept],
        np.array([examples[number].label for number in kept]),
        protocol,
        rate,
    )
    return scores, list(bad.values())


def example_name(example):
    """Name of an example among scores: its path, and the seconds of its segment."""
    if example.start is None:
        return example.path
    return f"{example.path} {example.start}-{example.end} s"


def score_clips(model, batches, protocol, keep_views=True):
    """As `score_videos`, for clips at hand: each is a video of one view.

    Args:
        batches: dicts with "clip" (batch, time, H, W, 3) and "label" (batch,).
    """
    labels = []

    def views():
        for batch in batches:
            for clip, label in zip(batch["clip"], batch["label"], strict=True):
                labels.append(int(label))
                yield len(labels) - 1, clip

    pooled, seen = pooled_videos(model, views(), protocol, 32, keep_views)
    names = [f"clip-{number:05d}" for number in range(len(labels))]
    return video_scores(
        model,
        list(pooled.values()),
        list(seen.values()),
        names,
        np.array(labels),
        protocol,
    )


def pooled_videos(model, views, protocol, batch_size, keep_views):
    """Logits of every video, pooled as soon as its last view is computed.

    Args:
        model: HiddenTwoStream.
        views: pairs (number of the video, uint8 clip); those of a video follow each other.
        protocol: Protocol.
        batch_size: views computed at a time.
        keep_views: whether to keep the logits of every view, too.

    Returns:
        (pooled, seen): dicts of a video's number to its logits, each a dict of stream to
        float32 (classes,) or, of the views, (views, classes); `seen` is empty where views
        are not kept.
    """
    pooled, seen = {}, {}
    for number, rows in itertools.groupby(
        view_logits(model, views, batch_size), key=lambda pair: pair[0]
    ):
        rows = [logits for _, logits in rows]
        video = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        pooled[number] = {name: protocol.pool(values) for name, values in video.items()}
        if keep_views:
            seen[number] = video
    return pooled, seen


def view_logits(model, views, batch_size):
    """Yields (number of the video, dict of stream to float32 (classes,)) of every view."""
    views = join_repeats(views)
    while batch := list(itertools.islice(views, batch_size)):
        outputs = _predict(model, np.stack([clip for _, clip, _ in batch]))
        found = {stream: key for stream, key in _OUTPUTS.items() if key in outputs}
        logits = {
            stream: np.asarray(outputs[key], "float32")
            for stream, key in (found or {"fused": "logits"}).items()
        }
        for row, (number, _, count) in enumerate(batch):
            for values in logits.values():
                check_finite(values[row], f"video {number + 1} of the list")
            answer = {stream: values[row] for stream, values in logits.items()}
            yield from itertools.repeat((number, answer), count)


def _predict(model, clips):
    try:
        return model.predict_on_batch(clips)
    except Exception as error:
        if len(clips) == 1 or not is_out_of_memory(error):
            raise
        if type(error).__name__ in JAX_ERRORS:
            # Keras gave the weights to the step that failed: there is no second try.
            raise UserError(
                f"no memory for {len(clips)} views at a time, and under JAX fewer cannot "
                "be tried by itself; give a smaller --batch_size"
            ) from error
    half = len(clips) // 2
    first, second = _predict(model, clips[:half]), _predict(model, clips[half:])
    return {name: np.concatenate([first[name], second[name]]) for name in first}


def video_scores(model, pooled, seen, names, labels, protocol, rate=None):
    """VideoScores from the logits of videos and, unless `seen` is empty, of their views."""
    streams = {name: np.stack([video[name] for video in pooled]) for name in pooled[0]}
    views, view_videos = {}, None
    if seen:
        views = {name: np.concatenate([video[name] for video in seen]) for name in seen[0]}
        counts = [len(next(iter(video.values()))) for video in seen]
        view_videos = np.repeat(np.arange(len(seen)), counts)
    weights = tuple(getattr(model, "fusion", ())) or None
    about = protocol.describe(
        model.num_frames,
        model.frame_stride,
        model.image_size,
        rate,
        weights if "spatial" in streams else None,
    )
    if "fused" not in streams and protocol.fusion == "published" and "spatial" in streams:
        streams["fused"], lost = fuse_published(model, streams)
        if lost:
            about += (
                f" ({lost} without a positive logit fused by log-probabilities instead)"
            )
    elif "fused" not in streams:
        streams["fused"] = fuse_streams(model, streams)
    return VideoScores(
        streams,
        tuple(names),
        labels,
        tuple(model.class_names),
        about,
        views=views,
        view_videos=view_videos,
        fusion=weights,
    )


def fuse_streams(model, streams):
    """The model's own fusion on pooled logits: weighted mean of log-probabilities.

    Args:
        model: HiddenTwoStream.
        streams: dict "temporal" and, with a spatial stream, "spatial" to (videos, classes).

    Returns:
        float32 (videos, classes).
    """
    temporal = log_softmax(streams["temporal"].astype("float64"))
    if "spatial" not in streams:
        return temporal.astype("float32")
    spatial = log_softmax(streams["spatial"].astype("float64"))
    one, other = model.fusion
    return ((one * spatial + other * temporal) / (one + other)).astype("float32")


def fuse_published(model, streams):
    """The published fusion of pooled logits, with the weights of the model.

    Args:
        model: HiddenTwoStream with both streams.
        streams: as `fuse_streams`.

    Returns:
        (scores, lost): float32 (videos, classes), rows that sum to 1, and the number of
        videos that have no positive logit in any stream. The rule gives such a video no
        score; it has the probabilities of the model's own fusion instead.

    Reference: arXiv 1704.00389, section 4.1, and the fusion script of the release.
    """
    matrices = [streams["spatial"], streams["temporal"]]
    if max(matrix.max() for matrix in matrices) > 0:
        fused = sum(
            weight * normalize_scores(matrix, "l1") if matrix.max() > 0 else 0 * matrix
            for weight, matrix in zip(model.fusion, matrices, strict=True)
        )
    else:
        fused = np.zeros(matrices[0].shape)
    total = fused.sum(axis=1, keepdims=True)
    own = np.exp(log_softmax(fuse_streams(model, streams).astype("float64")))
    rows = np.where(total > 0, fused / np.where(total > 0, total, 1), own)
    return rows.astype("float32"), int((total == 0).sum())


def model_checksum(path):
    """SHA-256 in hex of a model: a preset, a file, a folder; None of a remote path."""
    path = os.fspath(path)
    preset = preset_name(path)
    if preset is not None:
        return preset_index()[preset]["sha256"]
    from h2s_keras.export.exported_file import PAGE, is_page
    from h2s_keras.export.saved_network import find_version
    from h2s_keras.export.serving_files import file_digests

    version = find_version(path)
    if version is not None:
        # The graph and its weights; the files beside them are there to be edited.
        digests = json.dumps(file_digests(version), sort_keys=True)
        return sha256([digests.encode()])
    path = os.path.join(path, PAGE[0]) if is_page(path) else weights_file(path)
    return path and sha256_of(path)


def matched_examples(examples, class_names, model_names):
    """Examples whose labels count the model's classes, matched by class name.

    Raises:
        UserError: the data have a class that the model does not know.
    """
    place = {name: number for number, name in enumerate(model_names)}
    unknown = [name for name in class_names if name not in place]
    if unknown:
        raise UserError(
            f"the model does not know the class {unknown[0]!r} of the data; it knows "
            f"{', '.join(model_names[:10])}{', ...' if len(model_names) > 10 else ''}"
        )
    labels = [place[name] for name in class_names]
    return [
        dataclasses.replace(example, label=labels[example.label]) for example in examples
    ]


UNTRIMMED = ("videos", "segments")
PROTOCOLS = {
    "videos": "whole untrimmed videos",
    "segments": "annotated segments, each taken for a video",
}


def untrimmed_examples(examples, num_classes, unit="videos"):
    """Gathers examples that are segments by what is to be scored, with all its classes.

    The recognition tasks of THUMOS14 and ActivityNet ask which actions an untrimmed video
    shows, so the published figures are of whole videos; one that shows several actions has
    several classes. A segment may have several, too: every cliff dive of THUMOS14 is
    listed as a dive once more.

    Args:
        examples: `VideoExample`s with `start` and `end`.
        num_classes: how many classes there are.
        unit: "videos": one example for each video, without its segments; "segments": one
            for each segment.

    Returns:
        (examples, labels): a list, and int (examples,) or, where an example has several
        classes, bool (examples, num_classes).

    Example:
        >>> rows = [VideoExample("a.mp4", 0, None, 1.0, 2.0),
        ...         VideoExample("a.mp4", 1, None, 1.0, 2.0)]
        >>> untrimmed_examples(rows, 2, "segments")[1]
        array([[ True,  True]])

    Reference: the evaluation kits TH14evalkit (classification) and ActivityNet's.
    """
    if unit not in UNTRIMMED:
        raise ValueError(f"unit must be one of {UNTRIMMED}; received {unit!r}.")
    gathered = {}
    for example in examples:
        if unit == "videos":
            example = dataclasses.replace(example, start=None, end=None)
        key = (example.path, example.start, example.end)
        gathered.setdefault(key, (example, set()))[1].add(example.label)
    kept = [example for example, _ in gathered.values()]
    classes = [labels for _, labels in gathered.values()]
    if all(len(labels) == 1 for labels in classes):
        return kept, np.array([example.label for example in kept])
    matrix = np.zeros((len(kept), num_classes), bool)
    for row, labels in enumerate(classes):
        matrix[row, sorted(labels)] = True
    return kept, matrix
