"""AngularError, FlowOutlierRate and RegionEndPointError against NumPy references."""

import keras
import numpy as np
import pytest
from checks import init_arguments

from h2s_keras.metrics import AngularError, FlowOutlierRate, RegionEndPointError

RANDOM = np.random.default_rng(21)
TRUE = RANDOM.normal(scale=9, size=(3, 14, 17, 2)).astype("float32")
GUESS = (TRUE + RANDOM.normal(scale=3, size=TRUE.shape)).astype("float32")
ERROR = np.sqrt(((TRUE - GUESS).astype("float64") ** 2).sum(axis=-1))
LENGTH = np.sqrt((TRUE.astype("float64") ** 2).sum(axis=-1))


def angles(true, guess):
    one, two = (
        np.concatenate([flow.astype("float64"), np.ones((*flow.shape[:-1], 1))], axis=-1)
        for flow in (true, guess)
    )
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(two, axis=-1)
    return np.degrees(np.arccos(np.clip((one * two).sum(axis=-1) / lengths, -1, 1)))


def outliers(true, guess):
    return (ERROR > 3) & (ERROR > 0.05 * LENGTH)


def boundary(true, threshold=1.0, radius=4):
    """The region by loops: every pixel beside a jump, and the box around it."""
    height, width = true.shape[:2]
    inside = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            for below, right in ((1, 0), (0, 1)):
                if y + below < height and x + right < width:
                    jump = np.linalg.norm(true[y + below, x + right] - true[y, x])
                    if jump > threshold:
                        for b, a in ((y, x), (y + below, x + right)):
                            top, left = max(0, b - radius), max(0, a - radius)
                            inside[top : b + radius + 1, left : a + radius + 1] = True
    return inside


def score(metric, *args, **kwargs):
    metric.update_state(*args, **kwargs)
    return float(metric.result())


def test_angular_error_by_hand():
    zero = np.zeros((1, 1, 1, 2))
    assert score(AngularError(), zero, zero + [1.0, 0.0]) == pytest.approx(45)
    assert score(AngularError(), zero + [1.0, 0.0], zero - [1.0, 0.0]) == pytest.approx(90)
    assert score(AngularError(), zero + [2.0, 3.0], zero + [2.0, 3.0]) == 0


def test_angular_error_against_numpy():
    expected = angles(TRUE, GUESS).mean()
    assert score(AngularError(), TRUE, GUESS) == pytest.approx(expected, rel=1e-5)
    assert abs(score(AngularError(), TRUE, GUESS[..., ::-1]) - expected) > 1


def test_angular_error_is_exact_for_tiny_angles():
    zero = np.zeros((1, 1, 1, 2))
    found = score(AngularError(), zero, zero + [1e-4, 0.0])
    assert found == pytest.approx(np.degrees(1e-4), rel=1e-4)


def test_outlier_rate_against_numpy():
    expected = outliers(TRUE, GUESS).mean()
    assert 0.2 < expected < 0.9
    assert score(FlowOutlierRate(), TRUE, GUESS) == pytest.approx(expected, abs=1e-6)


def test_outlier_needs_both_limits():
    true = np.array([100.0, 0.0]) * np.ones((1, 1, 1, 2))
    assert score(FlowOutlierRate(), true, true + [4.0, 0.0]) == 0
    assert score(FlowOutlierRate(), true, true + [6.0, 0.0]) == 1
    assert score(FlowOutlierRate(), 0 * true, 0 * true + [2.9, 0.0]) == 0
    assert score(FlowOutlierRate(), true, np.full_like(true, np.nan)) == 1
    with pytest.raises(ValueError, match="0 or more"):
        FlowOutlierRate(pixels=-1)


def test_speeds_against_numpy():
    for low, high in ((0, 10), (10, 40), (40, None)):
        part = (LENGTH >= low) & (LENGTH < (np.inf if high is None else high))
        metric = RegionEndPointError((low, high))
        found = score(metric, TRUE, GUESS)
        assert float(metric.count) == pytest.approx(part.sum() / part[0].size)
        if part.any():
            assert found == pytest.approx(ERROR[part].mean(), rel=1e-5)
        else:
            assert found == 0


@pytest.mark.parametrize("radius", [0, 1, 4])
def test_boundary_against_loops(radius):
    true = np.zeros((20, 24, 2), "float32")
    true[6:12, 8:15] = 3.0
    guess = true + RANDOM.normal(size=true.shape).astype("float32")
    error = np.linalg.norm(true - guess, axis=-1)
    inside = boundary(true, radius=radius)
    assert inside.any() and not inside.all()
    for region, part in (("boundary", inside), ("interior", ~inside)):
        metric = RegionEndPointError(region, radius=radius)
        found = score(metric, true[None], guess[None])
        assert float(metric.count) == pytest.approx(part.mean())
        assert found == pytest.approx(error[part].mean(), rel=1e-5)


def test_unknown_pixels_make_no_boundary():
    true = np.zeros((1, 9, 9, 2), "float32")
    true[0, 4, 4] = np.nan
    metric = RegionEndPointError("boundary")
    assert score(metric, true, np.ones_like(true)) == 0
    assert float(metric.count) == 0


@pytest.mark.parametrize("make", [AngularError, FlowOutlierRate, RegionEndPointError])
def test_unknown_weights_and_partial_batches(make):
    whole, parts = make(), make()
    true = TRUE.copy()
    true[1, 3:5] = 1.7e9
    weight = RANDOM.uniform(size=LENGTH.shape).astype("float32")
    whole.update_state(true, GUESS, sample_weight=weight)
    for part in (slice(0, 2), slice(2, 3)):
        parts.update_state(true[part], GUESS[part], sample_weight=weight[part])
    assert float(whole.result()) == pytest.approx(float(parts.result()), rel=1e-5)
    spoiled = GUESS.copy()
    spoiled[1, 3:5] = np.nan
    assert score(make(), true, spoiled, sample_weight=weight) == pytest.approx(
        float(whole.result()), rel=1e-5
    )
    parts.reset_state()
    assert float(parts.result()) == 0


@pytest.mark.parametrize(
    "metric",
    [
        AngularError(name="aae"),
        FlowOutlierRate(2.0, 0.1, name="fl"),
        RegionEndPointError((10, 40), name="s10-40"),
        RegionEndPointError("interior", 0.5, 2),
    ],
)
def test_config(metric):
    config = metric.get_config()
    assert all(name in config for name in init_arguments(type(metric)))
    text = keras.saving.serialize_keras_object(metric)
    revived = keras.saving.deserialize_keras_object(text)
    assert revived.get_config() == config


@pytest.mark.parametrize("region", ["edge", (1,), (1, 2, 3)])
def test_unknown_region(region):
    with pytest.raises(ValueError, match="region must be"):
        RegionEndPointError(region)
