import keras
import numpy as np
import pytest
from checks import init_arguments
from keras import ops

from h2s_keras.metrics import EndPointError

RANDOM = np.random.default_rng(16)
TRUE = RANDOM.normal(size=(2, 3, 4, 5, 2)).astype("float32")
GUESS = RANDOM.normal(size=TRUE.shape).astype("float32")
DISTANCE = np.sqrt(((TRUE - GUESS) ** 2).sum(axis=-1))


def score(*args, **kwargs):
    metric = EndPointError()
    metric.update_state(*args, **kwargs)
    return float(metric.result())


def test_by_hand():
    assert score(np.zeros((1, 2, 2, 2)), 3 * np.ones((1, 2, 2, 2))) == pytest.approx(
        18**0.5
    )
    assert score(np.zeros((1, 2, 2, 2)), np.array([3.0, 4.0]) * np.ones((1, 2, 2, 2))) == 5


def test_against_numpy():
    assert score(TRUE, GUESS) == pytest.approx(DISTANCE.mean(), rel=1e-5)
    assert score(TRUE, TRUE) == 0
    assert abs(score(TRUE, GUESS[..., ::-1]) - DISTANCE.mean()) > 1e-3


@pytest.mark.parametrize("unknown", [np.nan, np.inf, 1.7e9, -1.7e9])
def test_unknown_flow_does_not_count(unknown):
    true = TRUE.copy()
    true[0, 0, :2, :, 0] = unknown
    known = np.ones(DISTANCE.shape, bool)
    known[0, 0, :2] = False
    assert score(true, GUESS) == pytest.approx(DISTANCE[known].mean(), rel=1e-5)
    weight = RANDOM.uniform(size=DISTANCE.shape)
    expected = np.average(DISTANCE[known], weights=weight[known])
    assert score(true, GUESS, weight) == pytest.approx(expected, rel=1e-5)


def test_nothing_known_is_zero():
    assert score(np.full(TRUE.shape, np.nan), GUESS) == 0


def test_a_guess_that_is_not_finite_shows():
    guess = GUESS.copy()
    guess[0, 0, 0, 0] = np.nan
    assert np.isnan(score(TRUE, guess))


def test_sample_weight():
    weight = RANDOM.uniform(size=DISTANCE.shape)
    expected = np.average(DISTANCE, weights=weight)
    assert score(TRUE, GUESS, weight) == pytest.approx(expected, rel=1e-5)
    assert score(TRUE, GUESS, sample_weight=np.zeros(DISTANCE.shape)) == 0


def test_batches_add_up_and_reset():
    metric = EndPointError()
    for clip in (slice(0, 1), slice(1, 2)):
        metric.update_state(TRUE[clip], GUESS[clip])
    assert float(metric.result()) == pytest.approx(DISTANCE.mean(), rel=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_half_precision_flow(dtype):
    actual = score(ops.cast(TRUE, dtype), ops.cast(GUESS, dtype))
    assert actual == pytest.approx(DISTANCE.mean(), rel=0.01)


def test_config_and_registration():
    metric = EndPointError(name="epe", dtype="float32")
    config = metric.get_config()
    assert all(name in config for name in init_arguments(EndPointError))
    assert EndPointError.from_config(config).get_config() == config
    assert keras.saving.get_registered_object("h2s_keras>EndPointError") is EndPointError
    text = keras.saving.serialize_keras_object(metric)
    assert keras.saving.deserialize_keras_object(text).name == "epe"
