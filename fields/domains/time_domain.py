"""Space and time: the cylinder over a domain."""

import math
from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from fields.domains.box import Box
from fields.domains.domain import Domain
from fields.domains.patch import Patch, Placed
from fields.domains.r_function import both
from overparam.errors import InputError


class TimeDomain(Domain):
    """The points ``(space..., t)`` with space in a domain and t between two times.

    Parts are ``initial`` (t = t0), ``final`` and the group ``boundary``, whose members are
    ``boundary.<part of the space>``. The signed distance is as exact as the space's.

    Args:
        space: Domain of the coordinates before the last.
        t0: First time.
        t1: Last time.

    Raises:
        InputError: If the times are not finite or not in order.
    """

    def __init__(self, space: Domain, t0: float | int = 0.0, t1: float | int = 1.0) -> None:
        if not (math.isfinite(t0) and math.isfinite(t1) and t0 < t1):
            raise InputError(f"times must be finite with t0 < t1, got {t0} and {t1}")
        self.space, self.t0, self.t1 = space, float(t0), float(t1)
        self.dim = space.dim + 1
        self.exact_inside, self.exact_outside = space.exact_inside, space.exact_outside
        self.warnings = space.warnings

    def __repr__(self) -> str:
        return f"TimeDomain({self.space!r}, {self.t0}, {self.t1})"

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Corners of the space's bounding box, with the times as the last coordinate."""
        lower, upper = self.space.bounds
        return torch.cat([lower, lower.new_tensor([self.t0])]), torch.cat(
            [upper, upper.new_tensor([self.t1])]
        )

    def signed_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the distance in space and time together, negative inside."""
        x = self._checked(x)
        t = x[..., -1]
        beyond = torch.stack(
            [self.space.signed_distance(x[..., :-1]), torch.maximum(self.t0 - t, t - self.t1)], -1
        )
        square = beyond.clamp_min(0).square().sum(-1)
        away = square > 0
        length = torch.where(away, torch.where(away, square, 1).sqrt(), 0)
        return length + beyond.amax(-1).clamp_max(0)

    def implicit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the smooth "and" of the space's function and the parabola of the times."""
        x = self._checked(x)
        t = x[..., -1]
        hill = (t - self.t0) * (self.t1 - t) / (self.t1 - self.t0)
        return both(self.space.implicit(x[..., :-1]), hill)

    def vanishing(
        self, x: Float[Tensor, "*batch d"], *, parts: Sequence[str] | None = None
    ) -> Float[Tensor, "*batch"]:
        """Return a smooth factor that is zero where data is given: at the start and in the walls.

        Args:
            x: Points ``(space..., t)``.
            parts: Which of ``initial``, ``final``, ``boundary`` or ``boundary.<part>``; None is
                ``("initial", "boundary")``, since nothing is prescribed at the end.

        Raises:
            InputError: If a part is unknown, or the space cannot single it out.
        """
        x = self._checked(x)
        names = ["initial", "boundary"] if parts is None else list(parts)
        self._chosen(names)  # refuses unknown names
        rise = (x[..., -1] - self.t0) / (self.t1 - self.t0)
        factors = [rise] if "initial" in names else []
        if "final" in names:
            factors.append(1 - rise)
        walls = [name.removeprefix("boundary.") for name in names if name.startswith("boundary.")]
        if "boundary" in names:
            factors.append(self.space.vanishing(x[..., :-1]))
        elif walls:
            factors.append(self.space.vanishing(x[..., :-1], parts=walls))
        return reduce(torch.mul, factors)

    def quadrature(
        self, n: int, *, seed: int = 0, dtype: torch.dtype | None = None
    ) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"]]:
        """Return Gauss's rule in space and time if the space is a box, else Sobol points."""
        if not isinstance(self.space, Box):
            return super().quadrature(n, seed=seed, dtype=dtype)
        lower, upper = self.bounds
        return Box(lower.tolist(), upper.tolist()).quadrature(n, dtype=dtype)

    def _body(self) -> Patch:
        return self._raised(self.space._body(), "interior")

    def _skin(self) -> list[Patch]:
        walls = [self._raised(p, f"boundary.{p.name}") for p in self.space._skin()]
        return [self._slice("initial", self.t0, -1.0), self._slice("final", self.t1, 1.0), *walls]

    def _slice(self, name: str, time: float, direction: float) -> Patch:
        """The whole space at one time."""
        space = self.space._body()

        def place(cube: Tensor) -> Placed:
            placed = space.place(cube)
            points = torch.cat([placed.points, placed.points.new_full((len(cube), 1), time)], 1)
            normals = torch.zeros_like(points)
            normals[:, -1] = direction
            return Placed(points, normals, placed.keep)

        return Patch(name, space.measure, space.dim, place, space.whole)

    def _raised(self, patch: Patch, name: str) -> Patch:
        """A patch of the space, through all times."""

        def place(cube: Tensor) -> Placed:
            placed = patch.place(cube)
            t = self.t0 + cube[:, patch.dim : patch.dim + 1] * (self.t1 - self.t0)
            normals = placed.normals
            if normals is not None:
                normals = torch.cat([normals, torch.zeros_like(t)], 1)
            return Placed(torch.cat([placed.points, t], 1), normals, placed.keep)

        measure = patch.measure * (self.t1 - self.t0)
        return Patch(name, measure, patch.dim + 1, place, patch.whole)
