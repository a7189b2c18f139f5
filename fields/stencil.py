"""Derivatives of sampled pictures by finite differences, in the units of a field's coordinates."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fields.lattice import Extent

Edge = Literal["replicate", "extrapolate"]


def _steps(values: Tensor, extent: Extent) -> list[float]:
    """Return the coordinate step of each axis; an axis of one pixel has no slope."""
    return [
        (high - low) / (n - 1) if n > 1 else float("inf")
        for n, (low, high) in zip(values.shape[:2], extent, strict=True)
    ]


def _padded(planes: Tensor, edge: Edge) -> Tensor:
    """Add one pixel on every side of ``(channels, 1, rows, columns)``."""
    if edge == "replicate":
        return nn.functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    for axis in (-2, -1):
        n = planes.shape[axis]
        first, last = (
            # the parabola through three pixels, the line through two
            (3 * a - 3 * b + c) if n > 2 else (2 * a - b)
            for a, b, c in (
                [planes.narrow(axis, min(i, n - 1), 1) for i in (0, 1, 2)],
                [planes.narrow(axis, max(n - i, 0), 1) for i in (1, 2, 3)],
            )
        )
        planes = torch.cat([first, planes, last], dim=axis)
    return planes


def _convolve(values: Tensor, kernel: list[list[float]], edge: Edge) -> Tensor:
    """Correlate each channel with a 3 x 3 kernel."""
    planes = _padded(values.permute(2, 0, 1)[:, None], edge)
    weight = values.new_tensor(kernel)[None, None]
    return nn.functional.conv2d(planes, weight)[:, 0].permute(1, 2, 0)


def sobel(
    values: Float[Tensor, "rows columns channels"], extent: Extent, edge: Edge = "replicate"
) -> Float[Tensor, "rows columns channels 2"]:
    """Return the slopes along rows and columns by Sobel's kernel.

    The kernel sums to eight times the slope per pixel; with pixels ``2 / (n - 1)`` apart the
    slope per coordinate unit is therefore ``(n - 1) / 16`` times its output.

    Args:
        values: Picture.
        extent: First and last coordinate of each axis.
        edge: What lies outside. ``"replicate"`` repeats the border, which halves slopes there;
            ``"extrapolate"`` continues the parabola through the three pixels nearest the border,
            so that slopes of quadratic pictures are exact on every pixel.
    """
    down = [[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]
    across = [list(row) for row in zip(*down, strict=True)]
    steps = _steps(values, extent)
    slopes = [
        _convolve(values, k, edge) / (8 * step)
        for k, step in zip((down, across), steps, strict=True)
    ]
    return torch.stack(slopes, dim=-1)


def five_point(
    values: Float[Tensor, "rows columns channels"], extent: Extent, edge: Edge = "replicate"
) -> Float[Tensor, "rows columns channels"]:
    """Return the Laplacian by second differences along each axis.

    Args:
        values: Picture.
        extent: First and last coordinate of each axis.
        edge: What lies outside, as in :func:`sobel`.
    """
    down = [[0.0, 1.0, 0.0], [0.0, -2.0, 0.0], [0.0, 1.0, 0.0]]
    across = [list(row) for row in zip(*down, strict=True)]
    steps = _steps(values, extent)
    return torch.stack(
        [
            _convolve(values, k, edge) / step**2
            for k, step in zip((down, across), steps, strict=True)
        ]
    ).sum(0)
