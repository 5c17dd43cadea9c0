"""tf.data service: every batch once, and dispatchers that are not there or go away."""

import itertools
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from data.record_videos import folder_list, plan_of, record_clips

from h2s_keras.data.records import data_service
from h2s_keras.data.records.pack import pack_records
from h2s_keras.data.records.record_data import RecordData
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import UserError

SERVER = pathlib.Path(__file__).with_name("service_process.py")
SIZE = {"num_frames": 5, "image_size": (48, 48)}


@pytest.fixture
def packed(make_video, tmp_path):
    listed = folder_list(make_video, tmp_path)
    return pack_records(plan_of(listed, tmp_path), str(tmp_path / "out"))


@pytest.fixture
def start():
    """`start(...)` of service_process.py: the process, and the dispatcher's address."""
    processes = []

    def run(*arguments):
        process = subprocess.Popen(
            [sys.executable, SERVER, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        processes.append(process)
        return process, process.stdout.readline().strip()

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def batches(dataset, count=None):
    taken = itertools.islice(dataset, count)
    return [tf.nest.map_structure(lambda value: value.numpy(), batch) for batch in taken]


def test_a_service_gives_every_batch_once(packed):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=0))
    address = dispatcher.target.partition("://")[2]
    workers = [
        service.WorkerServer(
            service.WorkerConfig(dispatcher_address=address, heartbeat_interval_ms=100)
        )
        for _ in range(2)
    ]
    examples = [{**e, "label": n} for n, e in enumerate(packed.examples())]
    clips = record_clips(packed, examples, **SIZE, color_jitter={"hue": 0.1})
    found = batches(clips.training(2, steps=6, service=dispatcher.target))
    assert np.bincount(np.concatenate([labels for _, labels in found])).tolist() == [2] * 6
    local = batches(clips.training(2, steps=6))

    def key(batch):
        return batch[1].tobytes() + batch[0].tobytes()

    assert sorted(map(key, found)) == sorted(map(key, local))
    halves = [
        batches(
            clips.training(2, process=h, processes=2, steps=3, service=dispatcher.target)
        )
        for h in (0, 1)
    ]
    labels = np.concatenate([labels for half in halves for _, labels in half])
    assert sorted(labels.tolist()) == list(range(6))
    del workers


def test_a_service_that_cannot_be_is_reported_at_once(packed):
    data = RecordData({"root": packed.root, **SIZE, "service": "grpc://127.0.0.1:1"})
    with pytest.raises(UserError, match="no dispatcher of tf.data service answers"):
        data.training(2)
    data.settings["service"] = "127.0.0.1:1"
    with pytest.raises(UserError, match="grpc://host:port"):
        data.training(2)
    with pytest.raises(UserError, match="h2s data pack"):
        make_data({"kind": "videos", "root": "x", "service": "grpc://127.0.0.1:1"})


@pytest.mark.long
def test_a_dispatcher_that_dies_is_reported_within_the_time(packed, start, monkeypatch):
    monkeypatch.setattr(data_service, "PATIENCE", 2)
    process, address = start("both")
    data = RecordData({"root": packed.root, **SIZE, "service": address})
    clips = iter(data.training(2))
    assert next(clips)[0].shape == (2, 5, 48, 48, 3)
    process.kill()
    process.wait()
    killed = time.monotonic()
    with pytest.raises(Exception) as raised:
        # A few batches were on their way.
        for _ in range(1000):
            next(clips)
    assert 2 < time.monotonic() - killed < 15
    told = data.explain(raised.value)
    assert isinstance(told, UserError) and "\n" not in str(told)
    assert str(told) == (
        f"{address}: the dispatcher of the data service has not answered for 2 s; start it "
        "again on the same port and go on with --resume"
    )


def test_a_slow_service_is_waited_for_while_its_dispatcher_answers(monkeypatch):
    """The feed alone: batches that take their time, and a port that answers or does not."""

    def slow():
        yield 1
        time.sleep(1)
        yield 2
        gone.wait(10)
        time.sleep(1)
        yield 3

    gone = threading.Event()
    dataset = tf.data.Dataset.from_generator(
        slow, output_signature=tf.TensorSpec((), "int32")
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"grpc://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setattr(data_service, "PATIENCE", 0.2)
        feed = data_service._Feed(dataset, address)
        feed._PROBE = 0.1
        with feed:
            elements = iter(feed)
            assert [int(next(elements)) for _ in range(2)] == [1, 2]
            listening.close()
            gone.set()
            with pytest.raises(UserError, match="has not answered for 0.2 s"):
                next(elements)


def test_a_dispatcher_that_forgot_the_run_is_reported(packed):
    data = RecordData({"root": packed.root, **SIZE, "service": "grpc://10.0.0.5:5050"})
    said = (
        "{{function_node __wrapped__IteratorGetNext}} Failed to get element from worker "
        "localhost:35173: Failed to get split: Iteration id 2000 not found "
        "[Op:IteratorGetNext] name: "
    )
    told = data.explain(tf.errors.NotFoundError(None, None, said))
    assert str(told).startswith("grpc://10.0.0.5:5050: the data service was lost (Failed")
    assert "--resume" in str(told)
    # The control: a shard that a worker cannot find is no lost service.
    said = re.sub("Iteration id 2000 not found", "shard.tfrecord; No such file", said)
    told = data.explain(tf.errors.NotFoundError(None, None, said))
    assert "its records cannot be read" in str(told)


def test_damage_that_a_worker_meets_is_reported_of_the_records(packed, start):
    _, address = start("both")
    for path in packed.shard_paths():
        with open(path, "r+b") as file:
            file.seek(200)
            file.write(b"damage" * 100)
    data = RecordData({"root": packed.root, **SIZE, "service": address})
    with pytest.raises(Exception) as raised:
        batches(data.training(2), 20)
    assert "its records cannot be read" in str(data.explain(raised.value))


@pytest.mark.slow
def test_a_dispatcher_that_is_started_again_in_time_is_survived(packed, start, tmp_path):
    folder = str(tmp_path / "journal")
    process, address = start("dispatcher", 0, folder)
    start("worker", address)
    examples = [{**e, "label": n} for n, e in enumerate(packed.examples())]
    clips = record_clips(packed, examples, **SIZE, color_jitter={"hue": 0.1})
    found = iter(clips.training(2, steps=60, service=address))
    seen = [next(found)]
    process.kill()
    process.wait()
    _, again = start("dispatcher", address.rpartition(":")[2], folder)
    assert again == address
    seen += found
    labels = np.concatenate([labels.numpy() for _, labels in seen])
    assert np.bincount(labels).tolist() == [20] * 6
