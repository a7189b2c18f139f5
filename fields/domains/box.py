"""Boxes: intervals, rectangles, cuboids and their kin in any dimension."""

from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from fields.domains.domain import Domain
from fields.domains.patch import Patch, Placed
from fields.domains.r_function import both
from fields.domains.sampling import gauss_legendre
from overparam.errors import InputError


class Box(Domain):
    """The points between two corners.

    Parts of the boundary are ``x0-``, ``x0+``, ``x1-``, ... ; the first three axes also answer to
    left, right, bottom, top, back and front. The signed distance is exact.

    Args:
        lower: Lower corner, one number for each axis.
        upper: Upper corner.

    Raises:
        InputError: If the corners differ in length, are not finite or leave no volume.
    """

    def __init__(self, lower: Sequence[float | int], upper: Sequence[float | int]) -> None:
        if len(lower) != len(upper) or len(lower) < 1:
            raise InputError(
                f"box corners must have the same number of axes, got {len(lower)} and {len(upper)}"
            )
        self.lower = torch.tensor([float(v) for v in lower], dtype=torch.float64)
        self.upper = torch.tensor([float(v) for v in upper], dtype=torch.float64)
        self.dim = len(lower)
        size = self.upper - self.lower
        if not (size.isfinite().all() and (size > 0).all()):
            raise InputError(
                f"box must have finite corners and lower < upper on every axis, "
                f"got {list(lower)} to {list(upper)}"
            )
        self._size = size

    def __repr__(self) -> str:
        return f"Box({self.lower.tolist()}, {self.upper.tolist()})"

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """The corners themselves."""
        return self.lower, self.upper

    def signed_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the exact distance to the boundary, negative inside."""
        x = self._checked(x)
        beyond = torch.maximum(self.lower.to(x) - x, x - self.upper.to(x))
        outside = beyond.clamp_min(0)
        square = outside.square().sum(-1)
        # the root's slope at zero is infinite; inside it must be that of a constant
        away = square > 0
        length = torch.where(away, torch.where(away, square, 1).sqrt(), 0)
        return length + beyond.amax(-1).clamp_max(0)

    def implicit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the parabolas of the axes, joined by the smooth "and"."""
        x = self._checked(x)
        hill = (x - self.lower.to(x)) * (self.upper.to(x) - x) / self._size.to(x)
        return reduce(both, hill.unbind(-1))

    def vanishing(
        self, x: Float[Tensor, "*batch d"], *, parts: Sequence[str] | None = None
    ) -> Float[Tensor, "*batch"]:
        """Return the product of the distances from the chosen faces, 1 at the centre.

        A polynomial: ``4 t (1 - t)`` for an axis with both its faces, ``2 t`` for one face, with t
        running from 0 to 1.

        Raises:
            InputError: If a part is unknown.
        """
        x = self._checked(x)
        names = {patch.name for patch in self._chosen(parts)}
        rise = (x - self.lower.to(x)) / self._size.to(x)
        factors = [2 * rise[..., i] for i in range(self.dim) if f"x{i}-" in names]
        factors += [2 * (1 - rise[..., i]) for i in range(self.dim) if f"x{i}+" in names]
        return reduce(torch.mul, factors)

    def quadrature(
        self, n: int, *, seed: int = 0, dtype: torch.dtype | None = None
    ) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"]]:
        """Return Gauss's rule with as many nodes an axis as ``n`` points allow; no randomness.

        Raises:
            ValueError: If ``n`` is below 1.
        """
        if n < 1:
            raise ValueError(f"number of points must be at least 1, got {n}")
        order = max(1, int(n ** (1 / self.dim) + 1e-9))
        points, weights = gauss_legendre(self.lower, self.upper, order)
        dtype = dtype or torch.get_default_dtype()
        return points.to(dtype), weights.to(dtype)

    def lattice(
        self, counts: Sequence[int], *, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "n d"]:
        """Return a regular grid with the faces included, first axis slowest: for pictures.

        Args:
            counts: Points along each axis, at least 2.
            dtype: Their type; None is torch's default.

        Raises:
            ValueError: If there is not one count of at least 2 for each axis.
        """
        if len(counts) != self.dim or min(counts) < 2:
            raise ValueError(f"counts must be {self.dim} numbers of at least 2, got {counts}")
        ends = zip(self.lower.tolist(), self.upper.tolist(), counts, strict=True)
        axes = [torch.linspace(low, high, count, dtype=torch.float64) for low, high, count in ends]
        points = torch.cartesian_prod(*axes).reshape(-1, self.dim)
        return points.to(dtype or torch.get_default_dtype())

    def _body(self) -> Patch:
        def place(cube: Tensor) -> Placed:
            return Placed(self.lower + cube[:, : self.dim] * self._size)

        return Patch("interior", float(self._size.prod()), self.dim, place)

    def _skin(self) -> list[Patch]:
        return [self._face(axis, high) for axis in range(self.dim) for high in (False, True)]

    def _face(self, axis: int, high: bool) -> Patch:
        others = [i for i in range(self.dim) if i != axis]

        def place(cube: Tensor) -> Placed:
            points = torch.empty(len(cube), self.dim, dtype=torch.float64)
            points[:, others] = self.lower[others] + cube[:, : self.dim - 1] * self._size[others]
            points[:, axis] = self.upper[axis] if high else self.lower[axis]
            normals = torch.zeros_like(points)
            normals[:, axis] = 1.0 if high else -1.0
            return Placed(points, normals)

        name = f"x{axis}{'+' if high else '-'}"
        return Patch(name, float(self._size[others].prod()), self.dim - 1, place)
