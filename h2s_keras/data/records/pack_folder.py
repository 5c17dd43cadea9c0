"""The folder that is packed into: begun, gone on with, finished."""

import dataclasses
import os

from h2s_keras.data.records.file_systems import (
    exists,
    file_size,
    join,
    make_folder,
    names_in,
    remove,
    require_file_system,
)
from h2s_keras.data.records.packing import PackPlan, PackSettings
from h2s_keras.data.records.record_index import (
    INDEX,
    PLAN,
    RecordIndex,
    read_index,
    read_json,
    shard_names,
    write_json,
)
from h2s_keras.errors import FileError
from h2s_keras.files import PART

# What to do about bad files may change meanwhile: the bytes of good ones stay the same.
_FREE = ("on_bad_file", "timeout")


def begin(plan, out):
    """Makes the folder ready for the shards of a plan, or finds what an earlier run left.

    Returns:
        the plan to go by, whose number of shards is that of the earlier run.

    Raises:
        UserError: the folder holds something else.
    """
    require_file_system(out)
    names = names_in(out)
    index = None
    if INDEX in names:
        index = read_index(out)
        old = _finished_plan(index, plan)
    elif PLAN in names:
        old = PackPlan(**read_json(join(out, PLAN)))
    elif any(not name.endswith(PART) for name in names):
        raise FileError(out, "is not empty and holds no records; choose a new folder")
    else:
        make_folder(out)
        write_json(join(out, PLAN), dataclasses.asdict(plan))
        return plan
    old = _with_free(old, plan)
    same = dataclasses.replace(plan, shards=old.shards)
    for field in dataclasses.fields(PackPlan):
        was, wanted = getattr(old, field.name), getattr(same, field.name)
        if _plain(was) != _plain(wanted):
            raise FileError(
                out,
                f"was begun with other {field.name}{_difference(was, wanted)}; give "
                "the same arguments to go on, or a new folder",
            )
    for name in names:
        if name.endswith(PART):
            remove(join(out, name))
    if index is None:
        # Workers on other machines go by the file.
        write_json(join(out, PLAN), dataclasses.asdict(old))
    else:
        _reopen(index, old, out)
    return old


def _finished_plan(index, plan):
    """The plan of a finished folder, as far as its index tells."""
    planned = {example["number"]: example for example in plan.examples}
    examples = []
    for example in (example for shard in index.shards for example in shard["examples"]):
        known = planned.pop(example["number"], example)
        # The label of a synthetic clip is known only when the clip is made.
        keys = {*known} - ({"label"} if "clip" in known else set())
        examples.append(known | {key: example[key] for key in keys & {*example}})
    # Of bad videos the index names the file alone.
    bad = {item["path"] for item in index.bad_files}
    left = {example["path"] for example in planned.values() if "path" in example}
    same = sorted(map(os.path.basename, bad)) == sorted(map(os.path.basename, left))
    examples += planned.values() if same else ({"name": path} for path in bad)
    return dataclasses.replace(
        plan,
        name=index.name,
        class_names=index.class_names,
        splits=index.splits,
        examples=sorted(examples, key=lambda example: example.get("number", len(examples))),
        settings=index.settings,
        shards=len(index.shards),
    )


def _reopen(index, old, out):
    """Makes a finished folder unfinished where shards were lost, to make those again."""
    paths = index.shard_paths()
    sizes = [file_size(path) for path in paths]
    if sizes == [shard["bytes"] for shard in index.shards]:
        return
    for shard, path, size in zip(index.shards, paths, sizes, strict=True):
        if size == shard["bytes"]:
            write_json(path + ".json", shard)
    write_json(join(out, PLAN), dataclasses.asdict(old))
    remove(join(out, INDEX))


def _with_free(old, plan):
    """The old plan with those settings of the new one that may change meanwhile.

    A setting that a folder does not know is younger than the folder, which was packed as
    the default is.
    """
    free = {name: plan.settings[name] for name in _FREE}
    defaults = PackSettings().as_dict()
    # Of an older folder nothing tells whether the model of its flow was changed since.
    if "flow_sha256" in plan.settings:
        defaults["flow_sha256"] = plan.settings["flow_sha256"]
    return dataclasses.replace(old, settings={**defaults, **old.settings, **free})


def finished_shard(out, name):
    """What the JSON file beside a shard says, or None where the shard is to be packed."""
    path = join(out, name)
    if not exists(path + ".json"):
        return None
    shard = read_json(path + ".json")
    return shard if file_size(path) == shard["bytes"] else None


def finish(plan, out):
    """Gathers all shards into the index, once every one is done.

    Returns:
        `RecordIndex`.

    Raises:
        UserError: a shard is missing, or not one example could be packed.
    """
    names = shard_names(plan.shards)
    shards = [finished_shard(out, name) for name in names]
    for name, shard in zip(names, shards, strict=True):
        if shard is None:
            raise FileError(
                join(out, name), "was not packed; run the same h2s data pack command again"
            )
    index = RecordIndex(
        str(out), plan.name, plan.class_names, plan.splits, plan.settings, shards
    )
    if not any(shard["examples"] for shard in shards):
        bad = index.bad_files[0]
        raise FileError(bad["path"], f"is bad, as are all others: {bad['reason']}")
    index.write()
    for name in (*(name + ".json" for name in names), PLAN):
        remove(join(out, name))
    return index


def _plain(value):
    """As JSON would give it back, so that a tuple equals the list that was stored."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _difference(was, wanted):
    if isinstance(was, dict):
        keys = [key for key in wanted if _plain(was.get(key)) != _plain(wanted[key])]
        key = keys[0] if keys else next(iter(was))
        return f" ({key} {was.get(key)!r}, now {wanted.get(key)!r})"
    if not isinstance(was, list):
        return ""
    if len(was) != len(wanted):
        return f" ({len(was)}, now {len(wanted)})"
    pairs = zip(was, wanted, strict=True)
    one, other = next(pair for pair in pairs if _plain(pair[0]) != _plain(pair[1]))
    if isinstance(one, dict):
        return f" ({one['name']}: {_difference(one, other)[2:]}"
    return f" ({one!r}, now {other!r})"
