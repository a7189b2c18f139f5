"""Streams of the unit cube are uniform, reproducible and as even as they promise."""

import pytest
import torch
from scipy import stats

from fields.domains import SAMPLERS, UnitStream, gauss_legendre
from overparam.errors import InputError

every = pytest.mark.parametrize("kind", SAMPLERS)


@every
def test_points_lie_strictly_inside_and_follow_from_the_seed(kind):
    first, again, other = (UnitStream(kind, 3, seed=s).take(1000) for s in (5, 5, 6))
    assert first.dtype == torch.float64 and first.shape == (1000, 3)
    assert (first > 0).all() and (first < 1).all()
    assert torch.equal(first, again) and not torch.equal(first, other)


@every
def test_a_stream_goes_on(kind):
    stream = UnitStream(kind, 2, seed=1)
    rows = torch.cat([stream.take(100), stream.take(156)])
    assert len(rows.unique(dim=0)) == 256
    if kind != "lhs":
        assert torch.equal(rows, UnitStream(kind, 2, seed=1).take(256))


@every
def test_single_points_are_uniform_over_seeds(kind):
    """Randomisation makes each point uniform by itself: chi-square at level 1e-3, fixed seeds."""
    x = torch.cat([UnitStream(kind, 2, seed=s).take(1) for s in range(600)])
    cells = (x * 4).long()
    counts = torch.bincount(cells[:, 0] * 4 + cells[:, 1], minlength=16)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_random_points_are_uniform():
    x = UnitStream("random", 2, seed=2).take(20_000)
    cells = (x * 10).long()
    counts = torch.bincount(cells[:, 0] * 10 + cells[:, 1], minlength=100)
    assert 1e-3 < stats.chisquare(counts.numpy()).pvalue < 1 - 1e-3


def test_sobol_points_stratify():
    """A power of two of them: every dyadic interval of every axis holds exactly one."""
    x = UnitStream("sobol", 4, seed=3).take(256)
    for axis in range(4):
        assert torch.equal((x[:, axis] * 256).long().sort().values, torch.arange(256))
    cells = (x[:, :2] * 16).long()
    assert (torch.bincount(cells[:, 0] * 16 + cells[:, 1], minlength=256) == 1).all()


def test_hypercubes_stratify():
    x = UnitStream("lhs", 5, seed=3).take(100)
    for axis in range(5):
        assert torch.equal((x[:, axis] * 100).long().sort().values, torch.arange(100))


@pytest.mark.parametrize("kind", ["sobol", "halton"])
def test_quasi_random_means_converge_faster_than_random_ones(kind):
    def error(sampler):
        means = [UnitStream(sampler, 3, seed=s).take(2**11).prod(-1).mean() for s in range(5)]
        return (torch.stack(means) - 1 / 8).abs().mean()

    assert error(kind) < error("random") / 5


@pytest.mark.parametrize("order", [1, 2, 5, 64, 128])
def test_gauss_rule_is_exact_for_its_degree(order):
    lower, upper = torch.tensor([-1.0, 2.0]), torch.tensor([2.0, 2.5])
    x, weights = gauss_legendre(lower, upper, order)
    assert len(x) == order**2 and (weights > 0).all()
    # powers about the corner, scaled to 1 there, so that rounding does not speak
    degree = min(2 * order - 1, 127)
    t = (x - lower) / (upper - lower)
    for p, q in ((0, 0), (degree, 0), (degree, degree), (1, degree)):
        exact = 1.5 / (p + 1) / (q + 1)
        assert float((t[:, 0] ** p * t[:, 1] ** q) @ weights) == pytest.approx(exact, rel=1e-11)


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="must be one of sobol"):
        UnitStream("mersenne", 2)
    with pytest.raises(ValueError, match="dim"):
        UnitStream("sobol", 0)
    with pytest.raises(ValueError, match="at least 1"):
        UnitStream("sobol", 1).take(0)
    with pytest.raises(ValueError, match="order"):
        gauss_legendre(torch.zeros(1), torch.ones(1), 0)
