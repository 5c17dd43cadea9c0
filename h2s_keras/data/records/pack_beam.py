"""Packing with Apache Beam: each shard is one element, the plan in the folder is all state.

The shards are byte for byte those of `pack_records`, whichever runner makes them; it needs
a folder that every worker can reach, and the videos under the same names everywhere.
"""

from h2s_keras.data.records.classical_flow import classical_flow
from h2s_keras.data.records.file_systems import exists, join, make_folder
from h2s_keras.data.records.pack_folder import begin, finish
from h2s_keras.data.records.record_index import INDEX, PLAN, read_index, read_json
from h2s_keras.errors import UserError
from h2s_keras.files import alone_in


def pack_with_beam(plan, out, runner=None, options=(), flow_estimator=classical_flow):
    """Packs a plan into the folder `out`; goes on where an earlier run stopped.

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
    from h2s_keras.data.records.packing import PackPlan
    from h2s_keras.data.records.record_writer import pack_shard

    plan = PackPlan(**read_json(join(out, PLAN)))
    pack_shard(plan, number, out, flow_estimator=flow_estimator)
