"""Targets are derivatives at their true scale; two pictures make one."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from fields import CompositeSamples, DerivativeSamples
from fields.image import pixel_extent, pixel_grid
from fields.photograph import CAMERA, read_photograph, shrink
from fields.supervision import derivative_targets
from overparam.errors import InputError


def picture(function, rows=17, columns=12, aspect=False):
    extent = pixel_extent(rows, columns, aspect=aspect)
    x = pixel_grid(rows, columns, extent).double()
    return function(x[:, 0], x[:, 1]).view(rows, columns, -1), x, extent


def two_channels(r, c):
    return torch.stack([2 * r**2 - 3 * c**2 + r * c, 5 * c - r**2 / 2], dim=-1)


@pytest.mark.parametrize("aspect", [False, True])
def test_exact_targets_are_the_derivatives_of_a_quadratic_picture_everywhere(aspect):
    values, x, extent = picture(two_channels, aspect=aspect)
    r, c = x.T
    slopes = [[4 * r + c, -6 * c + r], [-r, torch.full_like(c, 5.0)]]
    expected = torch.stack([torch.stack(one, -1) for one in slopes], dim=1)
    # coordinates are single precision, and divided by a step, or its square, of 0.1
    found = derivative_targets(values, extent, "gradient")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    found = derivative_targets(values, extent, "laplacian")
    expected = torch.tensor([-2.0, -1.0]).double().expand_as(found)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("n", [64, 256])
def test_the_authors_scale_is_what_their_recipe_says(n):
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.uniform(-1, 1, (n, n, 1)))
    extent = pixel_extent(n, n)
    ours = derivative_targets(values, extent, "gradient", "authors")
    plain = values[..., 0].numpy()
    theirs = np.stack([ndimage.sobel(10 * plain, axis) for axis in (0, 1)], -1)
    np.testing.assert_allclose(ours.view(n, n, 2), theirs, atol=1e-9)
    exact = derivative_targets(values, extent, "gradient").view(n, n, 2)[1:-1, 1:-1]
    ratio = ours.view(n, n, 2)[1:-1, 1:-1] / exact
    torch.testing.assert_close(ratio, torch.full_like(ratio, 160 / (n - 1)), rtol=1e-6, atol=0)
    ours = derivative_targets(values, extent, "laplacian", "authors").view(n, n)
    np.testing.assert_allclose(ours, ndimage.laplace(1e4 * plain), atol=1e-6)
    exact = derivative_targets(values, extent, "laplacian").view(n, n)[1:-1, 1:-1]
    ratio = ours[1:-1, 1:-1] / exact
    expected = torch.full_like(ratio, 1e4 / ((n - 1) / 2) ** 2)
    torch.testing.assert_close(ratio, expected, rtol=1e-6, atol=0)


def test_training_sees_derivatives_and_scoring_the_pixels():
    for name, shape in (("gradient", (144, 1, 2)), ("laplacian", (144, 1))):
        data = DerivativeSamples(derivative=name, side=12)
        data.setup()
        x, target = data.training()
        assert target.shape == shape
        assert data.scalars_fitted == target.numel()
        assert torch.equal(data.scoring()[0], x)
        assert torch.equal(data.scoring()[1], data.y)
        assert data.signal["task"] == name
        assert data.y.shape == (144, 1)


@pytest.mark.parametrize(
    ("derivative", "scale", "freedom"),
    [("gradient", "exact", "offset"), ("gradient", "authors", "affine"),
     ("laplacian", "exact", "affine"), ("laplacian", "authors", "affine")],
)  # fmt: skip
def test_what_is_left_open_is_said(derivative, scale, freedom):
    data = DerivativeSamples(derivative=derivative, scale=scale, side=8)
    data.setup()
    assert data.signal["freedom"] == freedom


def test_colours_strips_and_uniform_pictures(tmp_path):
    data = DerivativeSamples(side=8, channels=3)
    data.setup()
    assert data.targets.shape == (64, 3, 2)
    Image.fromarray(np.arange(9, dtype=np.uint8)[None] * 20).save(tmp_path / "strip.png")
    for name in ("gradient", "laplacian"):
        data = DerivativeSamples(str(tmp_path / "strip.png"), derivative=name, side=9)
        data.setup()
        assert torch.isfinite(data.targets).all()
    Image.new("L", (9, 9), 7).save(tmp_path / "plain.png")
    with pytest.raises(InputError, match="must not be uniform"):
        DerivativeSamples(str(tmp_path / "plain.png"), side=9).setup()


def test_the_composite_is_the_weighted_sum_of_its_sources():
    data = CompositeSamples(side=32, weights=(0.7, 0.2))
    data.setup()
    (_, first), (_, laid) = data.sources
    expected = 0.7 * (2 * first - 1) + 0.2 * (2 * laid - 1)
    torch.testing.assert_close(data.y.view(32, 32, 1), expected)
    one = derivative_targets(2 * first - 1, data.signal["extent"], "gradient")
    other = derivative_targets(2 * laid - 1, data.signal["extent"], "gradient")
    torch.testing.assert_close(data.targets, 0.7 * one + 0.2 * other, rtol=1e-4, atol=1e-4)


def test_the_second_picture_lies_on_the_bottom_as_in_the_paper():
    data = CompositeSamples(side=None)
    data.setup()
    laid = data.sources[1][1]
    assert laid.shape == (512, 512, 1)
    assert (laid[:172] == 0.85).all()
    assert not (laid[172:] == 0.85).all(1).any()
    whole, _ = read_photograph(CAMERA)
    torch.testing.assert_close(data.sources[0][1], whole)


def test_place_padding_and_shapes_of_the_second_picture(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (10, 5, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "tall.png")
    data = CompositeSamples(None, str(tmp_path / "tall.png"), side=20, padding=0.25)
    data.setup()
    laid = data.sources[1][1]
    assert laid.shape == (20, 20, 1)  # grey, as the first one
    assert (laid[:, :5] == 0.25).all()
    assert (laid[:, 15:] == 0.25).all()
    data = CompositeSamples(side=20, top=0, channels=3)
    data.setup()
    first, laid = data.sources[0][1], data.sources[1][1]
    assert torch.equal(first, shrink(read_photograph(CAMERA)[0], 20).expand(-1, -1, 3))
    assert (laid[13:] == 0.85).all()


def test_senseless_requests(tmp_path):
    with pytest.raises(InputError, match="top must leave room"):
        CompositeSamples(side=20, top=15).setup()
    with pytest.raises(InputError, match="existing file"):
        CompositeSamples(None, str(tmp_path / "none.png")).setup()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"weights": (-0.1, 0.5)}, "weights"), ({"weights": (0.7, 0.5)}, "weights"),
     ({"weights": (0.0, 0.0)}, "weights"), ({"padding": 1.5}, "padding"), ({"top": -1}, "top")],
)  # fmt: skip
def test_rejects_senseless_settings(wrong, named):
    with pytest.raises(ValueError, match=named):
        CompositeSamples(**wrong)
