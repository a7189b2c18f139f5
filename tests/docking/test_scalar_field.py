"""What a scalar field promises: values, steering and spectra agree."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.basis import GaussianShells, SolidGaussians
from docking.grid import Grid, HalfSphere
from docking.rotation import uniform_rotations
from docking.scalar_field import ScalarField

few = settings(deadline=None, max_examples=10)
seeds = st.integers(0, 2**31 - 1)


def draw_field(seed, *, points=3, channels=2, lmax=2, basis=None, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    basis = SolidGaussians((1.3, 1.7)) if basis is None else basis
    shape = (points, channels, basis.count, (lmax + 1) ** 2)
    coefficients = torch.randn(shape, generator=generator, dtype=torch.float64)
    positions = torch.randn(points, 3, generator=generator, dtype=torch.float64)
    return ScalarField(coefficients, spread * positions, basis)


@few
@given(seed=seeds, lmax=st.integers(0, 3), shells=st.booleans())
def test_steering_equals_reading_the_field_at_turned_points(seed, lmax, shells):
    field = draw_field(seed, lmax=lmax, basis=GaussianShells(3) if shells else None)
    generator = torch.Generator().manual_seed(seed)
    rotation = uniform_rotations(1, generator=generator)[0]
    x = 3 * torch.randn(10, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(field.rotated(rotation).values(x @ rotation.T), field.values(x))
    center = field.center
    turned = field.rotated(rotation, about=center)
    torch.testing.assert_close(turned.center, center)
    back = (x - center) @ rotation + center
    torch.testing.assert_close(turned.values(x), field.values(back))


@few
@given(seed=seeds)
def test_translation_moves_values(seed):
    field = draw_field(seed)
    t = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(field.translated(t).values(x + t), field.values(x))


@few
@given(seed=seeds, lmax=st.integers(0, 2))
def test_spectrum_is_the_fourier_transform_of_the_grid_values(seed, lmax):
    field = draw_field(seed, lmax=lmax).translated(torch.tensor([5.0, 1.0, -2.0]).double())
    # Fine enough for no aliasing, wide enough for no periodic images, at 1e-6.
    grid = Grid(36, 0.6, (5.0, 1.0, -2.0))
    sphere = HalfSphere(grid, 3.0)
    values = torch.fft.ifftshift(field.on_grid(grid), dim=(1, 2, 3))
    scale = grid.spacing**3 / (2 * math.pi) ** 1.5
    transform = torch.fft.fftn(values, dim=(1, 2, 3)) * scale
    x, y, z = sphere.index.remainder(grid.points).unbind(1)
    expected = transform[:, x, y, z]
    error = (field.spectrum(sphere) - expected).abs().max() / expected.abs().max()
    assert error < 1e-4


@few
@given(seed=seeds, shells=st.booleans())
def test_spectra_of_rotations_are_spectra_of_rotated_fields(seed, shells):
    field = draw_field(seed, lmax=3, basis=GaussianShells(3) if shells else None)
    sphere = HalfSphere(Grid(9, 1.0))
    rotations = uniform_rotations(2, generator=torch.Generator().manual_seed(seed))
    together = field.spectra(sphere, rotations)
    for i, rotation in enumerate(rotations):
        alone = field.rotated(rotation).spectra(sphere)[..., 0]
        torch.testing.assert_close(together[..., i], alone)
    with torch.no_grad():
        torch.testing.assert_close(field.spectra(sphere, rotations), together)


def test_spectra_are_differentiable():
    field = draw_field(0, points=2, channels=1, lmax=1)
    sphere = HalfSphere(Grid(4, 2.0))
    rotation = uniform_rotations(1, generator=torch.Generator().manual_seed(1))

    def transform(coefficients, positions, rotations):
        return ScalarField(coefficients, positions, field.basis).spectra(sphere, rotations)

    inputs = [t.clone().requires_grad_() for t in (field.coefficients, field.positions, rotation)]
    assert torch.autograd.gradcheck(transform, inputs)


def test_permuting_the_emitters_changes_nothing():
    field = draw_field(3, points=4)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = ScalarField(field.coefficients[order], field.positions[order], field.basis)
    sphere = HalfSphere(Grid(8, 1.0))
    torch.testing.assert_close(shuffled.spectra(sphere), field.spectra(sphere))


@pytest.mark.parametrize(
    "shapes", [((2, 1, 2, 3), (2, 3)), ((2, 1, 3, 4), (2, 3)), ((2, 1, 2, 4), (3, 3))]
)
def test_refuses_shapes_that_do_not_fit(shapes):
    coefficients, positions = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match="must be"):
        ScalarField(coefficients, positions, SolidGaussians())
