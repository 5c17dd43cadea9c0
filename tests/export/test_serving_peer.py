"""Proof D: a peer over gRPC and REST, with joined batches and many clients at once."""

import base64
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest

grpc = pytest.importorskip("grpc", reason="needs grpcio, of the extra `serving`")
pytest.importorskip(
    "tensorflow_serving", reason="needs tensorflow-serving-api, of the extra `serving`"
)

POOL = 12


@pytest.fixture(scope="module")
def peer(exported):
    process = subprocess.Popen(
        [sys.executable, str(pathlib.Path(__file__).parent / "peer.py"), str(exported)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    line = process.stdout.readline()
    assert line, "the peer did not start"
    told = {"busy": False, **json.loads(line)}
    yield told
    ran, _ = process.communicate(timeout=30)
    assert process.returncode == 0, "the peer died"
    # Requests of 1 and 2 clips were joined; every batch had a size that was warmed up.
    sizes = {int(size): count for size, count in json.loads(ran)["ran"].items()}
    assert set(sizes) <= {1, 2, 5}, sizes
    # The tests of this file may be shared out to several workers, each with a peer.
    assert sizes.get(5, 0) > 10 or not told["busy"], sizes


def client(peer):
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    options = [("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(f"127.0.0.1:{peer['grpc']}", options)
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict(service, signature, model="h2s", **inputs):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    response = service.Predict(request, timeout=60)
    arrays = {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
    if "classes" in arrays:
        arrays["classes"] = np.array([[n.decode() for n in r] for r in arrays["classes"]])
    return arrays


def rest(peer, body, path="/v1/models/h2s:predict"):
    request = urllib.request.Request(
        f"http://127.0.0.1:{peer['rest']}{path}", json.dumps(body).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def pool(clips_of, answers):
    clips = clips_of(POOL, seed=9)
    return clips, answers(clips)


def wrong(actual, expected, rows):
    """Whether an answer differs from the rows of Keras' answer that belong to it."""
    for name, value in actual.items():
        if name == "classes":
            if value.tolist() != expected[name][rows].tolist():
                return True
        elif not np.allclose(value, expected[name][rows], rtol=1e-5, atol=1e-5):
            return True
    return not actual


def test_the_warm_up_file_was_replayed(peer):
    assert peer["warmed"] == 3 * 3, "3 signatures, 3 batch sizes"


def test_four_clients_two_hundred_requests_no_wrong_answer(peer, pool):
    clips, expected = pool
    peer["busy"] = True

    def talk(number):
        service, generator, mistakes = client(peer), np.random.default_rng(number), 0
        for turn in range(50):
            rows = generator.choice(POOL, size=1 + turn % 2, replace=False)
            signature = "motion" if turn % 10 == 9 else "serving_default"
            mistakes += wrong(
                predict(service, signature, clips=clips[rows]), expected, rows
            )
        return mistakes

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert list(threads.map(talk, range(4))) == [0, 0, 0, 0]


def test_the_same_by_rest(peer, pool):
    clips, expected = pool

    def talk(number):
        generator, mistakes = np.random.default_rng(number), 0
        for turn in range(10):
            rows = generator.choice(POOL, size=1 + turn % 2, replace=False)
            # Both row formats of the server: {"clips": value} and the bare value.
            instances = [clips[row].tolist() for row in rows]
            if turn % 3:
                instances = [{"clips": value} for value in instances]
            status, answer = rest(peer, {"instances": instances})
            assert status == 200, answer
            predictions = answer["predictions"]
            actual = {n: np.array([p[n] for p in predictions]) for n in predictions[0]}
            mistakes += wrong(actual, expected, rows)
        return mistakes

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert list(threads.map(talk, range(4))) == [0, 0, 0, 0]


def test_jpeg_by_both_ways(peer, pool, jpeg_frames):
    frames = jpeg_frames(pool[0][0])
    by_grpc = predict(client(peer), "predict_jpeg", frames_bytes=np.array([frames], object))
    instance = [{"b64": base64.b64encode(frame).decode()} for frame in frames]
    body = {"signature_name": "predict_jpeg", "instances": [instance]}
    status, answer = rest(peer, body)
    assert status == 200
    (row,) = answer["predictions"]
    assert row["classes"] == by_grpc["classes"][0].tolist()
    np.testing.assert_allclose(row["logits"], by_grpc["logits"][0], rtol=1e-5, atol=1e-5)


def test_odd_requests_are_reported_and_the_peer_lives_on(peer, pool):
    clips, expected = pool
    service = client(peer)
    odd = [
        ({"clips": clips[0]}, "serving_default", "[?,3,32,32,3]"),
        ({"clips": clips[:1, :, :16]}, "serving_default", "[1,3,16,32,3]"),
        ({"clips": clips[:1].astype("float32")}, "serving_default", "uint8"),
        ({"clips": clips[:0]}, "serving_default", "empty"),
        ({"clips": clips[:1]}, "serve", "no signature serve"),
        ({"frames": clips[:1]}, "motion", "clips"),
        ({"frames_bytes": np.array([[b"x"] * 3], object)}, "predict_jpeg", "no JPEG"),
    ]
    for inputs, signature, words in odd:
        with pytest.raises(grpc.RpcError) as caught:
            predict(service, signature, **inputs)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert words in caught.value.details(), caught.value.details()
    for body in ({"instances": [[1, 2]]}, {"instances": []}, {"rows": 1}):
        status, answer = rest(peer, body)
        assert status == 400 and answer["error"]
    assert not wrong(predict(service, "serving_default", clips=clips[:2]), expected, [0, 1])


def readme_blocks(exported, language):
    text = (exported / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.fixture
def frames_folder(pool, jpeg_frames, tmp_path):
    for number, frame in enumerate(jpeg_frames(pool[0][0]), start=1):
        (tmp_path / f"frame{number:02d}.jpg").write_bytes(frame)
    return tmp_path


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_rest_command_of_the_readme(peer, exported, frames_folder, two_stream):
    (command,) = (text for text in readme_blocks(exported, "bash") if "curl" in text)
    command = command.replace("localhost:8501", f"127.0.0.1:{peer['rest']}")
    done = subprocess.run(
        ["bash", "-ec", command], cwd=frames_folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["predictions"]
    assert sorted(row) == ["classes", "logits", "probabilities", "scores"]
    assert set(row["classes"]) <= set(two_stream.class_names)


def test_the_grpc_client_of_the_readme(peer, exported, frames_folder, monkeypatch, capsys):
    (code,) = (text for text in readme_blocks(exported, "python") if "grpc" in text)
    monkeypatch.chdir(frames_folder)
    exec(code.replace("localhost:8500", f"127.0.0.1:{peer['grpc']}"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and re.fullmatch(r" *\d+\.\d%  .+", lines[0])
