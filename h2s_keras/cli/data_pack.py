"""`h2s data pack`: frames of a dataset into sharded TFRecords."""

import dataclasses
import json
import re
import shlex
import sys

from h2s_keras.cli.quiet import import_keras
from h2s_keras.errors import UserError

SPLITS = (1, 2, 3)
SHARD_BYTES = "256M"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def add_arguments(parser):
    group = parser.add_argument_group("pack")
    group.add_argument("--out", metavar="DIR", help="folder of the records, or s3://...")
    group.add_argument("--shards", type=int, metavar="N", help="number of files")
    group.add_argument(
        "--shard_bytes",
        default=SHARD_BYTES,
        metavar="BYTES",
        help="approximate size of a file, instead of --shards "
        f"(default {SHARD_BYTES}; K, M, G)",
    )
    group.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="short side of the frames (default 256); smaller ones stay, 0 keeps all",
    )
    group.add_argument(
        "--quality", type=int, default=95, metavar="Q", help="JPEG quality (default 95)"
    )
    group.add_argument(
        "--frames_per_record",
        type=int,
        default=32,
        metavar="N",
        help="largest number of frames per record (default 32); 0: one record per video",
    )
    group.add_argument(
        "--flow",
        metavar="METHOD",
        help="also store flow: tvl1, farneback, dis, or a trained model (a preset, a "
        ".keras file or the folder of a run); for synthetic clips also true",
    )
    group.add_argument(
        "--flow_format",
        choices=("uint8", "float16"),
        default="uint8",
        help="uint8: clipped to 20 pixels, 256 steps (default); float16",
    )
    group.add_argument(
        "--on_bad_file",
        choices=("raise", "skip"),
        default="raise",
        help="stop at a bad video (default), or leave it out and list it",
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=60,
        metavar="SECONDS",
        help="longest wait for a frame of a video (default 60); verify: for a whole video",
    )
    group.add_argument(
        "--rate", type=float, metavar="FPS", help="frames per second to keep (default: all)"
    )
    group.add_argument(
        "--stride",
        type=int,
        default=1,
        metavar="N",
        help="keep every N-th frame (default 1)",
    )
    group.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="N",
        help="number of shards to pack at a time (default 2)",
    )
    group.add_argument("--beam", action="store_true", help="pack with Apache Beam")
    group.add_argument(
        "--runner",
        metavar="NAME",
        help="runner of Beam (default DirectRunner, here)",
    )
    group.add_argument(
        "--beam_options",
        default="",
        metavar="TEXT",
        help="other options of Beam, as --beam_options='--region=... --temp_location=...'",
    )
    clips = parser.add_argument_group("synthetic clips")
    clips.add_argument(
        "--count", type=int, default=480, help="number of clips to train on (default 480)"
    )
    clips.add_argument(
        "--test_count",
        type=int,
        default=120,
        help="number of clips to test on (default 120)",
    )
    clips.add_argument("--seed", type=int, default=0, help="seed of the clips (default 0)")
    clips.add_argument(
        "--num_frames", type=int, default=11, help="frames per clip (default 11)"
    )
    clips.add_argument(
        "--image_size",
        type=int,
        nargs=2,
        default=(64, 64),
        metavar=("H", "W"),
        help="height and width of a clip (default 64 64)",
    )


def run(arguments, read_list):
    """Packs what the arguments name; `read_list(arguments)` gives a `DatasetList`."""
    if not arguments.out:
        raise UserError("pack needs --out, the folder that the records go to")
    shard_bytes = parse_bytes(arguments.shard_bytes)
    if arguments.kind == "synthetic":
        lists = None
    else:
        lists = split_lists(arguments, read_list)
    import_keras()
    settings = pack_settings(arguments)
    plan = make_plan(arguments, lists, settings, shard_bytes)
    index = pack(plan, arguments)
    report(index, arguments)
    return 0


def split_lists(arguments, read_list):
    """dict of split to `DatasetList`; every video of them is there."""
    splits = [arguments.split]
    if arguments.split == "all":
        if arguments.kind not in ("ucf101", "hmdb51"):
            raise UserError(f"{arguments.kind} has one split; leave --split out")
        splits = SPLITS
    lists = {}
    for split in splits:
        arguments.split = split
        listed = read_list(arguments)
        if arguments.on_bad_file == "raise":
            listed.require_videos()
        lists[str(split)] = listed
    return lists


def pack_settings(arguments):
    """The checked `PackSettings`."""
    from h2s_keras.data.records.packing import PackSettings

    if arguments.kind == "synthetic" and arguments.size is not None:
        raise UserError("synthetic clips are packed as they are; give --image_size")
    size = 256 if arguments.size is None else arguments.size
    settings = PackSettings(
        size=size or None,
        quality=arguments.quality,
        frames_per_record=arguments.frames_per_record,
        flow=arguments.flow,
        flow_format=arguments.flow_format,
        on_bad_file=arguments.on_bad_file,
        timeout=arguments.timeout,
        rate=arguments.rate,
        stride=arguments.stride,
    )
    settings.check(synthetic=arguments.kind == "synthetic")
    if settings.flow in (None, "true"):
        return settings
    from h2s_keras.evaluation.flow_estimators import check_flow_method, flow_checksum

    check_flow_method(settings.flow)
    return dataclasses.replace(settings, flow_sha256=flow_checksum(settings.flow))


def make_plan(arguments, lists, settings, shard_bytes):
    """The `PackPlan`, its shards as many as asked for or as fit --shard_bytes."""
    from h2s_keras.data.records.packing import estimated_bytes, list_plan, synthetic_plan
    from h2s_keras.data.synthetic.action_clips import CLASS_NAMES

    shards = arguments.shards
    if lists is None:
        clips = {
            "num_frames": arguments.num_frames,
            "image_size": tuple(arguments.image_size),
            "seed": arguments.seed,
        }
        if shards is None:
            # JPEG of quality 95 takes about a byte a pixel of these textures.
            pixels = arguments.num_frames * clips["image_size"][0] * clips["image_size"][1]
            shards = -(-(arguments.count + arguments.test_count) * pixels // shard_bytes)
        counts = (arguments.count, arguments.test_count)
        return synthetic_plan(clips, *counts, CLASS_NAMES, settings, max(1, shards))
    if shards is None:
        examples = {item for part in lists.values() for item in (*part.train, *part.test)}
        examples = sorted(examples, key=lambda item: (item.path, item.start or 0))
        shards = max(1, round(estimated_bytes(examples, settings) / shard_bytes))
    return list_plan(lists, arguments.root, settings, shards)


def pack(plan, arguments):
    """Packs with a bar on stderr, here or with Beam; returns the `RecordIndex`."""
    from h2s_keras.cli.progress import Progress
    from h2s_keras.data.records.pack import pack_records, pack_with_beam
    from h2s_keras.evaluation.flow_estimators import flow_estimator

    if arguments.beam or arguments.runner or arguments.beam_options:
        options = shlex.split(arguments.beam_options)
        return pack_with_beam(
            plan, arguments.out, arguments.runner, options, flow_estimator
        )
    with Progress().count("examples packed", len(plan.examples)) as counter:
        try:
            return pack_records(
                plan, arguments.out, arguments.workers, counter.advance, flow_estimator
            )
        except KeyboardInterrupt:
            print("h2s: run the same command again to go on", file=sys.stderr)
            raise


def report(index, arguments):
    """What was packed, on stdout; bad files, one per line, on stderr."""
    for bad in index.bad_files:
        print(f"h2s: {bad['path']}: {bad['reason']} (left out)", file=sys.stderr)
    shards = [shard["name"] for shard in index.shards if shard["bad_files"]]
    if shards:
        print(
            "h2s: to pack them after all, mend or fetch them, delete "
            f"{' '.join(shards)} in {index.root} and run the same command again",
            file=sys.stderr,
        )
    counts = index.counts()
    if arguments.json:
        values = {"name": index.name, "out": index.root, **counts}
        print(json.dumps({**values, "bad": index.bad_files}))
        return
    print(
        f"{index.root}: {counts['train']} training and {counts['test']} test examples of "
        f"{counts['classes']} classes, {counts['frames']} frames, "
        f"{counts['shards']} shards, {counts['bytes'] / 1e6:.1f} MB, "
        f"{counts['bad_files']} bad files left out"
    )


def parse_bytes(text):
    """Bytes from a text like 1000, 256M or 1G."""
    match = re.fullmatch(r"(\d+)([KMG]?)B?", text.strip().upper())
    if not match or not int(match[1]):
        raise UserError(f"--shard_bytes takes a size such as 256M or 1G; received {text!r}")
    return int(match[1]) * _UNITS[match[2]]
