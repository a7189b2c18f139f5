"""Derivatives agree with closed forms, with the chain rule and with each other."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fields import (
    Finer,
    Gauss,
    GaussianFourier,
    MLPField,
    Relu,
    Siren,
    Softplus,
    Tanh,
    Wire,
    divergence,
    gradient,
    hessian,
    jacobian,
    laplacian,
)

quick = settings(deadline=None, max_examples=15)


@quick
@given(d=st.integers(1, 4), c=st.integers(1, 3), chunk=st.integers(1, 9), seed=st.integers(0, 99))
def test_agree_with_full_jacobians_and_hessians(d, c, chunk, seed):
    torch.manual_seed(seed)
    field = Siren(d, c, width=6, depth=3, omega=5.0).double()
    x = torch.rand(5, d, dtype=torch.float64)
    jacobians = torch.stack([torch.func.jacrev(field)(point) for point in x])
    torch.testing.assert_close(gradient(field, x, chunk=chunk), jacobians)
    hessians = torch.stack([torch.func.jacfwd(torch.func.jacrev(field))(point) for point in x])
    traces = hessians.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(laplacian(field, x, chunk=chunk), traces)
    torch.testing.assert_close(hessian(field, x, chunk=chunk), hessians)
    torch.testing.assert_close(jacobian(field, x, chunk=chunk), jacobians)


@quick
@given(d=st.integers(1, 4), foreign=st.booleans())
def test_divergence_of_the_gradient_is_the_laplacian(d, foreign):
    field = Siren(d, 1, width=6, depth=2, omega=5.0).double()
    x = torch.rand(2, 3, d, dtype=torch.float64)
    vector = Siren(d, d, width=6, depth=2).double()
    module = (lambda p: vector(p)) if foreign else vector
    traces = gradient(vector, x).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(divergence(module, x), traces)
    slopes = divergence(lambda p: gradient(field, p, create_graph=True)[..., 0, :], x)
    torch.testing.assert_close(slopes, laplacian(field, x)[..., 0])


def test_divergence_takes_vector_fields():
    with pytest.raises(ValueError, match="as many components as coordinates, got 2 and 3"):
        divergence(Siren(3, 2, width=4, depth=1), torch.rand(5, 3))


def test_hessians_are_symmetric_and_their_trace_is_the_laplacian():
    field = Siren(3, 2, width=6, depth=2).double()
    x = torch.rand(5, 3, dtype=torch.float64)
    full = hessian(field, x)
    assert torch.equal(full, full.mT)
    torch.testing.assert_close(full.diagonal(dim1=-2, dim2=-1).sum(-1), laplacian(field, x))


ACTIVATIONS = [Finer(3.0), Gauss(2.0), Wire(3.0, 1.0), Tanh(), Softplus()]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_one_layer_has_the_chain_rules_derivatives(activation):
    torch.manual_seed(0)
    field = MLPField(2, 1, width=6, depth=1, activation=activation).double()
    x = torch.rand(7, 2, dtype=torch.float64)
    weight = field.hidden[0].affine.weight
    _, slope, bend = activation.derivatives(field.hidden[0].affine(x))
    out = field.readout.weight[0]
    torch.testing.assert_close(gradient(field, x)[:, 0], (slope * out) @ weight)
    exact = (bend * out * weight.square().sum(1)).sum(-1, keepdim=True)
    torch.testing.assert_close(laplacian(field, x), exact)


def test_fields_with_known_derivatives():
    x = torch.rand(3, 4, 3, dtype=torch.float64)
    wave = nn.Module()
    wave.forward = lambda p: torch.sin(p * math.pi).prod(-1, keepdim=True)
    values = wave(x)
    torch.testing.assert_close(laplacian(wave, x), -3 * math.pi**2 * values)
    square = nn.Module()
    square.forward = lambda p: p.square().sum(-1, keepdim=True)
    torch.testing.assert_close(gradient(square, x), 2 * x[..., None, :])
    torch.testing.assert_close(laplacian(square, x), torch.full_like(values, 6.0))


def test_piecewise_linear_and_linear_fields_have_no_curvature():
    x = torch.rand(5, 2)
    for field in (MLPField(2, 3, width=4, activation=Relu()), nn.Linear(2, 3)):
        assert laplacian(field, x).shape == (5, 3)
        assert not laplacian(field, x).any()


def test_linearity_of_the_operators():
    f, g = (Siren(2, 1, width=5, depth=2).double() for _ in range(2))
    x = torch.rand(6, 2, dtype=torch.float64)
    both = nn.Module()
    both.forward = lambda p: 2 * f(p) - 3 * g(p)
    for operator in (gradient, laplacian, hessian):
        ours = operator(both, x)
        torch.testing.assert_close(ours, 2 * operator(f, x) - 3 * operator(g, x))


@pytest.mark.parametrize("operator", [gradient, laplacian, hessian])
def test_a_graph_is_made_only_on_demand_and_is_right(operator):
    field = Siren(2, 1, width=5, depth=2, omega=3.0).double()
    x = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    assert not operator(field, x).requires_grad
    weight = field.hidden[0].affine.weight

    total = operator(field, x, create_graph=True, chunk=3).square().sum()
    in_weight, in_x = torch.autograd.grad(total, [weight, x])

    def numeric(tensor, index, h=1e-5):
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor[index] += sign * h
            sides.append(operator(field, x).square().sum().item())
            with torch.no_grad():
                tensor[index] -= sign * h
        return (sides[0] - sides[1]) / (2 * h)

    assert math.isclose(in_weight[1, 0].item(), numeric(weight, (1, 0)), rel_tol=1e-5)
    assert math.isclose(in_x[2, 1].item(), numeric(x, (2, 1)), rel_tol=1e-5)


def test_works_inside_inference_mode():
    field = Siren(2, 1, width=5, depth=2, encoding=GaussianFourier(2, features=3, sigma=1.0))
    x = torch.rand(4, 2)
    expected = gradient(field, x), laplacian(field, x)
    with torch.inference_mode():
        torch.testing.assert_close(gradient(field, x.clone()), expected[0])
        torch.testing.assert_close(laplacian(field, x.clone()), expected[1])


def test_a_single_point_has_no_batch_axis():
    field = Siren(3, 2, width=4, depth=1)
    assert gradient(field, torch.rand(3)).shape == (2, 3)
    assert laplacian(field, torch.rand(3)).shape == (2,)
