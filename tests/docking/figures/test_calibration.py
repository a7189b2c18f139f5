"""Calibration: exact probabilities are told from others, and complexes are what is resampled."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docking.figures.calibration import bin_of, ece, facts, judge, reliability

sizes = st.integers(1, 12)
cases = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80)


def arrays(pairs):
    p = np.array([value for value, _ in pairs], dtype=np.float64)
    return p, np.array([kind for _, kind in pairs], dtype=bool)


@given(cases, sizes)
def test_bins_hold_every_pose_once_and_where_it_belongs(pairs, bins):
    p, true = arrays(pairs)
    found = reliability(p, true, bins)
    assert sum(b.n for b in found) == len(p)
    assert sum(b.hits for b in found) == true.sum()
    for k, b in enumerate(found):
        inside = p[bin_of(p, bins) == k]
        assert b.n == len(inside)
        if b.n:
            assert b.low - 1e-9 <= inside.min() and inside.max() <= b.high + 1e-9
            assert math.isclose(b.confidence, inside.mean()) and b.share.value == b.hits / b.n


@given(cases, sizes)
def test_the_error_is_the_weighted_distance_of_the_diagram(pairs, bins):
    p, true = arrays(pairs)
    wanted = sum(
        b.n / len(p) * abs(b.share.value - b.confidence) for b in reliability(p, true, bins) if b.n
    )
    assert math.isclose(float(ece(p, true, bins)), wanted, abs_tol=1e-12)
    stacked = ece(np.stack([p, p]), np.stack([true, ~true]), bins)
    np.testing.assert_allclose(stacked, [ece(p, true, bins), ece(p, ~true, bins)], atol=1e-12)


def test_exact_probabilities_have_an_error_that_vanishes():
    rng = np.random.default_rng(0)
    errors = []
    for n in (100, 10_000, 1_000_000):
        p = rng.beta(0.7, 1.5, n)
        errors.append(float(ece(p, rng.random(n) < p)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 2e-3


def test_exact_probabilities_lie_within_what_chance_gives_and_others_do_not():
    inside = outside = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        p = rng.beta(0.7, 1.5, 300)
        group = np.arange(300) // 3
        fair = judge(p, rng.random(300) < p, group, resamples=20, seed=seed)
        inside += fair.ece_if_exact.low <= fair.ece.value <= fair.ece_if_exact.high
        bold = judge(p, rng.random(300) < p**2, group, resamples=20, seed=seed)
        outside += bold.ece.value > bold.ece_if_exact.high
    # 95 % of 40 with three standard deviations of room.
    assert inside >= 34
    assert outside >= 34


def test_the_base_rate_told_to_all_is_calibrated_and_no_better_than_itself():
    true = np.arange(200) % 4 == 0
    found = judge(np.full(200, 0.25), true, np.arange(200), resamples=50)
    assert found.ece.value < 1e-12
    assert math.isclose(found.brier.value, found.brier_of_base_rate)
    assert math.isclose(found.base_rate.value, 0.25)
    sure = judge(np.full(200, 0.95), true, np.arange(200), resamples=50)
    assert math.isclose(sure.ece.value, 0.7)
    assert sure.brier.value > sure.brier_of_base_rate


def test_repeating_the_poses_of_a_complex_makes_nothing_more_certain():
    rng = np.random.default_rng(1)
    p = rng.random(40)
    true, group = rng.random(40) < p, np.arange(40)
    once = judge(p, true, group, resamples=300)
    often = judge(*(np.repeat(array, 7) for array in (p, true, group)), resamples=300)
    for name in ("base_rate", "brier", "ece"):
        np.testing.assert_allclose(getattr(often, name), getattr(once, name), atol=1e-12)
    assert often.complexes == once.complexes == 40 and often.n == 280


def test_intervals_hold_the_estimate_and_facts_are_plain():
    rng = np.random.default_rng(2)
    p = rng.random(120)
    found = judge(p, rng.random(120) < p, np.arange(120) // 4, resamples=200)
    for value in (found.base_rate, found.brier):
        assert value.low <= value.value <= value.high
    told = facts(found)
    assert told["n"] == 120 and told["complexes"] == 30
    assert sum(b["n"] for b in told["bins"]) == 120 and set(told["ece"]) == {"value", "low", "high"}


def test_refuses_nonsense():
    with pytest.raises(ValueError, match="probabilities"):
        reliability(np.array([1.5]), np.array([True]))
    with pytest.raises(ValueError, match="at least one pose"):
        judge(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64))
