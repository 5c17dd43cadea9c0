"""What a run on videos says about itself, and what would help, in words."""

import collections

from h2s_keras.data.datasets.validation_split import suggested_group_pattern
from h2s_keras.evaluation.fusion import beats_chance
from h2s_keras.training.run_figures import motion_figures

# Accuracy on training clips, under augmentation, of a stream that has learned.
_FITTED = 0.9
_GAP = 0.2  # between training clips and videos that were not trained on
_FEW = 8  # videos of a class


def advice(data, results, scores, labels):
    """Sentences on what limits a run, the most useful first.

    Args:
        data: `VideoData` that the run was trained on.
        results: of the run; its "stages" have the history of `Validation` where videos
            were set aside.
        scores: dict of stream to log-probabilities (videos, classes) of the videos that
            the run was measured on.
        labels: int (videos,) of these.

    Returns:
        list of str; empty where nothing stands out.
    """
    found = []
    for stream in ("temporal", "spatial"):
        history = results["stages"].get(stream, {}).get("history") or [{}]
        trained = history[-1].get("training_accuracy")
        if stream not in scores:
            continue
        useful = beats_chance(scores[stream], labels)
        if trained is not None and useful and trained < _FITTED:
            found.append(
                f"The {stream} stream names {trained:.0%} of its own training clips: it "
                "has not learned all of them yet. Train longer: --budget, or --set "
                f"stages.{stream}.steps=..."
            )
        if not useful:
            found.append(_at_chance(stream, trained, len(labels)))
        elif trained is not None:
            right = float((scores[stream].argmax(axis=1) == labels).mean())
            if trained - right > _GAP:
                found.append(
                    f"The {stream} stream names {trained:.0%} of its training clips and "
                    f"{right:.0%} of the videos it did not see: more videos, from more "
                    "people and places, would help most."
                )
    found += _about_motion(results["stages"])
    learned = (*data.train, *data.validation) if "refit" in results else data.train
    found += _about_videos(data, learned)
    return found


def _at_chance(stream, trained, videos):
    found = (
        f"The {stream} stream cannot be told from chance by the {videos} videos that it "
        "was measured on"
    )
    if stream == "spatial":
        return (
            f"{found}: single frames may not tell the classes apart here. That is fine "
            "where the motion does."
        )
    if trained is not None and trained < _FITTED:
        return (
            f"{found}, and has not learned its training clips well either: train longer, "
            "or look at the flow (h2s flow VIDEO --model RUN)."
        )
    return (
        f"{found}: the motion of one second may not tell the classes apart "
        "(data.clip_seconds), or there are too few videos."
    )


def _about_motion(stages):
    left = motion_figures(stages).get("warped_error")
    if left is None or left < 1:
        return []
    return [
        "Flow explains frames that were held out no better than no motion at all "
        f"({left:.0%} of its error): the motion may be too small, too fast, or lost in "
        "compression. Look at it: h2s flow VIDEO --model RUN."
    ]


def _about_videos(data, learned):
    found = []
    counts = collections.Counter(example.label for example in learned)
    few = [
        f"{name} ({counts[label]})"
        for label, name in enumerate(data.class_names)
        if counts[label] < _FEW
    ]
    if few:
        found.append(
            f"Few videos to train on: {', '.join(few[:8])}{', ...' if few[8:] else ''}. "
            "Ten or more of each class make the figures steadier."
        )
    timing = data.timing
    if timing is not None and timing.short > timing.probed / 10:
        found.append(
            f"{timing.short} of {timing.probed} videos last less than a clip of "
            f"{timing.seconds:.2f} s; their last frame is repeated. --set "
            "data.clip_seconds=... takes shorter clips."
        )
    examples = (*data.train, *data.validation)
    if not data.test and {example.group for example in examples} == {None}:
        pattern = suggested_group_pattern([example.path for example in examples])
        if pattern:
            found.append(
                "File names seem to say who or where. Videos of one person or place on "
                "both sides of a split make its figures too good; keep them together with "
                f"--set data.group_pattern='{pattern}'."
            )
    return found
