"""What real harmonics and the matrices that turn them promise, at any degree."""

import math

import pytest
import torch
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.harmonics import (
    axial_products,
    degrees,
    euler_angles,
    euler_matrix,
    quarter_turn,
    real_harmonics,
    solid_harmonics,
    sphere_quadrature,
    wigner_d,
    wigner_d_euler,
)
from docking.rotation import uniform_rotations

few = settings(deadline=None, max_examples=10)
seeds = st.integers(0, 2**31 - 1)


def draw(seed, count=6):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return uniform_rotations(3, generator=generator), x


@few
@given(seed=seeds, lmax=st.integers(0, 8))
def test_harmonics_are_e3nns(seed, lmax):
    _, x = draw(seed)
    expected = o3.spherical_harmonics(list(range(lmax + 1)), x, True, "integral")
    torch.testing.assert_close(real_harmonics(x, lmax), expected)


@pytest.mark.parametrize("lmax", [3, 12, 25])
def test_harmonics_are_orthonormal(lmax):
    points, weights = sphere_quadrature(2 * lmax)
    y = real_harmonics(points, lmax)
    gram = y.T @ (y * weights[:, None])
    torch.testing.assert_close(gram, torch.eye(len(gram)).double(), atol=1e-11, rtol=0)


@few
@given(seed=seeds, scale=st.floats(0.1, 5.0))
def test_solid_harmonics_are_homogeneous_and_smooth_at_zero(seed, scale):
    _, x = draw(seed)
    power = scale ** torch.tensor(degrees(4)).double()
    torch.testing.assert_close(solid_harmonics(scale * x, 4), power * solid_harmonics(x, 4))
    origin = torch.zeros(3, dtype=torch.float64)
    assert torch.isfinite(torch.func.jacrev(lambda v: solid_harmonics(v, 4))(origin)).all()


@few
@given(seed=seeds, lmax=st.integers(0, 5))
def test_wigner_matrices_steer_harmonics(seed, lmax):
    rotation, x = draw(seed)
    blocks = wigner_d(rotation, lmax)
    turned = real_harmonics(x @ rotation.mT, lmax)
    for degree, block in enumerate(blocks):
        part = slice(degree**2, (degree + 1) ** 2)
        torch.testing.assert_close(turned[..., part], real_harmonics(x, lmax)[..., part] @ block.mT)
        # e3nn's own matrices go through matrix exponentials good to about 1e-6.
        reference = o3.Irrep(degree, 1).D_from_matrix(rotation)
        torch.testing.assert_close(block, reference, atol=2e-5, rtol=0)


@few
@given(seed=seeds, degree=st.integers(0, 20))
def test_phases_and_quarter_turns_give_the_same_matrices(seed, degree):
    rotation, x = draw(seed, 4)
    angles = euler_angles(rotation)
    torch.testing.assert_close(euler_matrix(*angles), rotation)
    matrix = wigner_d_euler(*angles, degree)
    part = slice(degree**2, (degree + 1) ** 2)
    turned = real_harmonics(x @ rotation.mT, degree)[..., part]
    expected = real_harmonics(x, degree)[..., part] @ matrix.mT
    torch.testing.assert_close(turned, expected, atol=1e-10, rtol=0)
    quarter = quarter_turn(degree)
    identity = torch.eye(2 * degree + 1).double()
    torch.testing.assert_close(quarter @ quarter.T, identity, atol=1e-11, rtol=0)


def test_poles_of_the_euler_angles_are_harmless():
    eye = torch.eye(3, dtype=torch.float64)
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    both = torch.stack([eye, flip])
    torch.testing.assert_close(euler_matrix(*euler_angles(both)), both)


def test_wigner_matrices_are_differentiable_at_the_identity():
    eye = torch.eye(3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda r: tuple(wigner_d(r, 3)), eye.requires_grad_())


def test_axial_products_are_integrals_of_three_harmonics():
    lmax, l_field = 4, 2
    points, weights = sphere_quadrature(2 * (lmax + l_field))
    y = real_harmonics(points, lmax + l_field)
    table = axial_products(lmax, l_field)
    for p in range(lmax + l_field + 1):
        for big in range(lmax + 1):
            for small in range(l_field + 1):
                for m in range(-min(small, big), min(small, big) + 1):
                    three = (
                        y[:, p * p + p]
                        * y[:, big * big + big + m]
                        * y[:, small * small + small + m]
                    )
                    exact = float((three * weights).sum())
                    assert math.isclose(table[p, big, small, abs(m)], exact, abs_tol=1e-12)
    axial_y = y[:, [p * p + p for p in range(4)]]
    mixed = (axial_y * (y[:, 1] * y[:, 3] * weights)[:, None]).sum(0)
    assert mixed.abs().max() < 1e-12  # orders that differ do not couple


def test_refuses_a_negative_degree():
    with pytest.raises(ValueError, match="lmax must be"):
        solid_harmonics(torch.zeros(3), -1)
