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
    assert not sobel(values, extent, "extrapolate")[..., 0].any()
    assert torch.isfinite(five_point(values, extent, "extrapolate")).all()


def test_extrapolation_is_exact_on_quadratic_pictures_up_to_the_border():
    for rows, columns in ((3, 3), (9, 14), (4, 30)):
        values, x, extent = picture(lambda r, c: 2 * r**2 - 3 * c**2 + r * c + r, rows, columns)
        r, c = x.T
        slopes = torch.stack([4 * r + c + 1, -6 * c + r], dim=-1).view(rows, columns, 1, 2)
        # coordinates are single precision, and divided by a step, or its square, of 0.07 and more
        ours = sobel(values, extent, "extrapolate")
        torch.testing.assert_close(ours, slopes, rtol=1e-4, atol=1e-4)
        bends = five_point(values, extent, "extrapolate")
        torch.testing.assert_close(bends, torch.full_like(bends, -2.0), rtol=1e-3, atol=1e-3)


def test_two_pixels_have_a_slope_and_no_bend():
    values, _, extent = picture(lambda r, c: 3 * r - 5 * c, rows=2, columns=2)
    slopes = sobel(values, extent, "extrapolate")
    torch.testing.assert_close(slopes, torch.tensor([3.0, -5.0]).double().expand_as(slopes))
    assert not five_point(values, extent, "extrapolate").abs().max() > 1e-12


def test_inside_the_border_both_edges_agree():
    values = torch.rand(7, 8, 2)
    extent = pixel_extent(7, 8)
    for finite in (sobel, five_point):
        one, other = finite(values, extent), finite(values, extent, "extrapolate")
        torch.testing.assert_close(inner(one), inner(other))
