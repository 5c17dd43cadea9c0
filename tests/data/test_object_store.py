"""Records in an object store: a real S3 server on loopback, tensorflow-io, the command."""

import os
import subprocess
import sys

import pytest

COMMAND = "import sys, h2s_keras_command as c; sys.argv[0] = 'h2s'; c.main()"
READ = """
import os, sys
from h2s_keras.data.records.record_data import RecordData
data = RecordData({"root": sys.argv[1], "num_frames": 4, "image_size": (32, 32),
                   "contents": "both"})
inputs, labels = next(iter(data.training(6)))
print(inputs["clip"].shape, inputs["flow"].shape)
print(sum(len(batch["label"]) for batch in data.evaluation(4)), flush=True)
os._exit(0)  # the library behind s3:// aborts when it is unloaded
"""


@pytest.fixture
def store(monkeypatch):
    pytest.importorskip("tensorflow_io", reason="needs tensorflow-io (tox -e io)")
    server = pytest.importorskip("moto.server", reason="needs moto[server] (tox -e io)")
    import boto3
    import tensorflow as tf

    if not tf.__version__.startswith("2.16."):
        pytest.skip("tensorflow-io's file systems load with TensorFlow 2.16 only")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    values = {
        "S3_ENDPOINT": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=values["S3_ENDPOINT"], region_name="us-east-1")
    client.create_bucket(Bucket="clips")
    yield client
    running.stop()


def python(*arguments):
    return subprocess.run(
        [sys.executable, "-c", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env=dict(os.environ),
    )


def test_records_are_packed_verified_and_read_in_a_bucket(store):
    root = "s3://clips/some/records"
    pack = ("data", "pack", "synthetic", "--count", "24", "--test_count", "6")
    pack += ("--num_frames", "5", "--shards", "3", "--flow", "true", "--out", root)
    for _ in range(2):
        done = python(COMMAND, *pack)
        assert done.returncode == 0, done.stderr
        assert "24 training and 6 test examples" in done.stdout
    listed = store.list_objects_v2(Bucket="clips", Prefix="some/records/")["Contents"]
    names = [item["Key"].rpartition("/")[2] for item in listed]
    shards = [f"shard-{number:05d}-of-00003.tfrecord" for number in range(3)]
    assert names == ["index.json", *shards]
    done = python(COMMAND, "data", "verify", "records", "--root", root)
    assert done.returncode == 0 and "3 of 3 shards whole" in done.stdout, done.stderr
    done = python(READ, root)
    assert done.stdout.split("\n")[:2] == ["(6, 4, 32, 32, 3) (6, 3, 32, 32, 2)", "30"]
    # A damaged object is found.
    store.put_object(Bucket="clips", Key=f"some/records/{shards[1]}", Body=b"short")
    done = python(COMMAND, "data", "verify", "records", "--root", root)
    assert done.returncode == 2 and shards[1] in done.stderr and "5 bytes" in done.stderr
    done = python(COMMAND, "data", "list", "records", "--root", "s3://clips/none")
    assert done.returncode == 2 and "holds no records" in done.stderr
