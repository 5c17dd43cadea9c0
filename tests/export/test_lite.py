"""LiteRT files of motion and temporal stream."""

import warnings

import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.export import export_lite


def runner(path):
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(str(path), num_threads=1)
    run = interpreter.get_signature_runner()
    run.interpreter = interpreter
    return run


def expected_flow(outputs):
    return np.transpose(outputs["flow2"], (0, 2, 3, 1, 4)) * 2


@pytest.mark.parametrize("branched", [False, True])
def test_float32_gives_what_keras_gives(build, clips_of, tmp_path, branched):
    model = build(branched=branched)
    path = tmp_path / "model.tflite"
    assert export_lite(model, path) == path.stat().st_size
    run, clips = runner(path), clips_of(2)
    outputs = model.predict_on_batch(clips)
    for clip in range(2):
        actual = run(clips=clips[clip : clip + 1])
        assert actual["logits"].dtype == actual["flow"].dtype == np.float32
        expected = outputs["temporal_logits"][clip : clip + 1]
        np.testing.assert_allclose(actual["logits"], expected, rtol=1e-4, atol=1e-4)
        flow = expected_flow(outputs)[clip : clip + 1]
        np.testing.assert_allclose(actual["flow"], flow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["dynamic", "int8"])
def test_eight_bits_are_near_and_a_quarter_of_the_size(
    build, clips_of, tmp_path, precision
):
    model = build(spatial=None)
    full = export_lite(model, tmp_path / "full.tflite")
    path = tmp_path / f"{precision}.tflite"
    size = export_lite(model, path, precision, calibration=clips_of(20, seed=7))
    assert size < 0.3 * full
    run, clips = runner(path), clips_of(4)
    outputs = model.predict_on_batch(clips)
    results = [run(clips=clip[None]) for clip in clips]
    flow = np.concatenate([result["flow"] for result in results])
    logits = np.concatenate([result["logits"] for result in results])
    error = np.abs(flow - expected_flow(outputs)).mean()
    assert error < 0.1 * np.abs(expected_flow(outputs)).mean()
    error = np.abs(logits - outputs["temporal_logits"]).max()
    assert error < 0.5 * np.ptp(outputs["temporal_logits"])
    if precision == "int8":
        kinds = {d["dtype"] for d in run.interpreter.get_tensor_details()}
        assert np.int8 in kinds, "activations are quantized"


@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_adapters_with_levels_and_other_centres(build, clips_of, tmp_path, padding):
    from h2s_keras.layers import QuantizedFlowAdapter

    model = build(spatial=None)
    model.adapter = QuantizedFlowAdapter(3.0, 16, centre=100.0, padding=padding)
    path = tmp_path / "model.tflite"
    export_lite(model, path)
    clips = clips_of(1)
    expected = model.predict_on_batch(clips)["temporal_logits"]
    actual = runner(path)(clips=clips)["logits"]
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "float16"}, "precision must be one of"),
        ({"precision": "int8"}, "pass calibration="),
        ({"precision": "int8", "calibration": []}, "holds no clip"),
        ({"precision": "int8", "calibration": [np.zeros((3, 8, 8, 3))]}, "float64"),
        ({"path": "model.bin"}, "must end in .tflite"),
    ],
)
def test_wrong_arguments(two_stream, tmp_path, options, words):
    options = dict(options)
    path = tmp_path / options.pop("path", "model.tflite")
    with pytest.raises(UserError, match=words):
        export_lite(two_stream, path, **options)
    assert not path.exists()


def test_a_file_is_not_overwritten(two_stream, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match="exists already"):
        export_lite(two_stream, path)
