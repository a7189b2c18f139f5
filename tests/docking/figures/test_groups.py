"""Groups: nothing is lost, nothing is counted twice, and the labels say what is inside."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docking.benchmark.statistics import wilson
from docking.figures.groups import UNKNOWN, grouped, labels, rows

edges = st.lists(st.integers(-5, 40), max_size=6, unique=True).map(sorted)
cases = st.lists(
    st.tuples(st.one_of(st.integers(-10, 50).map(float), st.just(math.nan)), st.booleans()),
    max_size=60,
)


@given(cases, edges)
def test_counts_add_up_to_all_and_hits_to_all_hits(pairs, where):
    values = np.array([value for value, _ in pairs], dtype=np.float64)
    hits = np.array([hit for _, hit in pairs], dtype=bool)
    found = grouped(values, hits, where, whole=True)
    assert sum(g.n for g in found) == len(pairs)
    assert sum(g.hits for g in found) == hits.sum()
    assert all(g.share == wilson(g.hits, g.n) for g in found if g.n)
    assert (UNKNOWN in [g.label for g in found]) == bool(np.isnan(values).any())
    assert len({g.label for g in found}) == len(found)
    assert len(rows("size", "one", found)) == len(found)


@given(st.integers(-10, 50), edges.filter(bool))
def test_a_value_is_where_its_label_says(value, where):
    found = grouped(np.array([float(value)]), np.array([True]), where, whole=True)
    (label,) = [g.label for g in found if g.n]
    if label.startswith("<"):
        assert value < where[0]
    elif label.startswith("≥"):
        assert value >= where[-1]
    else:
        inside = [a for a, b in itertools.pairwise(where) if a <= value < b]
        assert label.startswith(f"{inside[0]:g}")
        assert label == str(value) or label.endswith(str(next(b for b in where if b > value) - 1))


def test_labels_of_shares_name_their_ends():
    assert labels((0.3, 0.5, 0.9)) == ["< 0.3", "0.3-0.5", "0.5-0.9", "≥ 0.9"]
    assert labels((3, 4, 9), whole=True) == ["< 3", "3", "4-8", "≥ 9"]
    assert labels(()) == ["all"]


@given(st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_misses_mirrors_that_of_hits(pair):
    hits, n = pair
    one, other = wilson(hits, n), wilson(n - hits, n)
    assert math.isclose(one.low, 1 - other.high, abs_tol=1e-12)
    assert math.isclose(one.high, 1 - other.low, abs_tol=1e-12)
    if n:
        more = wilson(10 * hits, 10 * n)
        assert more.high - more.low < one.high - one.low


def test_refuses_nonsense():
    with pytest.raises(ValueError, match="edges must rise"):
        grouped(np.zeros(1), np.ones(1, dtype=bool), (1, 1))
