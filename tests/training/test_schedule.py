import math

import keras
import numpy as np
import pytest

from h2s_keras.training import StageSchedule


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_constant_after_a_linear_warm_up():
    schedule = StageSchedule(1e-3, 100, warmup_steps=10, kind="constant")
    expected = [1e-4 * (step + 1) for step in range(10)] + [1e-3] * 90
    np.testing.assert_allclose(rates(schedule, range(100)), expected, rtol=1e-5)


def test_cosine_ends_at_two_percent_and_stays_there():
    schedule = StageSchedule(0.5, 200)
    for step in (0, 50, 100, 150, 200):
        cosine = 0.5 * (1 + math.cos(math.pi * step / 200))
        assert float(schedule(step)) == pytest.approx(0.5 * (0.02 + 0.98 * cosine), 1e-4)
    assert rates(schedule, [0, 200, 900]) == pytest.approx([0.5, 0.01, 0.01], rel=1e-4)


def test_multistep_of_the_published_stages():
    schedule = StageSchedule(
        3.2e-5, 400_000, kind="multistep", boundaries=(100_000, 200_000), factor=0.5
    )
    found = rates(schedule, [0, 99_999, 100_000, 199_999, 200_000, 399_999])
    np.testing.assert_allclose(found, np.array([1, 1, 0.5, 0.5, 0.25, 0.25]) * 3.2e-5, 1e-5)
    # The default factor is Caffe's tenth.
    tenth = StageSchedule(1.0, 10, kind="multistep", boundaries=(5,))
    assert rates(tenth, [4, 5]) == pytest.approx([1.0, 0.1])


def test_warm_up_multiplies_every_kind():
    for kind in ("constant", "cosine", "multistep"):
        plain = StageSchedule(1.0, 50, kind=kind, boundaries=(2,))
        warm = StageSchedule(1.0, 50, warmup_steps=4, kind=kind, boundaries=(2,))
        for step in range(8):
            share = min(1.0, (step + 1) / 4)
            assert float(warm(step)) == pytest.approx(share * float(plain(step)), rel=1e-5)


def test_a_stage_of_no_steps_does_not_divide_by_zero():
    assert math.isfinite(float(StageSchedule(1.0, 0)(0)))


def test_config_round_trip():
    schedule = StageSchedule(0.1, 70, 5, "multistep", boundaries=[20, 40], factor=0.3)
    stored = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(stored)
    assert again.get_config() == schedule.get_config()
    assert rates(again, range(60)) == rates(schedule, range(60))


def test_the_optimiser_uses_it():
    variable = keras.Variable(1.0)
    optimizer = keras.optimizers.SGD(
        StageSchedule(0.1, 10, warmup_steps=2, kind="constant")
    )
    values = []
    for _ in range(3):
        optimizer.apply([keras.ops.ones(())], [variable])
        values.append(float(variable.value))
    np.testing.assert_allclose(values, [0.95, 0.85, 0.75], rtol=1e-5)


def test_unknown_kind():
    with pytest.raises(ValueError, match="kind must be one of.*received 'linear'"):
        StageSchedule(1.0, 10, kind="linear")
