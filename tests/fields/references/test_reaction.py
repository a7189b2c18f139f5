"""Diffusion and reaction: the linear part in closed form, the stoichiometry as a law."""

import numpy as np
import pytest

from fields.references import reaction


def test_reaction_without_reaction_is_the_heat_equation():
    """Sine series of the difference to the steady line."""
    reference = reaction(0.02, 0.0, x=21, t=21, final=2.0)
    x, t = reference.points.T
    n = np.arange(1, 400)[:, None]
    e = np.exp(-20)
    # sine coefficients of exp(-20 x) - (1 - x)
    first = 2 * n * np.pi * (1 - e * (-1.0) ** n) / (400 + (n * np.pi) ** 2) - 2 / (n * np.pi)
    series = (first * np.sin(n * np.pi * x) * np.exp(-0.02 * (n * np.pi) ** 2 * t)).sum(0)
    later = t > 0.1
    for component in range(2):
        gap = np.abs(reference.values[:, component] - (1 - x + series))[later]
        assert gap.max() < 1e-7


def test_reaction_uses_two_for_one():
    """Without walls' influence ``2 a - b`` only diffuses: it equals the heat solution ``a0``."""
    reference = reaction(x=21, t=21)
    heat = reaction(rate=0.0, x=21, t=21)
    combined = 2 * reference.values[:, 0] - reference.values[:, 1]
    np.testing.assert_allclose(combined, heat.values[:, 0], atol=1e-7)
    assert reference.error_estimate < 1e-4
    with pytest.raises(ValueError, match="positive"):
        reaction(-1.0)
    with pytest.raises(ValueError, match="degree"):
        reaction(degree=2)
