"""Packs a plan into sharded TFRecords, on this machine or with Apache Beam.

The shards are the same byte for byte, whichever runner makes them.
"""

import concurrent.futures
import dataclasses
import os
import threading

from h2s_keras.data.records.classical_flow import classical_flow
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
    finished_shard,
    read_index,
    read_json,
    shard_names,
    write_json,
)
from h2s_keras.data.records.record_writer import pack_shard
from h2s_keras.errors import FileError, UserError
from h2s_keras.files import PART, alone_in


def pack_records(plan, out, workers=2, done=None, flow_estimator=classical_flow):
    """Packs a plan into the folder `out`, or goes on where an earlier run stopped.

    Args:
        plan: `PackPlan`, as from `list_plan`.
        out: folder, new or left by an earlier run; also `s3://...`, `gs://...`.
        workers: shards packed at a time, each by a thread.
        done: function called with the number of examples after each video.
        flow_estimator: function from the `flow` of the settings to a generator function
            as `classical_flow` returns, called once a shard; for flow by a trained model
            `h2s_keras.evaluation.flow_estimators.flow_estimator`.

    Returns:
        `RecordIndex`.

    Raises:
        UserError: a video is bad under the policy "raise", or `out` holds something else.
            Finished shards stay, the same call goes on from there.

    Example:

    ```python
    listed = ucf101_list("ucfTrainTestlist", root="UCF-101", split=1)
    plan = list_plan({"1": listed}, "UCF-101", PackSettings(), shards=64)
    index = pack_records(plan, "packed/ucf101")
    ```
    """
    if workers < 1:
        raise UserError(f"the number of workers must be 1 or more; received {workers}")
    make_folder(out)
    with alone_in(out):
        plan = begin(plan, out)
        if exists(join(out, INDEX)):
            return read_index(out)
        _pack_shards(plan, out, workers, done, flow_estimator)
        return finish(plan, out)


def _pack_shards(plan, out, workers, done, flow_estimator):
    stop = threading.Event()
    pool = concurrent.futures.ThreadPoolExecutor(workers, "packer")
    try:
        shards = [
            pool.submit(pack_shard, plan, number, out, stop.is_set, done, flow_estimator)
            for number in range(plan.shards)
        ]
        finished, _ = concurrent.futures.wait(
            shards, return_when=concurrent.futures.FIRST_EXCEPTION
        )
        for shard in finished:
            shard.result()
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def pack_with_beam(plan, out, runner=None, options=(), flow_estimator=classical_flow):
    """Packs a plan into the folder `out`, each shard as one element of a Beam pipeline.

    It goes on where an earlier run stopped: all state is the plan in the folder. The
    videos must have the same names on every worker.

    Args:
        plan: `PackPlan`.
        out: folder that all workers reach, such as `gs://bucket/records`.
        runner: Beam's name of a runner; by default the direct one, in this process.
        options: list of Beam's own flags, such as `["--region=europe-west1"]`.
        flow_estimator: as for `pack_records`; a function of a module, found there by the
            workers.

    Returns:
        `RecordIndex`.

    Raises:
        UserError: Beam is not installed, or as `pack_records`.

    Example:

    ```python
    index = pack_with_beam(plan, "gs://bucket/ucf101", "DataflowRunner", flags)
    ```
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise UserError(
            "packing with Beam needs apache-beam: pip install 'h2s_keras[beam]', or leave "
            "--beam out"
        ) from None

    options = PipelineOptions([f"--runner={runner or 'DirectRunner'}", *options])
    make_folder(out)
    with alone_in(out):
        plan = begin(plan, out)
        if exists(join(out, INDEX)):
            return read_index(out)
        with beam.Pipeline(options=options) as pipeline:
            _ = (
                pipeline
                | "shard numbers" >> beam.Create(range(plan.shards))
                | "spread" >> beam.Reshuffle()
                | "pack" >> beam.Map(_pack_one, str(out), flow_estimator)
            )
        return finish(plan, out)


def _pack_one(number, out, flow_estimator):
    plan = PackPlan(**read_json(join(out, PLAN)))
    pack_shard(plan, number, out, flow_estimator=flow_estimator)


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
    """The plan of a finished folder, as far as its index says."""
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
    # Of an older folder nothing says whether the model of its flow was changed since.
    if "flow_sha256" in plan.settings:
        defaults["flow_sha256"] = plan.settings["flow_sha256"]
    return dataclasses.replace(old, settings={**defaults, **old.settings, **free})


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
