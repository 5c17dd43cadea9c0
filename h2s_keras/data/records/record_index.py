"""`index.json` of a folder of records, and whether its shards are what it says.

The index is written last, so a folder without it is unfinished and no reader takes it.
Until then each finished shard has a small JSON file of its own beside it.
"""

import dataclasses
import json

from h2s_keras.data.records.file_systems import (
    checksum_of,
    exists,
    file_size,
    join,
    names_in,
    read_bytes,
    require_file_system,
    write_whole,
)
from h2s_keras.data.records.record_format import decode_flow, parse_frames
from h2s_keras.errors import FileError, UserError

INDEX, PLAN = "index.json", "packing.json"
FORMAT, VERSION = "h2s_keras records", 1


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """What a folder of records holds.

    Attributes:
        root: the folder.
        name: name of the dataset, for people.
        class_names: list of str in the order of the labels.
        splits: names of the splits that examples know their part of.
        settings: dict of what the frames were packed with: "size", "quality",
            "frames_per_record", "flow", "flow_format" and others.
        shards: list of dicts "name", "records", "bytes", "sha256", "bad_files" (dicts
            "path" and "reason", left out when packing) and "examples"; those are dicts as
            `encode_record` takes, with "parts" ("train", "test" or None for each split)
            and "offsets" (where in the file each of its records begins).
    """

    root: str
    name: str
    class_names: list
    splits: list
    settings: dict
    shards: list

    @property
    def bad_files(self):
        """Dicts "path" and "reason" of what was left out."""
        return [bad for shard in self.shards for bad in shard["bad_files"]]

    def examples(self, split=None, part=None):
        """The examples in the order of the dataset's lists, each with its "shard".

        Args:
            split: one of `splits`; None for the first of them.
            part: "train" or "test", None for both.

        Raises:
            UserError: the records know no such split.
        """
        known = [str(name) for name in self.splits]
        if split is not None and str(split) not in known:
            raise UserError(
                f"{self.root}: was packed with the split {', '.join(known) or 'none'}, not "
                f"{split}; ask for what is there, or pack with --split {split} or all"
            )
        place = 0 if split is None else known.index(str(split))
        found = []
        for number, shard in enumerate(self.shards):
            for example in shard["examples"]:
                its_part = example["parts"][place]
                if its_part is not None and part in (None, its_part):
                    found.append({**example, "shard": number, "part": its_part})
        return sorted(found, key=lambda example: example["number"])

    def counts(self):
        """Numbers of examples, videos, classes, records, shards and bytes."""
        examples = [example for shard in self.shards for example in shard["examples"]]
        return {
            "classes": len(self.class_names),
            "train": len(self.examples(part="train")),
            "test": len(self.examples(part="test")),
            "videos": len({example["name"] for example in examples}),
            "frames": sum(example["frames"] for example in examples),
            "shards": len(self.shards),
            "records": sum(shard["records"] for shard in self.shards),
            "bytes": sum(shard["bytes"] for shard in self.shards),
            "bad_files": len(self.bad_files),
        }

    def shard_paths(self):
        """Paths of the shards, in order."""
        return [join(self.root, shard["name"]) for shard in self.shards]

    def write(self):
        """Writes `index.json`: from here on the folder counts as finished."""
        values = dataclasses.asdict(self)
        del values["root"]
        write_json(join(self.root, INDEX), {"format": FORMAT, "version": VERSION, **values})


def read_index(root):
    """Reads the index of a folder of records.

    Args:
        root: the folder, on a disk or in an object store.

    Returns:
        `RecordIndex`.

    Raises:
        UserError: no records, unfinished ones, or an index that this version cannot read.

    Example:

    ```python
    index = read_index("packed/ucf101")
    print(index.counts())
    ```
    """
    require_file_system(root)
    path = join(root, INDEX)
    names = names_in(root)
    if INDEX not in names:
        if PLAN in names:
            plan = read_json(join(root, PLAN))
            done = sum(
                file_size(join(root, shard)) is not None and shard + ".json" in names
                for shard in shard_names(plan["shards"])
            )
            raise FileError(
                root,
                f"its packing is unfinished ({done} of {plan['shards']} shards are done); "
                "run the same h2s data pack command again, it goes on from there",
            )
        raise FileError(
            root, f"holds no records (no {INDEX}); make some with h2s data pack"
        )
    values = read_json(path)
    if values.pop("format", None) != FORMAT:
        raise FileError(path, "is not the index of packed records")
    version = values.pop("version", None)
    if version != VERSION:
        raise FileError(
            path, f"has the version {version}, this library reads {VERSION}; pack again"
        )
    fields = {field.name for field in dataclasses.fields(RecordIndex)} - {"root"}
    if set(values) != fields:
        raise FileError(path, "is damaged; run h2s data pack again")
    return RecordIndex(root=str(root), **values)


def finished_shard(out, name):
    """What the JSON file beside a shard says, or None where the shard is to be packed."""
    path = join(out, name)
    if not exists(path + ".json"):
        return None
    shard = read_json(path + ".json")
    return shard if file_size(path) == shard["bytes"] else None


def shard_names(count):
    """File names of all shards."""
    return [f"shard-{number:05d}-of-{count:05d}.tfrecord" for number in range(count)]


def read_json(path):
    """A JSON file as dicts and lists; a FileError where it is damaged."""
    try:
        return json.loads(read_bytes(path))
    except ValueError:
        raise FileError(path, "is damaged (no JSON); run h2s data pack again") from None


def write_json(path, values):
    """Writes a JSON file whole or not at all."""
    write_whole(path, json.dumps(values).encode())


CURE = (
    "delete the file and run the same h2s data pack command again: only what is missing "
    "is packed anew"
)


@dataclasses.dataclass
class VerifiedShard:
    """What was found in a shard.

    Attributes:
        records, frames, flows: numbers of those that were checked.
        problem: one line that names the file, the record and the cure; None where the
            shard is whole.
    """

    records: int = 0
    frames: int = 0
    flows: int = 0
    problem: str | None = None


def verify_shard(index, shard, quick=False):
    """Checks one shard of a `RecordIndex`.

    Args:
        index: `RecordIndex`.
        shard: dict, one of `index.shards`.
        quick: compare size and checksum only, decode nothing.

    Returns:
        `VerifiedShard`.

    Example:

    ```python
    index = read_index("packed/ucf101")
    problems = [verify_shard(index, shard).problem for shard in index.shards]
    ```
    """
    path = join(index.root, shard["name"])
    found = VerifiedShard()
    try:
        _check_bytes(path, shard, quick)
        if quick:
            found.records = shard["records"]
            found.frames = sum(example["frames"] for example in shard["examples"])
        else:
            _check_records(path, index, shard, found)
            _check_checksum(path, shard)
    except FileError as error:
        found.problem = str(error)
    return found


def _check_bytes(path, shard, quick):
    size = file_size(path)
    if size is None:
        raise FileError(path, f"is missing; {CURE.partition(' and ')[2]}")
    if size != shard["bytes"]:
        raise FileError(path, f"has {size} bytes, packed were {shard['bytes']}; {CURE}")
    if quick:
        _check_checksum(path, shard)


def _check_checksum(path, shard):
    if checksum_of(path) != shard["sha256"]:
        raise FileError(path, f"its bytes are not those that were packed; {CURE}")


def _check_records(path, index, shard, found):
    import tensorflow as tf

    places = {
        offset: (example, piece)
        for example in shard["examples"]
        for piece, offset in enumerate(example["offsets"])
    }
    names = [places[offset] for offset in sorted(places)]
    per_record = index.settings["frames_per_record"]
    records = iter(tf.data.TFRecordDataset(path))
    for number, (example, piece) in enumerate(names):
        where = f"record {number} ({example['name']})"
        try:
            record = next(records)
            frames, flows = parse_frames(record[None], with_flow=True)
            expected = min(per_record, example["frames"] - piece * per_record)
            _check_frames(example, frames, expected if per_record else example["frames"])
            for flow in flows:
                decode_flow(
                    flow, example["height"], example["width"], index.settings["flow_format"]
                )
        except (StopIteration, tf.errors.OpError, ValueError) as error:
            text = getattr(error, "message", None) or str(error) or "it ends here"
            reason = text.splitlines()[0].partition(" [Op:")[0].strip()
            raise FileError(path, f"{where} is damaged ({reason}); {CURE}") from None
        found.records += 1
        found.frames += len(frames)
        found.flows += len(flows)
    if next(records, None) is not None:
        raise FileError(path, f"holds more than its {len(names)} records; {CURE}")


def _check_frames(example, frames, expected):
    import tensorflow as tf

    if len(frames) != expected:
        raise ValueError(f"{len(frames)} frames instead of {expected}")
    size = (example["height"], example["width"], 3)
    for frame in frames:
        shape = tuple(tf.io.decode_jpeg(frame).shape)
        if shape != size:
            raise ValueError(f"a frame of {shape} instead of {size}")
