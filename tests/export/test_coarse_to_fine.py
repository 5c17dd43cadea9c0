"""Networks whose flow is found coarse to fine give the same answers from their exports."""

import numpy as np
import pytest

from h2s_keras.export import export_lite
from h2s_keras.export.signatures import build_signatures


@pytest.fixture(scope="module")
def clips():
    """Textures that move by a pixel or two a frame, over several sizes of the pyramid."""
    cells = np.random.default_rng(2).integers(0, 256, (2, 8, 12, 3)).astype("uint8")
    texture = cells.repeat(4, axis=1).repeat(4, axis=2)
    return np.stack([np.roll(texture, (t, 2 * t), (1, 2)) for t in range(4)], axis=1)


def test_the_signatures_of_the_server(coarse_to_fine, clips):
    outputs = coarse_to_fine.predict_on_batch(clips)
    _, signatures = build_signatures(coarse_to_fine, coarse_to_fine.class_names)
    answer = signatures["serving_default"](clips=clips)
    np.testing.assert_allclose(answer["logits"], outputs["logits"], atol=1e-4)
    flow = signatures["motion"](clips=clips)["flow"]
    expected = np.transpose(outputs["flow2"], (0, 2, 3, 1, 4)) * 2
    np.testing.assert_allclose(flow, expected, atol=1e-3)


def test_a_litert_file(coarse_to_fine, clips, tmp_path):
    import tensorflow as tf

    export_lite(coarse_to_fine, tmp_path / "model.tflite")
    interpreter = tf.lite.Interpreter(str(tmp_path / "model.tflite"))
    runner = interpreter.get_signature_runner()
    outputs = coarse_to_fine.predict_on_batch(clips[:1])
    answer = runner(clips=clips[:1])
    # This backbone reads flow of half the size, which the adapter does not enlarge.
    assert not coarse_to_fine.adapter.enlarge
    wanted = outputs["temporal_logits"]
    assert np.ptp(wanted) > 0.01
    np.testing.assert_allclose(answer["logits"], wanted, atol=1e-3)
