"""What a sine layer promises, whatever its size."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fields import SineLayer, Siren

widths = st.integers(1, 32)
omegas = st.floats(0.1, 60.0)
quick = settings(deadline=None, max_examples=30)


@quick
@given(d_in=widths, d_out=widths, omega=omegas, batch=st.lists(st.integers(1, 3), max_size=3))
def test_any_leading_axes_and_bounded_values(d_in, d_out, omega, batch):
    y = SineLayer(d_in, d_out, omega=omega)(torch.randn(*batch, d_in))
    assert y.shape == (*batch, d_out)
    assert y.abs().max() <= 1


@quick
@given(d_in=widths, omega=omegas)
def test_jacobian_matches_the_chain_rule(d_in, omega):
    layer = SineLayer(d_in, 3, omega=omega).double()
    x = torch.randn(d_in, dtype=torch.float64)
    slope = omega * torch.cos(omega * layer.affine(x))
    torch.testing.assert_close(torch.func.jacrev(layer)(x), slope[:, None] * layer.affine.weight)


@pytest.mark.parametrize("depth", [2, 5, 10])
def test_initialisation_keeps_preactivation_variance(depth):
    torch.manual_seed(depth)
    net = Siren(2, 1, width=512, depth=depth)
    *before, last = net.hidden
    x = torch.rand(2048, 2) * 2 - 1
    with torch.no_grad():
        for layer in before:
            x = layer(x)
        variance = (last.omega * x @ last.affine.weight.T).var().item()
    assert math.isclose(variance, 1.0, rel_tol=0.1)


@pytest.mark.parametrize("bad", [{"in_features": 0}, {"out_features": 0}, {"omega": 0.0}])
def test_rejects_senseless_sizes(bad):
    with pytest.raises(ValueError, match="must be"):
        SineLayer(**({"in_features": 2, "out_features": 2} | bad))


def test_size_is_that_of_its_affine_maps():
    assert sum(p.numel() for p in Siren(2, 1, width=256, depth=4).parameters()) == 198_401


def test_first_and_hidden_frequencies_are_separate():
    field = Siren(2, 1, width=8, depth=3, omega=20.0, first_omega=60.0)
    assert [layer.omega for layer in field.hidden] == [60.0, 20.0, 20.0]
    assert [layer.is_first for layer in field.hidden] == [True, False, False]


@quick
@given(omega=omegas, seed=st.integers(0, 100))
def test_training_the_folded_form_is_training_the_plain_form(omega, seed):
    torch.manual_seed(seed)
    layer = SineLayer(3, 4, omega=omega).double()
    x = torch.rand(5, 3, dtype=torch.float64)

    def gradients(y):
        return torch.autograd.grad(y.square().sum(), list(layer.parameters()))

    plain = torch.sin(omega * layer.affine(x))
    for ours, theirs in zip(gradients(layer(x)), gradients(plain), strict=True):
        torch.testing.assert_close(ours, theirs)
