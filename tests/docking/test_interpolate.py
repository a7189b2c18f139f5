"""What interpolation promises: exact at the points, smooth between them, right order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.interpolate import (
    sample,
    sample_channel,
    sample_one,
    spline_coefficients,
    spline_values,
    weights,
)
from docking.lattice import Lattice

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(*[st.integers(4, 9)] * 3)
methods = st.sampled_from(["cubic", "linear"])
few = settings(deadline=None, max_examples=15)


def field(seed, channels, shape):
    rng = np.random.default_rng(seed)
    return torch.as_tensor(rng.normal(0, 1, (channels, *shape)))


def grid_of(values, method):
    return spline_coefficients(values) if method == "cubic" else values


def inside(seed, shape, count=40):
    rng = np.random.default_rng(seed)
    return torch.as_tensor(rng.uniform(0, 1, (count, 3)) * (np.array(shape) - 1))


@given(seed=seeds, shape=sizes, method=methods)
@few
def test_lattice_points_keep_their_values(seed, shape, method):
    values = field(seed, 2, shape)
    index = torch.cartesian_prod(*(torch.arange(n) for n in shape))
    got = sample(grid_of(values, method), index.double(), method=method)
    torch.testing.assert_close(got, values[:, index[:, 0], index[:, 1], index[:, 2]].T)
    torch.testing.assert_close(spline_values(spline_coefficients(values)), values)


@given(seed=seeds, shape=sizes)
@few
def test_cubic_polynomials_are_reproduced_up_to_the_edge(seed, shape):
    rng = np.random.default_rng(seed)
    a = torch.as_tensor(rng.normal(0, 1, (3, 4)))

    def polynomial(x):
        powers = torch.stack([x**k for k in range(4)], -1)
        return (powers * a).sum(-1).prod(-1)

    index = torch.cartesian_prod(*(torch.arange(n) for n in shape)).double()
    grid = spline_coefficients(polynomial(index).reshape(1, *shape))
    x = inside(seed, shape)
    scale = polynomial(index).abs().max()
    torch.testing.assert_close(sample(grid, x)[:, 0] / scale, polynomial(x) / scale)


@given(seed=seeds, shape=sizes, method=methods)
@few
def test_linear_functions_are_reproduced(seed, shape, method):
    a = torch.as_tensor(np.random.default_rng(seed).normal(0, 1, 3))
    index = torch.cartesian_prod(*(torch.arange(n) for n in shape)).double()
    grid = grid_of((index @ a).reshape(1, *shape), method)
    x = inside(seed, shape)
    torch.testing.assert_close(sample(grid, x, method=method)[:, 0], x @ a)


@given(u=st.floats(0, 1), method=methods)
@few
def test_weights_sum_to_one_and_their_slopes_to_zero(u, method):
    w, dw = weights(torch.tensor(u, dtype=torch.float64), method)
    assert w.sum().item() == pytest.approx(1)
    assert dw.sum().item() == pytest.approx(0, abs=1e-12)
    assert (w >= 0).all()


@given(seed=seeds, shape=sizes, method=methods)
@few
def test_gradients_are_finite_differences(seed, shape, method):
    grid = grid_of(field(seed, 3, shape), method)
    h = 1e-5
    x = inside(seed, shape, 12).floor().clamp(max=torch.tensor(shape) - 2) + 0.5
    x = x + torch.as_tensor(np.random.default_rng(seed).uniform(-0.4, 0.4, (12, 3)))
    channel = torch.arange(12) % 3
    value, gradient = sample_one(grid, x, channel, method=method)
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = h
        up, down = (sample_one(grid, x + s * step, channel, method=method)[0] for s in (1, -1))
        torch.testing.assert_close(gradient[:, axis], (up - down) / (2 * h), rtol=1e-5, atol=1e-6)
    y = x.clone().requires_grad_()
    sample_channel(grid, y, channel, method=method).sum().backward()
    torch.testing.assert_close(y.grad, gradient)
    z = x.clone().requires_grad_()
    every = sample(grid, z, method=method)
    torch.testing.assert_close(every[torch.arange(12), channel], value)
    every[torch.arange(12), channel].sum().backward()
    torch.testing.assert_close(z.grad, gradient)


@given(seed=seeds, shape=sizes)
@few
def test_cubic_curvature_has_no_jump_between_cells(seed, shape):
    grid = spline_coefficients(field(seed, 1, shape))
    x = inside(seed, shape, 8)
    x[:, 0] = 1 + torch.arange(8) % (shape[0] - 2)
    x.requires_grad_()

    def curvature(y):
        (slope,) = torch.autograd.grad(sample(grid, y).sum(), y, create_graph=True)
        return torch.autograd.grad(slope[:, 0].sum(), y)[0][:, 0]

    left, right = (curvature(x + s * torch.tensor([1e-9, 0, 0])) for s in (-1, 1))
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("method", "order"), [("cubic", 4), ("linear", 2)])
def test_errors_fall_at_the_order_of_the_method(method, order):
    centre = torch.tensor([0.3, -0.2, 0.4], dtype=torch.float64)

    def bump(x):
        return torch.exp(-((x - centre) ** 2).sum(-1) / 2) * torch.cos(x[..., 0])

    x = torch.as_tensor(np.random.default_rng(0).uniform(-2, 2, (400, 3)))
    errors = []
    for spacing in (0.2, 0.1, 0.05):
        lattice = Lattice.cover(np.full(3, -2.0), np.full(3, 2.0), spacing)
        values = bump(torch.as_tensor(lattice.points()))[None]
        got = sample(grid_of(values, method), lattice.to_lattice(x), method=method)[:, 0]
        errors.append((got - bump(x)).abs().max().item())
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert rates == pytest.approx([order] * 2, abs=0.5)


def test_values_and_maps_are_differentiable():
    values = field(0, 1, (4, 4, 5)).requires_grad_()
    x = inside(0, (4, 4, 5), 2)
    assert torch.autograd.gradcheck(lambda v: sample(spline_coefficients(v), x), (values,))


@given(low=st.floats(-50, 50), extent=st.floats(0.1, 30), spacing=st.floats(0.1, 2))
@few
def test_a_lattice_covers_its_box_and_no_more(low, extent, spacing):
    low, high = np.array([low, 0.0, 1.0]), np.array([low + extent, 5.0, 7.5])
    lattice = Lattice.cover(low, high, spacing)
    assert (lattice.low <= low + 1e-6 * spacing).all()
    assert (lattice.high >= high - 1e-6 * spacing).all()
    wide = np.array(lattice.shape) > 4
    assert (lattice.high - lattice.low - (high - low) < spacing)[wide].all()
    back = lattice.to_lattice(torch.as_tensor(lattice.points()))[-1, -1, -1]
    assert back.tolist() == pytest.approx([n - 1 for n in lattice.shape])
    assert [len(axis) for axis in lattice.axes()] == list(lattice.shape)


@pytest.mark.parametrize(
    "bad",
    [
        {"spacing": 0.0},
        {"spacing": float("nan")},
        {"shape": (3, 9, 9)},
        {"origin": (0.0, float("inf"), 0.0)},
    ],
)
def test_rejects_senseless_lattices(bad):
    with pytest.raises(ValueError, match="must be"):
        Lattice(**({"origin": (0.0, 0.0, 0.0), "spacing": 0.5, "shape": (5, 5, 5)} | bad))


def test_rejects_boxes_without_volume_and_short_axes():
    with pytest.raises(ValueError, match="below high"):
        Lattice.cover(np.zeros(3), np.array([1.0, 0.0, 1.0]), 0.5)
    with pytest.raises(ValueError, match="4 points"):
        spline_coefficients(torch.zeros(1, 3, 5, 5))
