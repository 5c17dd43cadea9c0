"""Clips that were scaled to 0..1 are worth one warning, at every entrance."""

import warnings

import keras
import numpy as np
import pytest

from h2s_keras.layers import UnsupervisedFlowLoss
from h2s_keras.models import HiddenTwoStreamBuilder
from h2s_keras.ops import clip_range
from h2s_keras.ops.clip_range import ClipRangeWarning, is_unit_range
from h2s_keras.training import StageModel

RNG = np.random.default_rng(0)
CLIPS = RNG.integers(0, 256, (4, 2, 16, 16, 3)).astype("uint8")
UNIT = (CLIPS / 255.0).astype("float32")
LABELS = np.arange(4)


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    monkeypatch.setattr(clip_range, "_warned", set())


@pytest.fixture(scope="module")
def network():
    return HiddenTwoStreamBuilder(4, 2, (16, 16)).motion("tiny").temporal("tiny").build()


@pytest.fixture(scope="module")
def stage(network):
    model = StageModel(network, ["temporal"], UnsupervisedFlowLoss())
    model.compile("sgd")
    return model


def told(function):
    """Texts of the warnings of two calls."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            function()
    return [str(w.message) for w in caught if issubclass(w.category, ClipRangeWarning)]


@pytest.mark.parametrize(
    ("clips", "expected"),
    [
        (UNIT, True),
        (UNIT.astype("float64"), True),
        (UNIT.astype("float16"), True),
        (2 * UNIT - 1, True),
        (-UNIT, True),
        (keras.ops.convert_to_tensor(UNIT), True),
        (keras.ops.cast(UNIT, "bfloat16"), True),
        (CLIPS, False),
        ((CLIPS > 127).astype("uint8"), False),
        (CLIPS.astype("float32"), False),
        (np.zeros_like(UNIT), False),
        (np.full_like(UNIT, np.nan), False),
        (UNIT[:0], False),
        (keras.Input((2, 16, 16, 3)), False),
        ("clips", False),
        (None, False),
    ],
)
def test_what_is_plainly_scaled(clips, expected):
    assert is_unit_range(clips) is expected


ENTRANCES = {
    "HiddenTwoStream": lambda network, stage, clips: network(clips),
    "HiddenTwoStream.predict": lambda network, stage, clips: network.predict(
        clips, verbose=0
    ),
    "MotionNet": lambda network, stage, clips: network.motion(clips),
    "MotionNet.predict": lambda network, stage, clips: network.motion.predict_on_batch(
        clips
    ),
    "MotionNet.estimate_flow": lambda network, stage, clips: network.motion.estimate_flow(
        clips
    ),
    "StageModel.fit": lambda network, stage, clips: stage.fit(clips, LABELS, verbose=0),
    "StageModel.evaluate": lambda network, stage, clips: stage.evaluate(
        clips, LABELS, verbose=0
    ),
    "StageModel.predict": lambda network, stage, clips: stage.predict(clips, verbose=0),
    "UnsupervisedFlowLoss": lambda network, stage, clips: UnsupervisedFlowLoss()(
        clips, {"flow2": keras.ops.zeros((4, 1, 8, 8, 2))}
    ),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_says_it_once(network, stage, entrance):
    call = ENTRANCES[entrance]
    assert told(lambda: call(network, stage, CLIPS)) == []
    found = told(lambda: call(network, stage, UNIT))
    assert len(found) == 1
    assert found[0].startswith(f"{entrance}: these clips are floats of at most 1")


@pytest.mark.parametrize("scaled", [True, False])
def test_batches_of_tf_data(stage, scaled):
    import tensorflow as tf

    clips = UNIT if scaled else CLIPS.astype("float32")
    data = tf.data.Dataset.from_tensor_slices((clips, LABELS)).batch(2)
    found = told(lambda: stage.fit(data, verbose=0))
    assert [text.split(":")[0] for text in found] == ["StageModel.fit"] * scaled
