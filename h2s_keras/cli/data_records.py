"""`h2s data list|verify records`: what packed records hold, and whether they are whole."""

import json
import sys

from h2s_keras.cli.quiet import import_keras
from h2s_keras.errors import UserError


def run(arguments):
    """Lists or verifies the records in --root."""
    if arguments.action == "pack":
        raise UserError("records are packed already; pack the dataset itself")
    if not arguments.root:
        raise UserError("records needs --root, the folder of the records")
    import_keras()
    from h2s_keras.data.records.record_index import read_index

    index = read_index(arguments.root)
    if arguments.action == "verify":
        return verify(index, arguments)
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


def verify(index, arguments):
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
