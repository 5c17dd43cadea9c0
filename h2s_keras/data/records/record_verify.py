"""Checks packed shards: size, checksum, every record, every frame."""

import dataclasses

from h2s_keras.data.records.file_systems import checksum_of, file_size, join
from h2s_keras.data.records.record_format import decode_flow, parse_frames
from h2s_keras.errors import FileError

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
