"""Finite differences are exact on the polynomials they are made for."""

import torch

from fields.image import pixel_extent, pixel_grid
from fields.stencil import five_point, sobel


def picture(function, rows=9, columns=14, aspect=False):
    extent = pixel_extent(rows, columns, aspect=aspect)
    x = pixel_grid(rows, columns, extent).double()
    return function(x[:, 0], x[:, 1]).view(rows, columns, 1), x, extent


def inner(values):
    return values[1:-1, 1:-1]


def test_slopes_of_a_plane():
    for aspect in (False, True):
        values, _, extent = picture(lambda r, c: 3 * r - 5 * c + 1, aspect=aspect)
        slopes = inner(sobel(values, extent))
        expected = torch.tensor([3.0, -5.0]).double().expand_as(slopes)
        torch.testing.assert_close(slopes, expected, rtol=1e-5, atol=1e-5)


def test_laplacian_of_a_paraboloid():
    values, _, extent = picture(lambda r, c: 2 * r**2 - 3 * c**2 + r * c)
    bends = inner(five_point(values, extent))
    # coordinates are single precision, and divided by the square of a step of 0.15
    torch.testing.assert_close(bends, torch.full_like(bends, -2.0), rtol=1e-4, atol=1e-4)


def test_an_axis_of_one_pixel_has_no_slope():
    values, _, extent = picture(lambda r, c: c**2, rows=1)
    assert not sobel(values, extent)[..., 0].any()
    assert torch.isfinite(five_point(values, extent)).all()
