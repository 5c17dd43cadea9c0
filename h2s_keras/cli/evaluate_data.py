"""The labelled videos that `h2s evaluate` measures on."""

import argparse
import dataclasses
import os
import sys

from h2s_keras.cli.data import add_list_arguments, read_list
from h2s_keras.errors import UserError

DATASETS = ("ucf101", "hmdb51", "thumos14", "activitynet", "list")
_SCORES = (".npz", ".npy", ".mat")
_OF_DATASETS = ("annotations", "test_list", "classes", "root", "split")
# What can be measured on: the kind, and how messages call it.
KINDS = {
    "folder": "a folder",
    "csv": "a .csv list",
    "dataset": "a dataset whose videos are trimmed",
    "untrimmed": "a dataset of untrimmed videos",
    "synthetic": "synthetic clips",
    "scores": "a scores file",
    "flow": "--flow_data",
}
_VIDEOS = ("folder", "csv", "dataset", "untrimmed")
_FRESH = (*_VIDEOS, "synthetic")
# Options that do not go with every kind: their names, the kinds, and these in words.
_GOES_WITH = (
    (("model",), (*_FRESH, "flow"), "is for fresh scores and flow"),
    (("scores",), _FRESH, "goes with --data that is scored anew"),
    (("compare", "confusion"), (*_FRESH, "scores"), "goes with --data"),
    (("labels",), ("scores",), "goes with a scores file as --data"),
    (
        ("protocol", "sampling", "step", "pool_top_k", "rate", "include_training"),
        _VIDEOS,
        "goes with videos as --data",
    ),
    (("test_group",), ("folder", "csv"), "goes with a folder or a .csv list"),
    (("group_pattern",), ("folder",), "goes with a folder"),
    (("group_column",), ("csv",), "goes with a .csv list"),
    (("untrimmed",), ("csv", "untrimmed"), "goes with segments of untrimmed videos"),
    (
        _OF_DATASETS,
        ("dataset", "untrimmed"),
        "goes with a dataset as --data (" + ", ".join(DATASETS) + ")",
    ),
    (("count", "seed"), ("synthetic",), "goes with --data synthetic"),
)


def add_data_arguments(parser):
    """What is measured on, and the options of each kind of it."""
    parser.add_argument(
        "--data",
        metavar="D",
        help="a folder of class folders, a .csv list, 'synthetic', a scores file (.npz, "
        ".npy, .mat), or a dataset: " + ", ".join(DATASETS),
    )
    parser.add_argument(
        "--flow_data",
        metavar="DIR",
        help="measure flow: a folder in the layout of Middlebury, KITTI or FlyingChairs",
    )
    group = parser.add_argument_group("folders and .csv lists")
    group.add_argument(
        "--group_pattern", metavar="RE", help="group of a video, found in its file name"
    )
    group.add_argument("--group_column", metavar="NAME", help="column of the .csv list")
    group.add_argument(
        "--test_group", metavar="G", help="only the videos of this group, as in training"
    )
    group = parser.add_argument_group("datasets", "their test part, as for h2s data")
    group.add_argument(
        "--annotations", metavar="PATH", help="the official lists, or the training list"
    )
    add_list_arguments(group)
    group.add_argument("--root", metavar="DIR", help="folder of the videos")
    group.add_argument(
        "--split", type=int, metavar="N", help="of ucf101 and hmdb51: 1 (default), 2 or 3"
    )
    group.add_argument(
        "--untrimmed",
        choices=("videos", "segments"),
        help="for lists of segments, score whole videos (default of thumos14 and "
        "activitynet, as published) or each segment (default of a .csv list)",
    )
    group = parser.add_argument_group("synthetic clips")
    group.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="number of clips (default: as many as the run tested on, or 240)",
    )
    group.add_argument("--seed", type=int, help="their seed (default: the run's, or 1)")
    group = parser.add_argument_group("scores files")
    group.add_argument(
        "--labels",
        metavar="L",
        help="labels of a scores file that contains none: .npz, .npy, .mat, or lines that "
        "end in a label",
    )


def data_kind(arguments):
    """The key of `KINDS` that the command line asks for.

    Raises:
        UserError: nothing or two things to measure on, or an option of another kind.
    """
    data = arguments.data
    if bool(data) == bool(arguments.flow_data):
        raise UserError("give either --data (recognition) or --flow_data (flow)")
    if arguments.flow_data:
        kind = "flow"
    elif data == "synthetic":
        kind = "synthetic"
    elif data.lower().endswith(_SCORES):
        kind = "scores"
    elif data.lower().endswith(".csv"):
        kind = "csv"
    elif data in DATASETS and (
        any(getattr(arguments, name) is not None for name in _OF_DATASETS)
        or not os.path.isdir(data)
    ):
        kind = "untrimmed" if data in ("thumos14", "activitynet") else "dataset"
    else:
        kind = "folder"
    for names, kinds, words in _GOES_WITH:
        for name in names:
            if kind not in kinds and getattr(arguments, name) not in (None, False):
                raise UserError(f"--{name} {words}, not with {KINDS[kind]}")
    return kind


def read_examples(arguments, kind):
    """(examples, class names) that --data of a kind names, labels counted as the names."""
    from h2s_keras.data.datasets.csv_source import csv_source
    from h2s_keras.data.datasets.sources import class_folder_source, leave_one_group_out

    if kind in ("dataset", "untrimmed"):
        return _test_part(arguments)
    if kind == "csv":
        examples, names = csv_source(
            arguments.data,
            group_column=arguments.group_column,
            require=arguments.on_bad_file == "raise",
        )
    else:
        examples, names = class_folder_source(arguments.data, arguments.group_pattern)
    if arguments.test_group is not None:
        _, examples = leave_one_group_out(examples, arguments.test_group)
    return examples, names


def _test_part(arguments):
    values = {name: getattr(arguments, name) for name in _OF_DATASETS}
    values["split"] = values["split"] or 1
    if arguments.root is None and arguments.data != "list":
        raise UserError(f"{arguments.data} needs --root, the folder of its videos")
    listed = read_list(argparse.Namespace(kind=arguments.data, **values))
    # A single list is all there is to measure on.
    listed = dataclasses.replace(listed, train=(), test=listed.test or listed.train)
    if arguments.on_bad_file == "raise":
        listed.require_videos()
    return listed.test, listed.class_names


def untrained(arguments, examples, unit=None):
    """The examples that the model was not trained on, unless all are asked for.

    Args:
        arguments: of the command line, with "model", "data" and "include_training".
        examples: `VideoExample`s.
        unit: "videos" where whole videos are measured of which segments are listed: one
            with any segment in training was trained on.

    Returns:
        (examples, about, counts): those to measure; in words what is known of training;
        and the same as a dict "videos", "in_training", "left_out", or None.

    Raises:
        UserError: nothing is left.
    """
    from h2s_keras.training.training_videos import TrainingVideos

    known = TrainingVideos.of_model(arguments.model)
    if known is None:
        return examples, "which of them were in training is not known", None

    def was_trained(example):
        if unit == "videos":
            example = dataclasses.replace(example, start=None, end=None)
        return known.holds(example)

    trained = [was_trained(example) for example in examples]
    count, total = sum(trained), len(examples)
    counts = {"videos": total, "in_training": count, "left_out": 0}
    if not count:
        return examples, "none of them in training", counts
    if arguments.include_training:
        return examples, f"{count} of them in training", counts
    if count == total:
        raise UserError(
            f"{arguments.data}: all {total} videos were in the training of "
            f"{arguments.model}, so they do not tell how well it does. Its report.html has "
            "the figures of the videos that it had set aside, if any. Give other videos, "
            "train without a group (--set data.test_group=...), or --include_training"
        )
    print(
        f"h2s: {count} of {total} videos were in training and are left out "
        "(--include_training measures them too)",
        file=sys.stderr,
    )
    kept = [one for one, seen in zip(examples, trained, strict=True) if not seen]
    about = f"those of {total} not in training ({count} left out)"
    return kept, about, {**counts, "left_out": count}


def synthetic_test(arguments):
    """(options of `SyntheticClips`, number of clips): those that the model's run tested on.

    --seed and --count choose others; without a run of synthetic clips they are 1 and 240.
    """
    from h2s_keras.options import DataOptions
    from h2s_keras.training.run_folder import run_data

    options, count = {"seed": 1}, 240
    data = run_data(arguments.model)
    if data.get("kind") == "synthetic":
        left = ("num_frames", "image_size", "test_count", "segments", "targets")
        options = DataOptions.of(data).given()
        options = {key: value for key, value in options.items() if key not in left}
        count = data["test_count"]
    if arguments.seed is not None:
        options["seed"] = arguments.seed
    return options, count if arguments.count is None else arguments.count
