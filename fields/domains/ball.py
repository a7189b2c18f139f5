"""Balls: discs, spheres with their inside, and their kin in any dimension."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fields.domains.domain import Domain
from fields.domains.patch import Patch, Placed
from overparam.errors import InputError


class Ball(Domain):
    """The points no farther than ``radius`` from ``center``.

    The boundary has one part, ``sphere``; the signed distance is exact.

    Args:
        center: Centre, one number for each axis.
        radius: Radius.

    Raises:
        InputError: If a number is not finite, there is no axis, or the radius is not positive.
    """

    def __init__(self, center: Sequence[float | int], radius: float | int = 1.0) -> None:
        self.center = torch.tensor([float(v) for v in center], dtype=torch.float64)
        self.radius = float(radius)
        self.dim = len(center)
        if self.dim < 1 or not self.center.isfinite().all():
            raise InputError(f"ball center must be finite numbers, got {list(center)}")
        if not 0 < self.radius < math.inf:
            raise InputError(f"ball radius must be positive and finite, got {radius}")

    def __repr__(self) -> str:
        return f"Ball({self.center.tolist()}, {self.radius})"

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """The circumscribed cube."""
        return self.center - self.radius, self.center + self.radius

    def signed_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the exact distance to the sphere, negative inside (slope 0 at the centre)."""
        square = self._square(x)
        middle = square == 0
        return torch.where(middle, 0, torch.where(middle, 1, square).sqrt()) - self.radius

    def implicit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return ``(r**2 - |x - c|**2) / (2 r)``: a polynomial of slope 1 on the sphere."""
        return (self.radius**2 - self._square(x)) / (2 * self.radius)

    def _square(self, x: Tensor) -> Tensor:
        return (self._checked(x) - self.center.to(x)).square().sum(-1)

    def _body(self) -> Patch:
        d, r = self.dim, self.radius

        def place(cube: Tensor) -> Placed:
            if d == 1:
                return Placed(self.center + r * (2 * cube[:, :1] - 1))
            radii = r * cube[:, :1] ** (1 / d)
            return Placed(self.center + radii * _direction(cube[:, 1:], d))

        volume = math.pi ** (d / 2) / math.gamma(d / 2 + 1) * r**d
        return Patch("interior", volume, 1 if d == 1 else 1 + _angles(d), place)

    def _skin(self) -> list[Patch]:
        d, r = self.dim, self.radius

        def place(cube: Tensor) -> Placed:
            normals = _direction(cube, d)
            return Placed(self.center + r * normals, normals)

        area = 2 * math.pi ** (d / 2) / math.gamma(d / 2) * r ** (d - 1)
        return [Patch("sphere", area, _angles(d), place)]


def _angles(d: int) -> int:
    """Cube coordinates that make a direction."""
    return d - 1 if d in (2, 3) else max(d, 1)


def _direction(cube: Tensor, d: int) -> Tensor:
    """Map a cube evenly onto the unit sphere."""
    if d == 1:
        return torch.where(cube[:, :1] < 0.5, -1.0, 1.0).double()
    if d == 2:
        turn = 2 * math.pi * cube[:, 0]
        return torch.stack([turn.cos(), turn.sin()], dim=-1)
    if d == 3:
        # Archimedes: slices of equal height have equal area
        turn, height = 2 * math.pi * cube[:, 0], 2 * cube[:, 1] - 1
        width = (1 - height**2).sqrt()
        return torch.stack([width * turn.cos(), width * turn.sin(), height], dim=-1)
    normal = torch.special.ndtri(cube[:, :d])
    return normal / normal.norm(dim=-1, keepdim=True)
