"""Trilinear and cubic B-spline interpolation of maps, with analytic gradients.

Cubic maps are twice continuously differentiable, so that a quasi-Newton search may follow them;
trilinear ones are continuous only, and lie above a convex function.

Source: Unser, Aldroubi and Eden, "B-spline signal processing", IEEE Trans. Signal Process. 41
(1993) 821, part I. The end conditions here are de Boor's not-a-knot (A Practical Guide to Splines,
chapter IV), which keep order 4 up to the last point.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

METHODS = ("cubic", "linear")
REACH = {"cubic": 4, "linear": 2}  # lattice points per axis that carry weight


@lru_cache(maxsize=64)
def _spline_matrix(n: int) -> np.ndarray:
    """Matrix ``(n + 2, n)`` from values at ``n`` points to coefficients of ``n + 2`` splines."""
    equations = np.zeros((n + 2, n + 2))
    for row in range(n):
        equations[row, row : row + 3] = (1 / 6, 4 / 6, 1 / 6)
    # A fourth difference of zero makes the third derivative continuous at the point next to an end.
    equations[n, :5] = equations[n + 1, -5:] = (1, -4, 6, -4, 1)
    return np.linalg.inv(equations)[:, :n]


def spline_coefficients(values: Float[Tensor, "*maps x y z"]) -> Float[Tensor, "*maps i j k"]:
    """Coefficients of the cubic spline through ``values``, two more along each axis.

    Differentiable, linear in the values; each axis needs at least 4 points.
    """
    for axis in (-3, -2, -1):
        n = values.shape[axis]
        if n < 4:
            raise ValueError(f"cubic interpolation needs 4 points per axis, got {n}")
        matrix = torch.as_tensor(_spline_matrix(n), dtype=values.dtype, device=values.device)
        values = torch.movedim(torch.movedim(values, axis, -1) @ matrix.T, -1, axis)
    return values.contiguous()


def spline_values(coefficients: Float[Tensor, "*maps i j k"]) -> Float[Tensor, "*maps x y z"]:
    """Values at the lattice points of the spline with these coefficients."""
    for axis in (-3, -2, -1):
        n = coefficients.shape[axis] - 2
        a, b, c = (coefficients.narrow(axis, start, n) for start in range(3))
        coefficients = (a + 4 * b + c) / 6
    return coefficients


def weights(
    u: Float[Tensor, "*batch"], method: str
) -> tuple[Float[Tensor, "*batch w"], Float[Tensor, "*batch w"]]:
    """Weights of the neighbouring points at fraction ``u`` of a cell, and their derivatives."""
    if method == "linear":
        one = torch.ones_like(u)
        return torch.stack((1 - u, u), -1), torch.stack((-one, one), -1)
    v = 1 - u
    w = (v**3 / 6, 2 / 3 - u**2 * (1 - u / 2), 2 / 3 - v**2 * (1 - v / 2), u**3 / 6)
    dw = (-(v**2) / 2, u * (1.5 * u - 2), v * (2 - 1.5 * v), u**2 / 2)
    return torch.stack(w, -1), torch.stack(dw, -1)


def _cells(
    x: Float[Tensor, "*batch 3"], shape: tuple[int, ...], method: str
) -> tuple[Int[Tensor, "*batch 3"], Float[Tensor, "*batch 3"]]:
    """First grid index along each axis and fraction of the cell; outside, the nearest cell."""
    points = torch.tensor(shape, device=x.device) - (2 if method == "cubic" else 0)
    first = torch.minimum(x.detach().floor().long().clamp(min=0), points - 2)
    return first, x - first


def _neighbours(
    first: Int[Tensor, "*batch 3"], shape: tuple[int, ...], reach: int
) -> Int[Tensor, "*batch w"]:
    """Flat indices of the ``reach**3`` grid entries that carry weight, z fastest."""
    _, ny, nz = shape
    step = torch.arange(reach, device=first.device)
    local = (step[:, None, None] * (ny * nz) + step[:, None] * nz + step).reshape(-1)
    start = (first[..., 0] * ny + first[..., 1]) * nz + first[..., 2]
    return start[..., None] + local


def sample(
    grid: Float[Tensor, "channels i j k"], x: Float[Tensor, "*batch 3"], *, method: str = "cubic"
) -> Float[Tensor, "*batch channels"]:
    """All channels at each point, differentiable in ``x`` and ``grid``.

    Args:
        grid: Spline coefficients for ``cubic``, values for ``linear``.
        x: Points in lattice units; those outside are extrapolated from the nearest cell.
        method: ``cubic`` or ``linear``.
    """
    shape, reach = tuple(grid.shape[-3:]), REACH[method]
    first, u = _cells(x, shape, method)
    w = weights(u, method)[0]
    weight = w[..., 0, :, None, None] * w[..., 1, None, :, None] * w[..., 2, None, None, :]
    values = grid.reshape(len(grid), -1)[:, _neighbours(first, shape, reach)]
    return torch.movedim((values * weight.flatten(-3)).sum(-1), 0, -1)


def sample_one(
    grid: Float[Tensor, "channels i j k"],
    x: Float[Tensor, "*batch 3"],
    channel: Int[Tensor, "*batch"],
    *,
    method: str = "cubic",
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch 3"]]:
    """One channel per point, with the gradient per lattice unit.

    The gradient is analytic, from the same gather as the value; nothing is recorded for autograd.

    Args:
        grid: Spline coefficients for ``cubic``, values for ``linear``.
        x: Points in lattice units.
        channel: Which channel each point reads.
        method: ``cubic`` or ``linear``.
    """
    shape, reach = tuple(grid.shape[-3:]), REACH[method]
    with torch.no_grad():
        first, u = _cells(x, shape, method)
        (wx, wy, wz), (dx, dy, dz) = (w.unbind(-2) for w in weights(u, method))
        index = _neighbours(first, shape, reach)
        index += (channel * (shape[0] * shape[1] * shape[2]))[..., None]
        v = grid.reshape(-1)[index].unflatten(-1, (reach, reach, reach))
        along_z, slope_z = ((v * w[..., None, None, :]).sum(-1) for w in (wz, dz))
        value, slope_y = ((along_z * w[..., None, :]).sum(-1) for w in (wy, dy))
        slope_z = (slope_z * wy[..., None, :]).sum(-1)
        gradient = ((value * dx).sum(-1), (slope_y * wx).sum(-1), (slope_z * wx).sum(-1))
        return (value * wx).sum(-1), torch.stack(gradient, dim=-1)


class _SampleOne(torch.autograd.Function):
    """``sample_one`` with the analytic gradient as its backward pass."""

    @staticmethod
    def forward(ctx, grid, x, channel, method):
        value, gradient = sample_one(grid, x, channel, method=method)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx, upstream):
        (gradient,) = ctx.saved_tensors
        return None, upstream[..., None] * gradient, None, None


def sample_channel(
    grid: Float[Tensor, "channels i j k"],
    x: Float[Tensor, "*batch 3"],
    channel: Int[Tensor, "*batch"],
    *,
    method: str = "cubic",
) -> Float[Tensor, "*batch"]:
    """One channel per point, differentiable once in ``x`` (not in ``grid``)."""
    return _SampleOne.apply(grid, x, channel, method)
