"""`h2s data`: lists a dataset, checks its videos or records, packs it into records."""

import csv
import json
import os
import sys

from h2s_keras.cli import data_pack
from h2s_keras.cli.quiet import import_keras
from h2s_keras.errors import UserError, VideoError
from h2s_keras.files import new_file

HELP = "list a dataset, check its videos or records, or pack it into records"
EXAMPLE = "h2s data list ucf101 --annotations ucfTrainTestlist --split 1"

KINDS = ("ucf101", "hmdb51", "thumos14", "activitynet", "folders", "csv", "list")
NOT_VIDEOS = ("records", "synthetic")


def add_list_arguments(parser):
    """What the kind "list" has beside --annotations."""
    parser.add_argument(
        "--test_list", metavar="FILE", help="with list, the text list for testing"
    )
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help="with list, class names in order of labels",
    )


def add_arguments(parser):
    parser.add_argument(
        "action",
        choices=("list", "verify", "pack"),
        help="print counts, check every video or record, or write records",
    )
    parser.add_argument(
        "kind",
        choices=(*KINDS, *NOT_VIDEOS),
        metavar="KIND",
        help="one of "
        + ", ".join((*KINDS, *NOT_VIDEOS))
        + " (folders: a folder of class folders; list: text with lines 'path label' or "
        "'path frames label'; records: what pack wrote)",
    )
    parser.add_argument(
        "--annotations",
        metavar="PATH",
        help="the official lists, the CSV file, or the text list for training",
    )
    add_list_arguments(parser)
    parser.add_argument("--root", metavar="DIR", help="folder of the videos or records")
    parser.add_argument(
        "--split", type=_split, default=1, help="1, 2 or 3 (default 1); pack also: all"
    )
    parser.add_argument(
        "--write",
        metavar="FILE.csv",
        help="list: also write a part as a CSV file (path,class,label,group, of segments "
        "also start,end), for h2s evaluate",
    )
    parser.add_argument(
        "--part",
        choices=("train", "test"),
        default="test",
        help="part that --write writes (default test)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="verify: only check that files exist, without decoding them",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    data_pack.add_arguments(parser)


def run(arguments):
    if arguments.kind == "records":
        return run_records(arguments)
    if arguments.action == "pack":
        return data_pack.run(arguments, read_list)
    if arguments.kind == "synthetic":
        raise UserError("synthetic clips have no files; h2s data pack synthetic makes some")
    if arguments.split == "all":
        raise UserError("--split all is for pack; give 1, 2 or 3")
    listed = read_list(arguments)
    if arguments.action == "list":
        if arguments.write:
            write_csv(arguments.write, listed, arguments.part)
        counts = listed.counts()
        if arguments.json:
            print(json.dumps({"name": listed.name, **counts}))
            return 0
        print(listed.name)
        for name, count in counts.items():
            print(f"  {name.replace('_', ' '):14} {count}")
        return 0
    if arguments.root is None and arguments.kind not in ("csv", "list"):
        raise UserError("verify needs --root, the folder of the videos")
    return verify(listed, arguments.quick, arguments.json, arguments.timeout)


def read_list(arguments):
    """The `DatasetList` that the arguments name."""
    from h2s_keras.data import DatasetList, csv_source, list_source
    from h2s_keras.data.datasets.sources import class_folder_list
    from h2s_keras.data.video_data import official_list

    if arguments.kind == "folders":
        if not arguments.root:
            raise UserError("folders needs --root, the folder of the class folders")
        return class_folder_list(arguments.root)
    if arguments.kind == "csv":
        if not arguments.annotations:
            raise UserError("csv needs --annotations, the CSV file")
        examples, names = csv_source(arguments.annotations, arguments.root, require=False)
        return DatasetList(arguments.annotations, names, examples, ())
    if arguments.kind == "list":
        if not arguments.annotations:
            raise UserError("list needs --annotations, the text file for training")
        return list_source(
            arguments.annotations, arguments.test_list, arguments.root, arguments.classes
        )
    return official_list(
        arguments.kind, arguments.annotations, arguments.root, arguments.split
    )


def write_csv(path, listed, part):
    """Writes the training or test part of a `DatasetList`, for `csv_source`."""
    examples = getattr(listed, part)
    if not examples:
        raise UserError(f"{listed.name} has no {part} part to write")
    if any(example.frames is not None for example in examples):
        raise UserError(
            f"{listed.name} says how many frames of a video to use, and a CSV file cannot; "
            "h2s evaluate takes the lists themselves (--data list)"
        )
    new_file(path)
    columns = ["path", "class", "label", "group"]
    if any(example.start is not None for example in examples):
        columns += ["start", "end"]
    try:
        options = {"encoding": "utf-8", "errors": "surrogateescape"}
        with open(path, "x", newline="", **options) as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for example in examples:
                name = listed.class_names[example.label]
                place = os.path.abspath(example.path)
                row = [place, name, example.label, example.group or "none"]
                row += [example.start, example.end]
                writer.writerow(row[: len(columns)])
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def verify(listed, quick=False, as_json=False, timeout=60):
    """Checks every listed video; 0 if all are good, 2 if not.

    Missing and broken videos are reported one per line on stderr, the counts on stdout. A
    video may take `timeout` seconds.
    """
    from h2s_keras.cli.progress import Progress
    from h2s_keras.data import count_frames
    from h2s_keras.data.clips.sampling import check_moves
    from h2s_keras.data.datasets.dataset_list import why_missing

    missing = listed.missing()
    absent = set(missing)
    paths = dict.fromkeys(example.path for example in (*listed.train, *listed.test))
    present = [path for path in paths if path not in absent]
    for path in missing[:1]:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        print(f"h2s: {path}: {why_missing(path)}{more}; fetch it again", file=sys.stderr)
    broken, frames = [], 0
    if not quick:
        for path in Progress().track(present, "videos decoded"):
            try:
                found = count_frames(path, timeout=timeout)
                check_moves(path, found)
                frames += found
            except VideoError as error:
                broken.append(path)
                print(f"h2s: {error}", file=sys.stderr)
    counts = {
        "videos": len(paths),
        "missing": len(missing),
        "broken": len(broken),
        "left_out": len(listed.left_out),
        "frames": frames,
    }
    if as_json:
        print(json.dumps({"name": listed.name, **counts, "bad": [*missing, *broken]}))
    else:
        checked = "found" if quick else f"decoded ({frames} frames)"
        good = len(paths) - len(missing) - len(broken)
        print(
            f"{listed.name}: {good} of {len(paths)} videos {checked}, {len(missing)} "
            f"missing, {len(broken)} broken"
            + (f", {len(listed.left_out)} files left out" if listed.left_out else "")
        )
    return 2 if missing or broken else 0


def _split(text):
    return text if text == "all" else int(text)


def run_records(arguments):
    """Lists or verifies the records in --root."""
    if arguments.action == "pack":
        raise UserError("records are packed already; pack the dataset itself")
    if not arguments.root:
        raise UserError("records needs --root, the folder of the records")
    import_keras()
    from h2s_keras.data.records.record_index import read_index

    index = read_index(arguments.root)
    if arguments.action == "verify":
        return verify_records(index, arguments)
    counts = index.counts()
    if arguments.json:
        values = {"name": index.name, "splits": index.splits, **counts}
        print(json.dumps({**values, "settings": index.settings}))
        return 0
    print(index.name)
    for name, count in counts.items():
        print(f"  {name.replace('_', ' '):14} {count}")
    settings = index.settings
    flow = f"{settings['flow']} ({settings['flow_format']})" if settings["flow"] else "none"
    print(f"  {'splits':14} {', '.join(index.splits)}")
    print(f"  {'short side':14} {settings['size'] or 'as the video'}")
    print(f"  {'flow':14} {flow}")
    return 0


def verify_records(index, arguments):
    """Checks every shard; 0 if all are whole, 2 if not."""
    from h2s_keras.cli.progress import Progress
    from h2s_keras.data.records.record_index import verify_shard

    damaged, counts = [], {"records": 0, "frames": 0, "flows": 0}
    for shard in Progress().track(index.shards, "shards verified"):
        found = verify_shard(index, shard, arguments.quick)
        for name in counts:
            counts[name] += getattr(found, name)
        if found.problem:
            damaged.append(found.problem)
            print(f"h2s: {found.problem}", file=sys.stderr)
    shards = len(index.shards)
    if arguments.json:
        print(json.dumps({"name": index.name, "shards": shards, **counts, "bad": damaged}))
    else:
        checked = "sizes and checksums" if arguments.quick else "every frame decoded"
        more = f" and {counts['flows']} flow fields" if counts["flows"] else ""
        print(
            f"{index.root}: {shards - len(damaged)} of {shards} shards whole ({checked}), "
            f"{counts['records']} records, {counts['frames']} frames{more}"
        )
    return 2 if damaged else 0
