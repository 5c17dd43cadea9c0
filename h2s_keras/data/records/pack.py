"""Packs labelled videos, or synthetic clips, into sharded TFRecords on this machine."""

import concurrent.futures
import threading

from h2s_keras.data.records.classical_flow import classical_flow
from h2s_keras.data.records.file_systems import exists, join, make_folder
from h2s_keras.data.records.pack_folder import begin, finish
from h2s_keras.data.records.record_index import INDEX, read_index
from h2s_keras.data.records.record_writer import pack_shard
from h2s_keras.errors import UserError
from h2s_keras.files import alone_in


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
