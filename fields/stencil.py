"""Derivatives of sampled pictures by finite differences, in the units of a field's coordinates."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

Extent = list[list[float]]


def _steps(values: Tensor, extent: Extent) -> list[float]:
    """Return the coordinate step of each axis; an axis of one pixel has no slope."""
    return [
        (high - low) / (n - 1) if n > 1 else float("inf")
        for n, (low, high) in zip(values.shape[:2], extent, strict=True)
    ]


def _convolve(values: Tensor, kernel: list[list[float]]) -> Tensor:
    """Correlate each channel with a 3 x 3 kernel, edges repeated."""
    planes = nn.functional.pad(values.permute(2, 0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    weight = values.new_tensor(kernel)[None, None]
    return nn.functional.conv2d(planes, weight)[:, 0].permute(1, 2, 0)


def sobel(
    values: Float[Tensor, "rows columns channels"], extent: Extent
) -> Float[Tensor, "rows columns channels 2"]:
    """Return the slopes along rows and columns by Sobel's kernel.

    The kernel sums to eight times the slope per pixel; with pixels ``2 / (n - 1)`` apart the
    slope per coordinate unit is therefore ``(n - 1) / 16`` times its output.
    """
    down = [[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]
    across = [list(row) for row in zip(*down, strict=True)]
    steps = _steps(values, extent)
    slopes = [
        _convolve(values, k) / (8 * step) for k, step in zip((down, across), steps, strict=True)
    ]
    return torch.stack(slopes, dim=-1)


def five_point(
    values: Float[Tensor, "rows columns channels"], extent: Extent
) -> Float[Tensor, "rows columns channels"]:
    """Return the Laplacian by second differences along each axis."""
    down = [[0.0, 1.0, 0.0], [0.0, -2.0, 0.0], [0.0, 1.0, 0.0]]
    across = [list(row) for row in zip(*down, strict=True)]
    steps = _steps(values, extent)
    return torch.stack(
        [_convolve(values, k) / step**2 for k, step in zip((down, across), steps, strict=True)]
    ).sum(0)
