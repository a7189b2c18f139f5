"""Cubic lattices of points over a box, and the way between angstrom and lattice units."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

MIN_POINTS = 4  # what a cubic spline with free ends needs


@dataclass(frozen=True)
class Lattice:
    """Points ``origin + spacing * (i, j, k)`` with ``0 <= (i, j, k) < shape``.

    Args:
        origin: Position of point (0, 0, 0), angstrom.
        spacing: Distance between neighbouring points, angstrom.
        shape: Number of points along x, y and z, at least 4 each.

    Raises:
        ValueError: If the spacing is not positive, an axis is too short or the origin not finite.
    """

    origin: tuple[float, float, float]
    spacing: float
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not (self.spacing > 0 and math.isfinite(self.spacing)):
            raise ValueError(f"spacing must be positive, got {self.spacing}")
        if len(self.shape) != 3 or min(self.shape) < MIN_POINTS:
            raise ValueError(f"shape must be three axes of {MIN_POINTS} or more, got {self.shape}")
        if len(self.origin) != 3 or not all(map(math.isfinite, self.origin)):
            raise ValueError(f"origin must be three finite coordinates, got {self.origin}")

    @classmethod
    def cover(cls, low: np.ndarray, high: np.ndarray, spacing: float) -> "Lattice":
        """Smallest lattice over the box from ``low`` to ``high``, centred on it."""
        low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (high > low).all()):
            raise ValueError(f"low must be below high on every axis, got {low} and {high}")
        if not spacing > 0:
            raise ValueError(f"spacing must be positive, got {spacing}")
        # The small allowance keeps a box of exactly k spacings at k + 1 points.
        steps = np.maximum(np.ceil((high - low) / spacing - 1e-6), MIN_POINTS - 1).astype(int)
        origin = (low + high - steps * spacing) / 2
        x, y, z = (int(s) + 1 for s in steps)
        return cls(
            (float(origin[0]), float(origin[1]), float(origin[2])), float(spacing), (x, y, z)
        )

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    @property
    def low(self) -> np.ndarray:
        """Position of the first point, angstrom."""
        return np.array(self.origin)

    @property
    def high(self) -> np.ndarray:
        """Position of the last point, angstrom."""
        return np.array(self.origin) + self.spacing * (np.array(self.shape) - 1)

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates along x, y and z, angstrom, float64."""
        x, y, z = (self.spacing * np.arange(n) for n in self.shape)
        return self.origin[0] + x, self.origin[1] + y, self.origin[2] + z

    def points(self) -> np.ndarray:
        """Positions of all points, ``(nx, ny, nz, 3)``, angstrom, float64."""
        return np.stack(np.meshgrid(*self.axes(), indexing="ij"), axis=-1)

    def to_lattice(self, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Positions in units of the spacing, counted from the first point."""
        origin = torch.tensor(self.origin, dtype=x.dtype, device=x.device)
        return (x - origin) / self.spacing
