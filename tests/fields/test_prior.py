"""Priors are their formulas, weighted, differentiable in the field, and never NaN."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fields import HessianPrior, MLPField, Relu, Siren, TotalVariation
from overparam.recipe import build, recipe

PRIORS = [TotalVariation, HessianPrior]


@settings(deadline=None, max_examples=10)
@given(d=st.integers(1, 3), c=st.integers(1, 3), weight=st.floats(0.1, 9))
def test_their_formulas(d, c, weight):
    torch.manual_seed(0)
    field = Siren(d, c, width=5, depth=2, omega=3.0).double()
    x = torch.rand(4, d, dtype=torch.float64)
    slopes = torch.stack([torch.func.jacrev(field)(point) for point in x])
    expected = weight * slopes.abs().mean()
    torch.testing.assert_close(TotalVariation(weight)(field, x), expected)
    bends = torch.stack([torch.func.hessian(field)(point) for point in x])
    expected = weight * bends.square().sum((-1, -2)).sqrt().mean()
    torch.testing.assert_close(HessianPrior(weight)(field, x), expected)


@pytest.mark.parametrize("prior", PRIORS)
def test_their_slope_in_a_weight_is_that_of_finite_differences(prior):
    torch.manual_seed(0)
    field = Siren(2, 1, width=5, depth=2, omega=3.0).double()
    x = torch.rand(6, 2, dtype=torch.float64)
    weight = field.hidden[0].affine.weight
    (slope,) = torch.autograd.grad(prior()(field, x), [weight])
    sides = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            weight[1, 0] += step
        sides.append(prior()(field, x).item())
    assert math.isclose(slope[1, 0].item(), (sides[0] - sides[1]) / 2e-6, rel_tol=1e-5)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("field", [nn.Linear(2, 1), MLPField(2, 1, width=4, activation=Relu())])
def test_straight_fields_have_finite_slopes(prior, field):
    value = prior()(field, torch.rand(5, 2))
    if prior is HessianPrior:
        assert value < 1e-6
    if value.requires_grad:
        found = torch.autograd.grad(value, list(field.parameters()), allow_unused=True)
        assert all(torch.isfinite(one).all() for one in found if one is not None)


@pytest.mark.parametrize("prior", PRIORS)
def test_rebuild_from_their_recipes(prior):
    again = build(recipe(prior(0.25)))
    assert type(again) is prior
    assert again.weight == 0.25
    assert repr(again) == f"{prior.__name__}(weight=0.25)"


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_rejects_senseless_weights(weight):
    with pytest.raises(ValueError, match="weight must be positive"):
        TotalVariation(weight)
