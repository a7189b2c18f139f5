"""Adaptive points follow the density that the papers state."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fields.domains import Ball, Box, r3, rad, rar_d, residual_density
from overparam.errors import InputError


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    st.floats(0, 4),
    st.floats(0, 3),
)
def test_density_has_mean_one(residual, k, c):
    r = torch.tensor(residual, dtype=torch.float64)
    density = residual_density(r, k=k, c=c)
    assert (density >= 0).all()
    assert float(density.mean()) == pytest.approx(1)
    # homogeneous: the unit of the residual does not matter
    torch.testing.assert_close(density, residual_density(-7 * r, k=k, c=c))


def test_density_integrates_to_one_over_a_domain():
    disc = Ball([1, 2], 0.7)
    x, weights = disc.quadrature(5000, dtype=torch.float64)
    residual = torch.sin(5 * x[:, 0]) * torch.exp(x[:, 1])
    density = residual_density(residual, k=2, c=0.5) / disc.volume
    assert float(density @ weights) == pytest.approx(1)


def test_density_is_the_formula():
    r = torch.tensor([0.0, 1.0, -3.0])
    expected = (r.abs() ** 2 / (r.abs() ** 2).mean() + 0.5) / 1.5
    torch.testing.assert_close(residual_density(r, k=2, c=0.5), expected)
    assert torch.equal(residual_density(torch.zeros(4)), torch.ones(4))
    assert torch.equal(residual_density(r, k=0, c=1), torch.ones(3))


@pytest.mark.parametrize(("k", "c"), [(1, 1), (2, 0), (0.5, 0.1)])
def test_chosen_points_have_the_density(k, c):
    """A small share of a large pool: choices are all but independent; chi-square at 1e-3."""
    pool = Box([0], [1]).interior(50_000, sampler="random", dtype=torch.float64)
    chosen = rad(pool, pool[:, 0] ** 2, 1000, k=k, c=c, generator=draws())
    assert len(chosen.unique(dim=0)) == 1000
    edges = torch.linspace(0, 1, 11, dtype=torch.float64)
    # |r|^k = x^(2k) has mean 1 / (2k + 1)
    share = (edges ** (2 * k + 1) + c * edges).diff() / (1 + c)
    counts = torch.histogram(chosen[:, 0], edges).hist
    enough = share * 1000 > 5
    pooled = [torch.cat([v[enough], v[~enough].sum()[None]]) for v in (counts, share * 1000)]
    keep = pooled[1] > 0.5
    seen, want = pooled[0][keep], pooled[1][keep]
    assert stats.chisquare(seen.numpy(), (want * seen.sum() / want.sum()).numpy()).pvalue > 1e-3


def test_choices_follow_the_generator_and_keep_the_type():
    pool, residual = torch.rand(100, 3), torch.rand(100)
    first, again = (rad(pool, residual, 10, generator=draws(3)) for _ in range(2))
    assert torch.equal(first, again) and first.dtype == torch.float32
    assert not torch.equal(first, rad(pool, residual, 10, generator=draws(4)))
    everything = rad(pool, residual, 100, generator=draws())
    assert torch.equal(everything.sort(0).values, pool.sort(0).values)


def test_points_without_residual_come_last():
    residual = torch.zeros(100)
    residual[:10] = 1
    pool = torch.arange(100.0)[:, None]
    assert set(rad(pool, residual, 10, c=0, generator=draws()).flatten().tolist()) == set(range(10))


def test_rar_d_adds_and_r3_replaces():
    points, pool = torch.rand(5, 2), torch.rand(50, 2) + 1
    grown = rar_d(points, pool, torch.rand(50), 7, generator=draws())
    assert torch.equal(grown[:5], points) and (grown[5:] >= 1).all() and len(grown) == 12
    residual = torch.tensor([0.0, 1.0, -9.0, 0.0, 1.0])
    kept = r3(points, residual, pool[:5])
    assert torch.equal(kept[2], points[2])
    assert torch.equal(kept[[0, 1, 3, 4]], pool[[0, 1, 3, 4]])


def test_nonsense_is_refused():
    pool = torch.rand(4, 1)
    for n in (0, 5):
        with pytest.raises(ValueError, match="between 1 and the 4"):
            rad(pool, torch.rand(4), n)
    bad = torch.tensor([1.0, float("nan"), 0.0, 0.0])
    for call in (lambda: rad(pool, bad, 2), lambda: r3(pool, bad, pool)):
        with pytest.raises(InputError, match="finite"):
            call()
    with pytest.raises(ValueError, match="negative"):
        residual_density(torch.rand(4), k=-1)
    with pytest.raises(ValueError, match="at least one"):
        residual_density(torch.empty(0))
