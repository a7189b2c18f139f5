"""Every activation's derivatives are its own, and every initialisation keeps its law."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fields import Finer, Gauss, MLPField, Relu, Sine, Siren, Softplus, Tanh, Wire

ACTIVATIONS = [
    Sine(30.0),
    Sine(1.5),
    Finer(30.0, k=5.0),
    Finer(2.0, k=10.0),
    Gauss(10.0),
    Gauss(0.7),
    Wire(20.0, 10.0),
    Wire(3.0, 0.5),
    Relu(),
    Tanh(),
    Softplus(),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@given(z=st.lists(st.floats(-3, 3), min_size=1, max_size=8))
@settings(deadline=None, max_examples=30)
def test_derivatives_match_automatic_differentiation(activation, z):
    z = torch.tensor(z, dtype=torch.float64)
    z = torch.where(z.abs() < 1e-6, 0.5, z)  # kinks of relu and finer have one-sided slopes
    z.requires_grad_()
    y = activation(z)
    (slope,) = torch.autograd.grad(y.sum(), z, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), z, materialize_grads=True)
    # frequencies up to 30 squared: relative to the largest curvature, about 1e3
    for ours, theirs in zip(activation.derivatives(z), (y, slope, bend), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@given(s=st.lists(st.floats(-3, 3), min_size=1, max_size=8))
@settings(deadline=None, max_examples=30)
def test_the_third_derivative_is_that_of_the_second(activation, s):
    s = torch.tensor(s, dtype=torch.float64)
    s = torch.where(s.abs() < 1e-6, 0.5, s).requires_grad_()
    f, slope, bend = activation.shape_derivatives(s)
    (theirs,) = torch.autograd.grad((bend + 0 * s).sum(), s)
    ours = activation.shape_third(s, f, slope, bend)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_the_folded_factor_changes_nothing(activation):
    z = torch.linspace(-2, 2, 101, dtype=torch.float64)
    torch.testing.assert_close(activation(z), activation.shape(activation.factor * z))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Sine(0.0),
        lambda: Sine(math.nan),
        lambda: Finer(k=-1.0),
        lambda: Gauss(math.inf),
        lambda: Wire(scale=0.0),
        lambda: Wire(omega=-3.0),
    ],
)
def test_rejects_senseless_constants(wrong):
    with pytest.raises(ValueError, match="must be positive"):
        wrong()


def unbiased(field):
    for layer in field.hidden:
        nn.init.zeros_(layer.affine.bias)
    return field


def distance(values, law):
    """Kolmogorov-Smirnov distance between values and a cumulative distribution."""
    exact = law(values.flatten().double().sort().values)
    n = len(exact)
    return max((exact - torch.arange(n) / n).max(), (torch.arange(1, n + 1) / n - exact).max())


def arcsine(value):
    return 0.5 + torch.asin(value.clamp(-1, 1)) / math.pi


def test_sine_layers_see_normal_arguments_of_unit_variance():
    torch.manual_seed(0)
    field = unbiased(Siren(2, 1, width=1024, depth=4))
    first, *rest = field.hidden
    with torch.no_grad():
        h = first(torch.rand(1024, 2) * 2 - 1)
        assert distance(h, arcsine) < 0.02
        variance = 1.0  # of omega W h with W ~ U(±sqrt(6/n)/omega) and h of variance 1/2
        for layer in rest:
            z, h = layer.argument(h), layer(h)
            assert 0.9 <= z.std() <= 1.1
            # A sine of a normal argument is arcsine only nearly (0.043 away at unit variance); its
            # variance is (1 - exp(-2 v)) / 2, and the next argument's is twice that.
            assert math.isclose(z.var().item(), variance, rel_tol=0.05)
            assert distance(z / z.std(), torch.special.ndtr) < 0.02
            assert distance(h, arcsine) < 0.07
            variance = 1 - math.exp(-2 * variance)


def test_gradients_grow_by_the_known_small_factor_per_layer():
    torch.manual_seed(0)
    field = unbiased(Siren(2, 1, width=1024, depth=6))
    h = field.hidden[0](torch.rand(512, 2) * 2 - 1)
    arguments, seen = [], []
    for layer in field.hidden[1:]:
        arguments.append(layer.argument(h).var().item())
        h = layer(h)
        h.retain_grad()
        seen.append(h)
    field.readout(h).sum().backward()
    for lower, upper, variance in zip(seen, seen[1:], arguments[1:], strict=False):
        # through omega cos(z) and W of variance 2 / (n omega^2): 2 E cos^2 = 1 + exp(-2 v)
        growth = (lower.grad.var() / upper.grad.var()).item()
        assert math.isclose(growth, 1 + math.exp(-2 * variance), rel_tol=0.1)


def test_sine_initialisation_is_the_papers_uniform_law():
    torch.manual_seed(0)
    field = Siren(3, 2, width=400, depth=3, omega=20.0)
    first, second, _ = field.hidden
    for weight, bound in (
        (first.affine.weight, 1 / 3),
        (second.affine.weight, math.sqrt(6 / 400) / 20),
        (field.readout.weight, math.sqrt(6 / 400) / 20),
    ):
        assert weight.abs().max() <= bound
        # the standard deviation of U(±b) is b / sqrt(3); 800 draws know it to 2 %
        assert math.isclose(weight.std().item(), bound / math.sqrt(3), rel_tol=0.1)
    assert first.affine.bias.abs().max() <= 1 / math.sqrt(3)
    assert first.affine.bias.abs().max() > 0.5 / math.sqrt(3)


def test_finer_spreads_its_first_bias_alone():
    torch.manual_seed(0)
    field = MLPField(2, 1, width=256, depth=2, activation=Finer(k=8.0))
    assert 7 < field.hidden[0].affine.bias.abs().max() <= 8
    assert field.hidden[1].affine.bias.abs().max() <= 1 / 16
