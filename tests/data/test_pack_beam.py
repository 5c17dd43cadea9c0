"""Packing with Apache Beam: the same files as without it."""

import pytest
from data.record_videos import folder_list, plan_of

from h2s_keras.data.records.pack import pack_records, pack_with_beam
from h2s_keras.data.records.record_index import read_index


def test_beam_writes_the_same_bytes(make_video, tmp_path):
    pytest.importorskip("apache_beam", reason="needs apache-beam (tox -e beam)")
    listed = folder_list(make_video, tmp_path, per_class=2, count=20)
    plan = plan_of(listed, tmp_path)
    with_beam = pack_with_beam(plan, str(tmp_path / "beam"))
    alone = pack_records(plan, str(tmp_path / "alone"))
    assert with_beam.shards == alone.shards and len(alone.shards) == 2
    assert read_index(str(tmp_path / "beam")).shards == alone.shards
