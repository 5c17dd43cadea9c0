"""Training a scorer of behaviours from labelled videos, and refining it on new labels."""

import contextlib
import csv
import dataclasses
import os
import shutil
import tempfile
import time

import keras
import numpy as np

from h2s_keras.data.video.reading import iterate_frames
from h2s_keras.data.video.video_info import probe_video
from h2s_keras.errors import UserError
from h2s_keras.ethogram.decision import choose_rules, decide
from h2s_keras.ethogram.figures import measure
from h2s_keras.ethogram.frame_network import FrameNetwork, build_network
from h2s_keras.ethogram.frame_training import sample_pairs, train_streams, tune_motion
from h2s_keras.ethogram.labelled_videos import (
    PARTS,
    draw_folds,
    draw_split,
    find_videos,
    load_labels,
)
from h2s_keras.ethogram.scorer import FEATURES, VIDEOS, BehaviorScorer, read_videos
from h2s_keras.ethogram.temporal_head import train_heads
from h2s_keras.files import whole_file
from h2s_keras.recipes import ethogram as recipe
from h2s_keras.training.run_folder import RunFolder


class _Silent:
    """Progress that shows nothing."""

    def message(self, text):
        pass

    def track(self, items, things):
        return items

    def stage(self, name, steps, done=0, place=(1, 1), later=0):
        return keras.callbacks.Callback()


def train_ethogram(source, out, config=None, behaviors=None, progress=None):
    """Trains a scorer of behaviours, as `h2s ethogram train` does.

    The parts are those of the table's column "part"; without one they are drawn by group so
    that every behaviour is in each.

    Args:
        source: table or folder as for `find_videos`.
        out: run folder, new or empty.
        config: values of the recipe `ethogram`; None for its own.
        behaviors: names in order, or None for all in the labels.
        progress: object that shows progress, see `h2s_keras.training.train`.

    Returns:
        dict of results, also in `results.json`: "part" and "figures" of the test videos
        (of those for validation where none are for testing), "rules", "motion", "seconds".

    Training does not resume: what is stopped or fails leaves no files behind.

    Raises:
        UserError: the videos or labels cannot be used, every behaviour cannot be in each
            part, or the folder holds something already.

    Example:

    ```python
    results = train_ethogram("videos.csv", out="runs/mice")
    scorer = BehaviorScorer.from_run("runs/mice")
    ```
    """
    config = recipe.get_config() if config is None else config
    progress = progress or _Silent()
    data, seed, clock = config["data"], config["seed"], _Clock()
    videos, labels = _labelled(source, behaviors, progress)
    parts = _parts(videos, labels, data, seed)
    with _new_run(out) as run:
        size = image_size(videos[0].video, data)
        run.write_config({**config, "data": {**data, "image_size": list(size)}})
        keras.utils.set_random_seed(seed)
        names = next(one.behaviors for one in labels if one is not None)
        network = build_network(names, size, data, config["model"])
        progress.message(
            f"{len(videos)} videos ("
            + ", ".join(f"{parts.count(part)} for {part}" for part in PARTS)
            + f"), {len(names)} behaviours, frames of {size[0]} x {size[1]} pixels"
        )
        with tempfile.TemporaryDirectory(dir=run.path, prefix="frames-") as scratch:
            frames, features, motion = _learn_frames(
                network, videos, labels, parts, config, scratch, clock, progress
            )
        scorer = BehaviorScorer(frames, None, names, [], data["exclusive"], run.path)
        for index, found in features.items():
            scorer.store(videos[index].video, found, labels[index].times)
        results = _finish(scorer, run, videos, labels, parts, config, clock, progress)
        results["motion"] = motion
        run.write_json("results.json", results)
        return results


def refine_ethogram(source, model, out, behaviors=None, progress=None):
    """Trains the temporal heads and chooses the rules anew, as after labels have changed.

    Args:
        source: table or folder as for `find_videos`. Videos of the run keep their part
            unless the table says another; new ones are for training.
        model: run folder of `train_ethogram` or of an earlier refinement.
        out: run folder, new or empty.
        behaviors, progress: as `train_ethogram`; behaviours may be other ones.

    Returns, raises: as `train_ethogram`.
    """
    progress, clock = progress or _Silent(), _Clock()
    scorer = BehaviorScorer.from_run(model)
    config = RunFolder(model, resume=True).read_config()
    videos, labels = _labelled(source, behaviors, progress)
    known = {row["video"]: row["part"] for row in read_videos(model)}
    parts = []
    for one, truth in zip(videos, labels, strict=True):
        part = one.part or known.get(os.path.realpath(one.video)) or "train"
        parts.append(part if truth is not None else "")
    if "validation" not in parts:
        raise UserError(
            f"{source}: has none of the videos that {model} keeps for validation; add "
            "them, or a column part with train and validation"
        )
    with _new_run(out) as run:
        run.write_config(config)
        for name in os.listdir(os.path.join(model, FEATURES)):
            place = run.file(os.path.join(FEATURES, name))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copyfile(os.path.join(model, FEATURES, name), place)
        scorer.folder = run.path
        scorer.behaviors = next(one.behaviors for one in labels if one is not None)
        results = _finish(scorer, run, videos, labels, parts, config, clock, progress)
        run.write_json("results.json", results)
        return results


def image_size(video, data):
    """(height, width) of the frames that the network sees: of the shape of a video's.

    Args:
        video: path.
        data: values of the recipe: "image_size", or about as many pixels as "pixels".
    """
    if data["image_size"] is not None:
        height, width = data["image_size"]
        return int(height), int(width)
    info = probe_video(video)
    side = (data["pixels"] / (info.height * info.width)) ** 0.5
    # What the small MotionNet halves three times.
    height, width = (
        max(16, 8 * round(side * length / 8)) for length in (info.height, info.width)
    )
    return height, width


@contextlib.contextmanager
def _new_run(out):
    """A `RunFolder` for this process alone, emptied where what is done in it fails."""
    if os.path.isdir(out) and os.listdir(out):
        raise UserError(
            f"{out}: holds files already, and training does not resume; give another "
            "--out, or remove it"
        )
    run = RunFolder(out)
    with run.alone():
        try:
            yield run
        except BaseException:
            for name in os.listdir(run.path):
                place = run.file(name)
                if os.path.isdir(place):
                    shutil.rmtree(place, ignore_errors=True)
                else:
                    os.remove(place)
            raise


class _Clock:
    """Seconds of each piece of work."""

    def __init__(self):
        self.seconds, self._last = {}, time.monotonic()

    def __call__(self, name):
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 1)
        self._last = now


def _labelled(source, behaviors, progress):
    videos, notes = find_videos(source), []
    labels = load_labels(videos, behaviors, notes)
    for note in notes:
        progress.message(note)
    return videos, labels


def _parts(videos, labels, data, seed):
    """The part of each video, "" for those without labels."""
    used = [index for index, one in enumerate(labels) if one is not None]
    if any(videos[index].part for index in used):
        parts = [one.part if labels[n] is not None else "" for n, one in enumerate(videos)]
    else:
        wanted = {"train": 1 - data["validation"] - data["test"], **data}
        names = [part for part in PARTS if wanted[part] > 0]
        drawn = draw_split(
            [labels[index] for index in used],
            [videos[index].group for index in used],
            [wanted[part] for part in names],
            names,
            seed=seed,
        )
        parts = [""] * len(videos)
        for index, part in zip(used, drawn, strict=True):
            parts[index] = part
    for part in ("train", "validation"):
        if part not in parts:
            raise UserError(
                f"no labelled video is for {part}; say so in the table's column part"
            )
    return parts


def _learn_frames(network, videos, labels, parts, config, scratch, clock, progress):
    """Stages 1 to 3: (`FrameNetwork`, features of the training videos, motion)."""
    seed, random = config["seed"], np.random.default_rng(config["seed"])
    training = [index for index, part in enumerate(parts) if part == "train"]
    # These stages see no videos for validation or testing, not even without labels.
    unlabelled = [index for index, one in enumerate(labels) if one is None]
    footage, pairs = {}, []
    for index in progress.track([*training, *unlabelled], "videos decoded"):
        images = iterate_frames(videos[index].video, network.image_size)
        if index in unlabelled:
            pairs += sample_pairs(images, random)
            continue
        footage[index] = _stored(images, os.path.join(scratch, f"{index}.raw"))
        pairs += sample_pairs(footage[index], random)
    clock("decoding")
    settings = config["motion"]
    motion = tune_motion(
        network.motion,
        np.stack(pairs),
        settings,
        seed,
        [progress.stage("motion", settings["steps"], place=(1, 2))],
    )
    progress.message(_motion_line(motion))
    clock("motion")
    frames = FrameNetwork(network, config["data"]["causal"])
    flows = {
        index: frames.flow_of(footage[index])
        for index in progress.track(training, "videos with flow")
    }
    clock("flow")
    settings = config["streams"]
    train_streams(
        frames,
        [(footage[index], flows[index]) for index in training],
        [labels[index].matrix for index in training],
        settings,
        config["data"],
        seed,
        [progress.stage("streams", settings["steps"], place=(2, 2))],
    )
    clock("streams")
    features = {
        index: np.concatenate(list(frames.frame_features(footage[index], flows[index])))
        for index in progress.track(training, "videos with features")
    }
    return frames, features, motion


def _stored(images, path):
    """Frames on disk, as an array that is read where it is used."""
    count, shape = 0, None
    with open(path, "wb") as file:
        for image in images:
            file.write(image.tobytes())
            count, shape = count + 1, image.shape
    return np.memmap(path, "uint8", "r", shape=(count, *shape))


def _motion_line(motion):
    if motion["warped_error"] is None:
        return "MotionNet is used as it came"
    kept = "tuned" if motion["kept"] == "tuned" else "untuned"
    return (
        "on held-out frames warping by the flow leaves "
        f"{motion['warped_error_before']:.1%} of zero flow's error before tuning and "
        f"{motion['warped_error']:.1%} after it; the {kept} weights are kept"
    )


def _finish(scorer, run, videos, labels, parts, config, clock, progress):
    """Stages 4 and 5, and the scorer into the run folder; returns the results.

    The heads learn from the videos for training and for validation alike; rules are chosen
    on what they say of those that they did not see. So are figures of validation videos.
    """
    used = [index for index, part in enumerate(parts) if part]
    features = {
        index: scorer.features(videos[index].video, keep=True)[0]
        for index in progress.track(used, "labelled videos with features")
    }
    for index, found in features.items():
        if len(found) != labels[index].frames:
            raise UserError(
                f"{videos[index].video}: {labels[index].frames} frames are labelled, but "
                f"{len(found)} were decoded"
            )
    clock("features")

    def of(part, values):
        return [values[index] for index in used if parts[index] == part]

    seen = [index for index in used if parts[index] != "test"]
    settings, seed = config["head"], config["seed"]
    folds = draw_folds(
        [labels[index] for index in seen],
        [videos[index].group for index in seen],
        settings["folds"],
        seed,
    )
    scorer.head, held_out = train_heads(
        [features[index] for index in seen],
        [labels[index].matrix for index in seen],
        folds,
        settings,
        config["data"]["causal"],
        scorer.exclusive,
        seed,
        [progress.stage("heads", settings["steps"])],
    )
    clock("head")
    found = dict(zip(seen, held_out, strict=True))
    scorer.rules = choose_rules([labels[index] for index in seen], held_out)
    scorer.save(run.path)
    part = "test" if "test" in parts else "validation"
    if part == "test":
        found |= {
            index: scorer.probabilities(features[index])
            for index in used
            if parts[index] == "test"
        }
    figures = measure(
        of(part, labels),
        [decide(one, scorer.rules, scorer.exclusive) for one in of(part, found)],
        of(part, found),
    )
    clock("figures")
    _write_videos(run, videos, parts)
    return {
        "name": config["name"],
        "part": part,
        "videos": parts.count(part),
        "behaviors": list(scorer.behaviors),
        "rules": [dataclasses.asdict(rule) for rule in scorer.rules],
        "motion": None,
        "seconds": clock.seconds,
        "figures": figures.as_dict(),
        "lines": figures.lines(),
    }


def _write_videos(run, videos, parts):
    with whole_file(run.file(VIDEOS)) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["video", "labels", "group", "part"])
            for one, part in zip(videos, parts, strict=True):
                labels = os.path.realpath(one.labels) if one.labels else ""
                writer.writerow([os.path.realpath(one.video), labels, one.group, part])
