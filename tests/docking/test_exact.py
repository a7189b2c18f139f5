"""Compiled sums of final scores: the numbers of the differentiable forms, without a graph."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.harmonics import solid_harmonics
from docking.learned.pair_field import PairField
from docking.learned.splines import RadialSplines
from docking.physics import atom_terms
from docking.search.exact import monomials
from docking.terms import VINA, VINARDO
from docking.typing import VinaType

seeds = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=25)


@given(seeds, st.integers(1, 4), st.integers(1, 9), st.sampled_from([VINA, VINARDO]))
@few
def test_terms_are_those_of_the_differentiable_form(seed, poses, atoms, function):
    rng = np.random.default_rng(seed)
    x = torch.as_tensor(rng.normal(scale=4, size=(poses, atoms, 3)))
    y = torch.as_tensor(rng.normal(scale=6, size=(60, 3)))
    kinds = torch.as_tensor(rng.integers(-1, len(VinaType), atoms))
    y_kinds = torch.as_tensor(rng.integers(-1, len(VinaType), 60))
    fast = atom_terms(x, kinds, y, y_kinds, function=function)
    slow = atom_terms(x.clone().requires_grad_(), kinds, y, y_kinds, function=function)
    # without an atom of a type nothing depends on the poses
    assert slow.requires_grad == bool((kinds >= 0).any()) and not fast.requires_grad
    torch.testing.assert_close(fast, slow.detach(), rtol=1e-9, atol=1e-12)


@given(seeds, st.integers(0, 3), st.integers(1, 5), st.integers(1, 8))
@few
def test_field_is_that_of_the_differentiable_form(seed, lmax, channels, radial):
    generator = torch.Generator().manual_seed(seed)
    field = PairField(
        torch.randn(30, channels, radial, (lmax + 1) ** 2, generator=generator),
        4 * torch.randn(30, 3, generator=generator),
        RadialSplines(radial, 1.0, 6.0),
    )
    A = torch.randn(4, channels, generator=generator)
    x = 3 * torch.randn(3, 4, 3, generator=generator)
    fast = field.scores(A, x)
    slow = field.scores(A, x.clone().requires_grad_())
    assert slow.requires_grad and not fast.requires_grad
    # single precision on one side
    scale = slow.detach().abs().max().clamp(min=1.0).item()
    torch.testing.assert_close(fast, slow.detach(), rtol=1e-3, atol=2e-5 * scale * radial)


@pytest.mark.parametrize("lmax", [0, 1, 2, 3])
def test_harmonics_are_polynomials_of_the_direction(lmax):
    table, exponents = monomials(lmax)
    points = np.random.default_rng(lmax + 1).normal(size=(50, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    made = (points[:, None] ** exponents).prod(-1) @ table.T
    wanted = solid_harmonics(torch.as_tensor(points), lmax).numpy() * (4 * np.pi) ** 0.5
    np.testing.assert_allclose(made, wanted, atol=1e-12)
