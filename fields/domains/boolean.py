"""Unions, intersections and differences of domains."""

import torch
from jaxtyping import Float
from torch import Tensor

from fields.domains.domain import Domain
from fields.domains.patch import Patch, Placed
from fields.domains.r_function import both, either
from overparam.errors import InputError

_STEP = 1e-7  # of the diameter: how far to look to either side of a boundary point


class _Pair(Domain):
    """Two domains of the same space under one rule."""

    _sign: str

    def __init__(self, first: Domain, second: Domain) -> None:
        if first.dim != second.dim:
            raise InputError(
                f"combined domains must have the same dimension, got {first.dim} and {second.dim}"
            )
        self.first, self.second, self.dim = first, second, first.dim
        self.warnings = [*first.warnings, *second.warnings]

    def __repr__(self) -> str:
        return f"({self.first!r} {self._sign} {self.second!r})"

    def _body(self) -> Patch:
        lower, upper = self.bounds

        def place(cube: Tensor) -> Placed:
            points = lower + cube[:, : self.dim] * (upper - lower)
            return Placed(points, None, self.contains(points))

        return Patch("interior", float((upper - lower).prod()), self.dim, place, whole=False)

    def _skin(self) -> list[Patch]:
        return [self._cut(patch, f"first.{patch.name}") for patch in self.first._skin()] + [
            self._cut(patch, f"second.{patch.name}", once=True) for patch in self.second._skin()
        ]

    def _cut(self, patch: Patch, name: str, *, flip: bool = False, once: bool = False) -> Patch:
        """Keep of an operand's boundary what bounds the result.

        A point does if a step against the normal lands inside and one along it outside. Where the
        operands' boundaries coincide, ``once`` leaves the points to the first of them.
        """
        step = _STEP * self.diameter

        def place(cube: Tensor) -> Placed:
            placed = patch.place(cube)
            assert placed.normals is not None
            normals = -placed.normals if flip else placed.normals
            within, beyond = placed.points - step * normals, placed.points + step * normals
            keep = self.contains(within) & ~self.contains(beyond)
            if once:
                keep &= self.first.contains(within) == self.first.contains(beyond)
            if placed.keep is not None:
                keep &= placed.keep
            return Placed(placed.points, normals, keep)

        return Patch(name, patch.measure, patch.dim, place, whole=False)


class Union(_Pair):
    """The points of either domain.

    Parts are ``first.<part>`` and ``second.<part>``, groups ``first`` and ``second``. The signed
    distance is the smaller of the two: exact outside, a lower bound of the depth inside.
    """

    _sign = "|"

    def __init__(self, first: Domain, second: Domain) -> None:
        super().__init__(first, second)
        self.exact_inside = False
        self.exact_outside = first.exact_outside and second.exact_outside

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Bounding box of both."""
        (a, b), (c, d) = self.first.bounds, self.second.bounds
        return torch.minimum(a, c), torch.maximum(b, d)

    def signed_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the smaller distance."""
        return torch.minimum(self.first.signed_distance(x), self.second.signed_distance(x))

    def implicit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the smooth "or" of the two."""
        return either(self.first.implicit(x), self.second.implicit(x))


class Intersection(_Pair):
    """The points of both domains.

    Parts are ``first.<part>`` and ``second.<part>``, groups ``first`` and ``second``. The signed
    distance is the larger of the two: exact inside, a lower bound outside. Whether there is a
    common point shows when points are asked for.
    """

    _sign = "&"

    def __init__(self, first: Domain, second: Domain) -> None:
        super().__init__(first, second)
        self.exact_inside = first.exact_inside and second.exact_inside
        self.exact_outside = False

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """What the two bounding boxes share; of no size if they share nothing."""
        (a, b), (c, d) = self.first.bounds, self.second.bounds
        lower = torch.maximum(a, c)
        return lower, torch.maximum(lower, torch.minimum(b, d))

    def signed_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the larger distance."""
        return torch.maximum(self.first.signed_distance(x), self.second.signed_distance(x))

    def implicit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the smooth "and" of the two."""
        return both(self.first.implicit(x), self.second.implicit(x))


class Difference(_Pair):
    """The points of the first domain outside the second, the cut's edge included.

    Parts are those of the first domain by their own names; the boundary left by the second is
    the group ``hole0``, by a further subtraction ``hole1``, and so on. The signed distance is
    exact inside, a lower bound outside.
    """

    _sign = "-"

    def __init__(self, first: Domain, second: Domain) -> None:
        super().__init__(first, second)
        self.exact_inside = first.exact_inside and second.exact_outside
        self.exact_outside = False
        self._holes: int = first._holes if isinstance(first, Difference) else 0
        self._hole = f"hole{self._holes}"
        self._holes += 1

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Bounding box of the first domain."""
        return self.first.bounds

    def signed_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the distance to the nearer of the outer boundary and the hole's."""
        return torch.maximum(self.first.signed_distance(x), -self.second.signed_distance(x))

    def implicit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the smooth "and" of inside the first and outside the second."""
        return both(self.first.implicit(x), -self.second.implicit(x))

    def _skin(self) -> list[Patch]:
        return [self._cut(patch, patch.name) for patch in self.first._skin()] + [
            self._cut(patch, f"{self._hole}.{patch.name}", flip=True, once=True)
            for patch in self.second._skin()
        ]
