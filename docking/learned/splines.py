"""Radial functions that end: cubic B-splines between two distances."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RadialSplines(nn.Module):
    """``count`` cubic B-splines, evenly spaced, all of them zero from ``cutoff`` on.

    Twice continuously differentiable, so that what is made of them has smooth forces, and of
    compact support, so that a pocket may be cropped without changing a score. At ``start`` and
    below the first of them fade; Vina's repulsion rules there.

    Args:
        count: Number of functions, at least 1.
        start: Centre of the first, angstrom.
        cutoff: Where the last one ends, angstrom.

    Raises:
        ValueError: If ``count`` is below 1 or the cutoff not above the start.
    """

    def __init__(self, count: int = 7, start: float = 2.2, cutoff: float = 7.0) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        if not 0 <= start < cutoff < math.inf:
            raise ValueError(f"cutoff must be above start >= 0, got {start} and {cutoff}")
        self.count, self.start, self.cutoff = count, start, cutoff

    def extra_repr(self) -> str:
        """Arguments."""
        return f"count={self.count}, start={self.start}, cutoff={self.cutoff}"

    def forward(self, r: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch k"]:
        """Values at distances, angstrom."""
        width = (self.cutoff - self.start) / (self.count + 1)
        centers = torch.arange(self.count, dtype=r.dtype, device=r.device) * width + self.start
        t = ((r[..., None] - centers) / width).abs()
        outer = (2 - t).clamp(min=0) ** 3
        inner = (1 - t).clamp(min=0) ** 3
        return outer / 6 - inner * (2 / 3)
