"""Funnels: scores compare within a complex, and the figures say how well they rank."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from docking.figures.funnel import Funnel, centred, rank_correlation, running_median, telling
from docking.figures.method import Poses

numbers = st.lists(st.integers(-20, 20), min_size=3, max_size=30)


def poses(key, rmsd, score):
    order = np.argsort(-np.asarray(score, dtype=float), kind="stable")
    rmsd, score = (np.asarray(x, dtype=float)[order] for x in (rmsd, score))
    return Poses(key, score, rmsd, np.full(len(score), math.nan))


@given(numbers, st.randoms(use_true_random=False))
def test_rank_correlation_is_spearmans(values, random):
    other = list(values)
    random.shuffle(other)
    a, b = np.array(values, dtype=float), np.array(other, dtype=float)
    got = rank_correlation(a, b)
    if np.ptp(a) == 0:
        assert math.isnan(got)
        return
    assert math.isclose(got, stats.spearmanr(a, b).statistic, abs_tol=1e-9)


@given(numbers, st.integers(-50, 50))
def test_what_all_scores_of_a_complex_share_does_not_show(values, shift):
    rmsd = np.arange(len(values), dtype=float)
    one = Funnel("m", [poses("a", rmsd, values)])
    other = Funnel("m", [poses("a", rmsd, [v + shift for v in values])])
    for mine, theirs in zip(one.pooled(), other.pooled(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-9)
    assert math.isclose(centred(one.poses[0].score).sum(), 0, abs_tol=1e-9)


def test_a_perfect_score_outranks_nothing_and_its_opposite_everything():
    rng = np.random.default_rng(0)
    near = [rng.uniform(0.5, 9, 9) for _ in range(20)]
    for rmsd in near:
        rmsd[0] = 0.4
    best = Funnel("m", [poses(str(k), r, -r) for k, r in enumerate(near)]).facts()
    worst = Funnel("m", [poses(str(k), r, r) for k, r in enumerate(near)]).facts()
    assert math.isclose(best["spearman"]["value"], 1) and best["right_pose_outranked"]["value"] == 0
    assert math.isclose(worst["spearman"]["value"], -1)
    assert worst["right_pose_outranked"]["value"] == 1 and worst["right_pose_outranked"]["n"] == 20
    assert best["poses"] == 180 and best["complexes"] == 20


def test_every_pose_is_a_line_of_the_table():
    funnel = Funnel("m", [poses("a", [1, 3], [2, 1]), poses("b", [4.0], [7.0])])
    lines = funnel.rows()
    assert [line[1:3] for line in lines] == [["a", 1], ["a", 2], ["b", 1]]
    assert [line[-1] for line in lines] == ["", "", ""]
    assert len(funnel.pooled()[0]) == 3
    empty = Funnel("m", [])
    assert empty.rows() == [] and len(empty.pooled()[0]) == 0


def test_the_telling_complex_has_near_and_far_poses():
    funnels = [
        Funnel("m", [poses("a", [5, 6, 7], [3, 2, 1]), poses("b", [1, 6], [3, 2])]),
        Funnel("n", [poses("b", [1, 6], [3, 2]), poses("c", [1, 6], [3, 2])]),
    ]
    assert telling(funnels) == "b"
    assert telling(funnels[1:]) == "b"  # a tie: the first id
    assert telling([]) == ""


def test_running_median_is_the_median_of_each_bin():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 5, 200), rng.normal(size=200)
    middle, median = running_median(x, y)
    for m, value in zip(middle, median, strict=True):
        assert value == np.median(y[(x >= m - 0.5) & (x < m + 0.5)])
