"""Thresholds and shortest bouts, chosen on videos that the network did not see."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from h2s_keras.errors import UserError
from h2s_keras.ethogram import FrameLabels, Rule, choose_rules, decide
from h2s_keras.ethogram.decision import drop_short, tidy


def test_short_bouts_are_dropped_also_at_the_ends():
    mask = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1], bool)
    assert drop_short(mask, 3).astype(int).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert np.array_equal(drop_short(mask, 1), mask)


def test_short_gaps_are_closed_before_short_bouts_are_dropped():
    mask = np.array([0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0], bool)
    assert tidy(mask, 3).astype(int).tolist() == [0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert np.array_equal(tidy(mask, 1), mask) and not tidy(~np.ones(4, bool), 3).any()


def test_each_behaviour_has_its_own_rule():
    chances = np.array([[0.5, 0.5], [0.3, 0.9], [0.5, 0.1], [0.6, 0.1]])
    rules = [Rule(threshold=0.5, shortest=2), Rule(threshold=0.9)]
    assert decide(chances, rules).tolist() == [[1, 0], [1, 1], [1, 0], [1, 0]]
    # Exclusive: of the behaviours above their thresholds, the most probable.
    rules = [Rule(threshold=0.2), Rule(threshold=0.4)]
    assert decide(chances, rules, exclusive=True).sum(axis=1).tolist() == [1, 1, 1, 1]
    assert decide(chances, rules, exclusive=True)[1].tolist() == [0, 1]
    with pytest.raises(UserError, match=r"\(frames, 2\) for 2 rules; got \(4, 3\)"):
        decide(np.zeros((4, 3)), rules)


def validation(seed, frames=800):
    """A behaviour of long bouts with probabilities around 0.2 and 0.1, and a noise of
    single frames above any threshold."""
    random = np.random.default_rng(seed)
    labels = np.zeros((frames, 1), int)
    for start in range(40, frames - 40, 100):
        labels[start : start + 30] = 1
    chances = 0.1 + 0.1 * labels + random.normal(0, 0.01, labels.shape)
    chances[random.choice(frames, frames // 32, replace=False)] = 0.9
    return FrameLabels("v", ("x",), labels), chances


def test_the_threshold_and_the_shortest_bout_are_found():
    # Eighty bouts: so many tell thresholds apart that are not the best.
    labels, chances = validation(1, 8000)
    (rule,) = choose_rules([labels], [chances])
    # Between the two levels of probability; a gap of few frames is closed.
    assert 0.1 < rule.threshold < 0.2 and 2 <= rule.shortest <= 15
    other, others = validation(2, 8000)
    plain = f1_score(other.matrix[:, 0], others[:, 0] >= 0.5)
    chosen = decide(others, [rule])[:, 0]
    best = max(
        f1_score(other.matrix[:, 0], decide(others, [Rule(threshold, rule.shortest)])[:, 0])
        for threshold in np.linspace(0.05, 0.95, 91)
    )
    # A standard error of the mean of two shares of 80 bouts may all be the first one's.
    error = 2 * np.sqrt(81 / 82 * 1 / 82 / 82)
    assert best > 0.95 and f1_score(other.matrix[:, 0], chosen) > best - 1.5 * error
    assert best > plain + 0.5
    assert rule.f1 == pytest.approx(f1_score(labels.matrix[:, 0], decide(chances, [rule])))


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    labels, _ = validation(1)
    for low, high, expected in ((0.1, 0.9, 0.5), (0.6, 0.9, 0.6), (0.1, 0.3, 0.3)):
        chances = low + (high - low) * labels.matrix
        (rule,) = choose_rules([labels], [chances])
        assert rule.threshold == pytest.approx(expected, abs=0.051) and rule.f1 == 1


def test_frames_that_are_not_labelled_choose_nothing():
    labels, chances = validation(3)
    hidden = np.random.default_rng(0).random(len(chances)) < 0.3
    labels.matrix[hidden] = -1
    first = choose_rules([labels], [chances])
    chances[hidden & (chances[:, 0] < 0.15)] = 0.0
    assert choose_rules([labels], [chances])[0].threshold == first[0].threshold


def test_a_behaviour_that_is_absent_keeps_the_default_and_says_so():
    labels = FrameLabels("v", ("x", "y"), np.array([[1, 0], [0, -1], [0, 0]]))
    chances = np.array([[0.9, 0.2], [0.1, 0.2], [0.1, 0.2]])
    rules = choose_rules([labels], [chances])
    assert rules[0].reason == "" and rules[0].f1 == 1
    assert rules[1] == Rule(reason="none of 2 labelled frames shows it")


def test_rare_bouts_of_single_frames_are_not_forbidden():
    labels = np.zeros((100, 1), int)
    labels[[10, 50, 80]] = 1
    (rule,) = choose_rules([FrameLabels("v", ("x",), labels)], [labels * 0.8 + 0.1])
    assert rule.shortest == 1 and rule.f1 == rule.bout_f1 == 1


def test_predictions_that_do_not_fit():
    labels, chances = validation(1)
    with pytest.raises(UserError, match="1 labelled videos, but 2"):
        choose_rules([labels], [chances, chances])
    with pytest.raises(UserError, match=r"\(800, 1\) .*\(799, 1\)"):
        choose_rules([labels], [chances[1:]])
