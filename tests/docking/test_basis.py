"""What every radial basis promises; a new one is a row of ``BASES``."""

import math

import numpy as np
import pytest
import torch
from scipy.special import spherical_jn

from docking.basis import GaussianShells, SolidGaussians

BASES = [GaussianShells(), GaussianShells(3, 4.0), SolidGaussians(), SolidGaussians((1.5,))]
LMAX = 3


@pytest.mark.parametrize("basis", BASES, ids=repr)
def test_transform_is_the_hankel_integral(basis):
    r = torch.linspace(0, 20, 4001, dtype=torch.float64)
    k = torch.tensor([0.0, 0.3, 1.1, 2.5], dtype=torch.float64)
    values = basis.values(r, LMAX).numpy()
    for degree in range(LMAX + 1):
        kernel = spherical_jn(degree, k.numpy()[:, None] * r.numpy()) * r.numpy() ** 2
        integral = np.trapezoid(
            kernel[:, :, None] * values[None, :, :, degree], dx=20 / 4000, axis=1
        )
        expected = torch.from_numpy(math.sqrt(2 / math.pi) * integral)
        torch.testing.assert_close(
            basis.transform(k, LMAX)[..., degree], expected, atol=2e-6, rtol=0
        )


@pytest.mark.parametrize("basis", BASES, ids=repr)
def test_functions_vanish_beyond_reach(basis):
    near = basis.values(torch.linspace(0, basis.reach, 500, dtype=torch.float64), LMAX)
    far = basis.values(torch.tensor([basis.reach], dtype=torch.float64), LMAX)
    assert (far[0] <= 2e-6 * near.amax(0)).all()
    assert near.shape == (500, basis.count, LMAX + 1)


def test_reference_shells_have_the_published_form():
    basis = GaussianShells(5, 5.0)
    value = basis.values(torch.tensor(2.0, dtype=torch.float64), 0)[3, 0]
    assert math.isclose(value, math.exp(-(((2.0 - 3.75) / 1.25) ** 2)) / 1.12)


def test_solid_gaussians_have_unit_norm_and_no_aliasing():
    basis = SolidGaussians((1.3, 2.0))
    r = torch.linspace(0, 25, 5001, dtype=torch.float64)
    norm = (basis.values(r, 4) ** 2 * r[:, None, None] ** 2).sum(0) * 25 / 5000
    torch.testing.assert_close(norm, torch.ones(2, 5).double(), atol=1e-6, rtol=0)
    k = torch.linspace(math.pi, 12, 2001, dtype=torch.float64)
    beyond = (basis.transform(k, 4) ** 2 * k[:, None, None] ** 2).sum(0) * (12 - math.pi) / 2000
    assert beyond[0, :4].max() < 1e-3
    assert beyond[1].max() < 1e-9


@pytest.mark.parametrize(
    "call",
    [
        lambda: GaussianShells(1),
        lambda: GaussianShells(5, 0.0),
        lambda: SolidGaussians(()),
        lambda: SolidGaussians((1.0, -1.0)),
    ],
)
def test_refuses_nonsense(call):
    with pytest.raises(ValueError, match="must be"):
        call()
