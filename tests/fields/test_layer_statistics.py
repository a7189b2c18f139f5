"""The statistics of sine layers are those the initialisation is made for, at every depth."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from fields import GaussianFourier, MLPField, Relu, Siren, layer_statistics


def after_a_sine(variance):
    """What W sends on: n Var(30 W) = 2, and sin N(0, v) has variance (1 - exp(-2 v)) / 2."""
    return 1 - math.exp(-2 * variance)


def arcsine_distance(variance):
    """Distance of sin N(0, v) from the arcsine law, over a fine grid of quantiles."""
    n = 200_000
    z = stats.norm.ppf((np.arange(n) + 0.5) / n) * math.sqrt(variance)
    return stats.kstest(np.sin(z), stats.arcsine(loc=-1, scale=2).cdf).statistic


def unbiased(**sizes):
    torch.manual_seed(0)
    field = Siren(1, 1, **sizes)
    for name, parameter in field.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    return field


def test_layers_follow_their_laws_over_depth():
    found = layer_statistics(unbiased(width=1024, depth=6), torch.rand(512, 1) * 2 - 1)
    # 1024 neurons on one line of points: a variance strays by a tenth, a distance by a hundredth
    variances = [one.std**2 for one in found]
    assert math.isclose(variances[1], 1, rel_tol=0.1)
    for below, above in itertools.pairwise(variances[1:]):
        assert math.isclose(above, after_a_sine(below), rel_tol=0.1)
    for one in found[1:]:
        assert one.ks_normal < 0.03
        assert abs(one.ks_arcsine - arcsine_distance(one.std**2)) < 0.01
    for one, above in itertools.pairwise(found[1:]):
        # E cos^2 of N(0, v) is (1 + exp(-2 v)) / 2
        growth = 1 + math.exp(-2 * one.std**2)
        ratio = (one.gradient_std / above.gradient_std) ** 2
        assert math.isclose(ratio, growth, rel_tol=0.1)


def test_a_shift_of_the_input_changes_nothing():
    field, x = unbiased(width=512, depth=4).double(), torch.rand(512, 1, dtype=torch.float64)
    for one, moved in zip(
        layer_statistics(field, x), layer_statistics(field, x + 1000), strict=True
    ):
        if one.std < 5:  # the first layer's arguments are shifted by up to 30,000
            assert math.isclose(one.std, moved.std, rel_tol=0.1)
            assert abs(one.ks_arcsine - moved.ks_arcsine) < 0.02


def test_torchs_biases_widen_arguments_by_their_own_variance():
    torch.manual_seed(0)
    width = 256
    found = layer_statistics(Siren(1, 1, width=width, depth=3), torch.rand(1000, 1) * 2 - 1)
    expected = math.sqrt(1 + 900 / (3 * width))
    assert math.isclose(found[1].std, expected, rel_tol=0.1)


def test_moments_and_gradients_are_those_of_plain_autograd_in_any_chunks():
    torch.manual_seed(0)
    field = Siren(2, 3, width=6, depth=2, encoding=GaussianFourier(2, features=4, sigma=1.0))
    field = field.double()
    x = torch.rand(40, 2, dtype=torch.float64)
    first, second = field.hidden
    s = first.argument(field.encode(x)).detach().requires_grad_()
    t = second.argument(torch.sin(s))
    y = field.readout(torch.sin(t)).sum()
    gradients = torch.autograd.grad(y, [s, t])
    for chunk in (None, 7):
        found = layer_statistics(field, x, chunk=chunk)
        for one, argument, gradient in zip(found, (s, t), gradients, strict=True):
            assert math.isclose(one.std, argument.square().mean().sqrt().item(), rel_tol=1e-6)
            assert math.isclose(
                one.gradient_std, gradient.square().mean().sqrt().item(), rel_tol=1e-6
            )
            assert len(one.arguments) == 240
            torch.testing.assert_close(one.outputs, torch.sin(one.arguments))


def test_distances_are_those_of_scipy():
    field = unbiased(width=64, depth=2)
    one = layer_statistics(field, torch.rand(50, 1))[1]
    expected = stats.kstest(one.arguments.double().numpy(), "norm").statistic
    assert math.isclose(one.ks_normal, expected, rel_tol=1e-9)
    law = stats.arcsine(loc=-1, scale=2)
    expected = stats.kstest(one.outputs.double().numpy(), law.cdf).statistic
    assert math.isclose(one.ks_arcsine, expected, rel_tol=1e-9)


@pytest.mark.parametrize("kept", [1, 100, 10**6])
def test_other_activations_and_fewer_values(kept):
    field = MLPField(2, 1, width=[5, 9], activation=Relu())
    found = layer_statistics(field, torch.rand(30, 2), kept=kept)
    assert len(found) == 2
    assert all(torch.isfinite(one.outputs).all() for one in found)
    assert len(found[1].arguments) <= max(kept, 1) + 270 // max(1, 270 // kept)
