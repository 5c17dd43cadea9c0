"""The warm-up requests, written without tensorflow-serving-api, are its messages."""

import numpy as np
import pytest

from h2s_keras.export.saved_model import _varint, predict_request, prediction_log


def test_records_are_read_by_the_package(exported):
    logs = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="needs tensorflow-serving-api, of the extra `serving`",
    )
    import tensorflow as tf

    path = exported / "1" / "assets.extra" / "tf_serving_warmup_requests"
    assert path.stat().st_size < 20_000
    seen = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = logs.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "h2s"
        ((name, value),) = request.inputs.items()
        array = tf.make_ndarray(value)
        seen.append((request.model_spec.signature_name, name, array.shape))
    for batch in (1, 2, 5):
        assert ("serving_default", "clips", (batch, 3, 32, 32, 3)) in seen
        assert ("motion", "clips", (batch, 3, 32, 32, 3)) in seen
        assert ("predict_jpeg", "frames_bytes", (batch, 3)) in seen
    assert len(seen) == 9


@pytest.mark.parametrize("size", [1, 60, 200, 70_000])
def test_bytes_equal_those_of_the_package(size):
    logs = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="needs tensorflow-serving-api, of the extra `serving`",
    )
    import tensorflow as tf

    inputs = {
        "clips": tf.make_tensor_proto(np.arange(size, dtype="uint8")),
        "names": tf.make_tensor_proto([b"a", b"\xff" * size]),
    }
    ours = prediction_log(predict_request("ärger", "motion", inputs))
    theirs = logs.PredictionLog()
    request = theirs.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = "ärger", "motion"
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(value)
    assert ours == theirs.SerializeToString(deterministic=True)
    assert logs.PredictionLog.FromString(ours) == theirs


def test_varints():
    assert [_varint(n) for n in (0, 127, 128, 300)] == [
        b"\0",
        b"\x7f",
        b"\x80\1",
        b"\xac\2",
    ]


def test_configurations_parse(exported):
    config = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2",
        reason="needs tensorflow-serving-api, of the extra `serving`",
    )
    from google.protobuf import text_format

    text = (exported / "models.config").read_text()
    (model,) = text_format.Parse(text, config.ModelServerConfig()).model_config_list.config
    assert (model.name, model.base_path) == ("h2s", "/models/h2s")
    lines = (exported / "batching.config").read_text().splitlines()
    sizes = [int(line.split()[1]) for line in lines if line.startswith("allowed")]
    # The server refuses to start unless they ascend to the largest batch.
    assert sizes == [1, 2, 5] and lines[0] == "max_batch_size { value: 5 }"
