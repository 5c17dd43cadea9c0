"""The labelled videos that `h2s evaluate` measures on."""

import argparse
import dataclasses
import os
import sys

from h2s_keras.cli.data import add_list_arguments
from h2s_keras.errors import UserError

DATASETS = ("ucf101", "hmdb51", "thumos14", "activitynet", "list")
SCORES = (".npz", ".npy", ".mat")
_OF_DATASETS = ("annotations", "test_list", "classes", "root", "split")
_OF_GROUPS = ("test_group", "group_pattern", "group_column")
_OF_VIDEOS = ("protocol", "sampling", "step", "pool_top_k", "rate", *_OF_GROUPS)
_OF_SYNTHETIC = ("count", "seed")


def add_data_arguments(parser):
    parser.add_argument(
        "--data",
        metavar="D",
        help="a folder of class folders, a .csv list, 'synthetic', scores (.npz, .npy, "
        ".mat), or the test part of a dataset with --annotations and --root as for h2s "
        "data: " + ", ".join(DATASETS),
    )
    parser.add_argument(
        "--annotations",
        metavar="PATH",
        help="of a dataset: the official lists; of kind list: the list for training",
    )
    add_list_arguments(parser)
    parser.add_argument("--root", metavar="DIR", help="of a dataset: folder of its videos")
    parser.add_argument(
        "--split", type=int, metavar="N", help="of ucf101 and hmdb51: 1 (default), 2 or 3"
    )
    parser.add_argument(
        "--untrimmed",
        choices=("videos", "segments"),
        help="for lists of segments, score whole videos (default of thumos14 and "
        "activitynet, as published) or each segment (default of a .csv list)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="FPS",
        help="read videos at so many frames a second, as data.rate in training",
    )
    parser.add_argument(
        "--group_pattern", metavar="RE", help="group of a video, found in its file name"
    )
    parser.add_argument("--group_column", metavar="NAME", help="column of the .csv list")
    parser.add_argument(
        "--test_group", metavar="G", help="only the videos of this group, as in training"
    )


def is_dataset(arguments):
    """Whether --data names a dataset, and not a folder that has the name of one."""
    if arguments.data not in DATASETS:
        return False
    told = any(getattr(arguments, name) is not None for name in _OF_DATASETS)
    return told or not os.path.isdir(arguments.data)


def is_scores(arguments):
    """Whether --data is a file of scores."""
    return bool(arguments.data) and arguments.data.lower().endswith(SCORES)


def check_data_arguments(arguments):
    """Refuses arguments that say nothing of the data at hand."""
    other = "--flow_data" if arguments.flow_data else None
    if arguments.data == "synthetic":
        other = "synthetic clips"
    elif is_scores(arguments):
        other = "a scores file"
    for name in _OF_VIDEOS:
        if other and getattr(arguments, name) is not None:
            raise UserError(f"--{name} goes with videos as --data, not with {other}")
    if other and arguments.include_training:
        raise UserError(f"--include_training goes with videos as --data, not with {other}")
    for name in _OF_SYNTHETIC:
        if arguments.data != "synthetic" and getattr(arguments, name) is not None:
            raise UserError(f"--{name} goes with --data synthetic")
    if arguments.rate is not None and not arguments.rate > 0:
        raise UserError(f"--rate is above 0 frames a second; received {arguments.rate:g}")
    if arguments.data and is_dataset(arguments):
        for name in _OF_GROUPS:
            if getattr(arguments, name) is not None:
                raise UserError(
                    f"--{name} goes with a folder or a .csv list, a dataset has its own "
                    "test part"
                )
        if arguments.untrimmed and arguments.data not in ("thumos14", "activitynet"):
            raise UserError(
                f"--untrimmed goes with thumos14 and activitynet; the videos of "
                f"{arguments.data} are trimmed"
            )
        return
    listed = bool(arguments.data) and arguments.data.lower().endswith(".csv")
    if listed and arguments.group_pattern is not None:
        raise UserError(
            "--group_pattern goes with a folder; a .csv list has --group_column"
        )
    if not listed and arguments.group_column is not None:
        raise UserError(
            "--group_column goes with a .csv list; a folder has --group_pattern"
        )
    for name in (*_OF_DATASETS, *(() if listed else ("untrimmed",))):
        if getattr(arguments, name) is not None:
            raise UserError(
                f"--{name} goes with a dataset as --data: " + ", ".join(DATASETS)
            )


def read_examples(arguments):
    """(examples, class names) that --data names, labels counted as the names."""
    from h2s_keras.data.datasets.csv_source import csv_source
    from h2s_keras.data.datasets.sources import class_folder_source, leave_one_group_out

    if is_dataset(arguments):
        return _test_part(arguments)
    if arguments.data.lower().endswith(".csv"):
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
    from h2s_keras.cli.data import read_list

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
            f"{arguments.model}, so they do not tell how well it does; give others, train "
            "without a group (--set data.test_group=...), or --include_training"
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
