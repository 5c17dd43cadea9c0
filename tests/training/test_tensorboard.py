"""Event files hold the scalars, pictures and histograms of a stage."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from h2s_keras.data import read_image
from h2s_keras.training.callbacks import TensorBoardLog
from h2s_keras.training.stages import Position, prepare_stage

STAGE = {"name": "motion", "steps": 4, "learning_rate": 1e-3}


def events(folder):
    found = {}
    for path in sorted(folder.iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value))
    return found


@pytest.fixture
def written(network, batch, tmp_path):
    def write(streams, sample_clips, flow_loss=None):
        stage = {**STAGE, "streams": streams, "flow_loss": flow_loss}
        position = Position()
        log = TensorBoardLog(str(tmp_path / "events"), position, sample_clips)
        count = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs: setattr(
                position, "step", position.step + 1
            )
        )
        prepare_stage(network, stage).fit(
            *batch, batch_size=2, epochs=2, verbose=0, callbacks=[count, log]
        )
        return events(tmp_path / "events")

    return write


def test_a_motion_stage_shows_terms_flow_and_warp(written, batch, network, tmp_path):
    found = written(["motion"], lambda: batch[0], {})
    assert [step for step, _ in found["photometric"]] == [2, 4]
    assert {"loss", "photometric", "smoothness", "ssim"} <= set(found)
    assert all(np.isfinite(value.simple_value) for _, value in found["photometric"])
    histogram = found["flow length in pixels"][-1][1].histo
    flows = network.motion.estimate_flow(batch[0][:2])
    lengths = np.linalg.norm(flows, axis=-1)
    assert histogram.num == lengths.size
    assert histogram.max == pytest.approx(lengths.max(), rel=1e-4)
    step, picture = found["motion of clip 0/image"][-1]
    assert step == 4
    (tmp_path / "panel.png").write_bytes(picture.image.encoded_image_string)
    panel = read_image(tmp_path / "panel.png")
    # Two pairs of 32x32 enlarged four times, five columns, gaps of 4.
    assert panel.shape == (2 * 128 + 3 * 4, 5 * 128 + 6 * 4, 3)
    np.testing.assert_array_equal(panel[4:132:4, 4:132:4], batch[0][0, 0])


def test_segments_are_shown_one_by_one(written, batch):
    clips = np.stack([batch[0], batch[0]], axis=1)
    found = written(["temporal"], lambda: clips)
    assert "motion of clip 1/image" in found


def test_a_spatial_stage_has_scalars_only(written, batch):
    found = written(["spatial"], lambda: batch[0])
    assert "action" in found and not any("motion" in tag for tag in found)


def test_without_clips_there_are_scalars_only(written):
    found = written(["temporal"], None)
    assert "accuracy" in found and not any("motion" in tag for tag in found)
