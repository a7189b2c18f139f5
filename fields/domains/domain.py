"""What every domain can do: tell inside from outside, measure, and give points."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fields.domains.patch import Patch, draw, total
from overparam.errors import InputError

if TYPE_CHECKING:
    from fields.domains.boolean import Difference, Intersection, Union

ALIASES = {
    "left": "x0-", "right": "x0+", "bottom": "x1-", "top": "x1+", "back": "x2-", "front": "x2+",
}  # fmt: skip
"""Everyday names of a box's faces."""


class Domain(ABC):
    """A bounded closed set of points with a boundary that has normals nearly everywhere.

    Samples are uniform in volume or in surface measure and depend on the seed alone. Domains
    combine by ``a | b``, ``a & b`` and ``a - b``.

    Attributes:
        dim: Number of coordinates.
        exact_inside: Whether :meth:`signed_distance` is the true distance at inner points; where
            it is not, its size is a lower bound of it.
        exact_outside: The same for outer points.
        warnings: One sentence for every doubt about the domain.
    """

    dim: int
    exact_inside: bool = True
    exact_outside: bool = True
    warnings: Sequence[str] = ()

    @property
    @abstractmethod
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Lower and upper corner of a box that holds the domain, float64."""

    @abstractmethod
    def signed_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the distance to the boundary, negative inside.

        See ``exact_inside`` and ``exact_outside``; the sign is always right.
        """

    @abstractmethod
    def implicit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return a smooth function that is positive inside, zero on the boundary, negative outside.

        It grows from the boundary like a distance (slope near 1 there, away from corners) and can
        be differentiated twice off the corners.
        """

    @abstractmethod
    def _body(self) -> Patch:
        """The interior as a patch."""

    @abstractmethod
    def _skin(self) -> list[Patch]:
        """The boundary as named patches."""

    def contains(
        self, x: Float[Tensor, "*batch d"], *, tolerance: float | int = 0.0
    ) -> Bool[Tensor, "*batch"]:
        """Tell which points lie in the closed domain, or no farther than ``tolerance`` outside."""
        return self.signed_distance(x) <= tolerance

    def vanishing(
        self, x: Float[Tensor, "*batch d"], *, parts: Sequence[str] | None = None
    ) -> Float[Tensor, "*batch"]:
        """Return a smooth factor that is zero on the boundary and positive inside.

        ``g(x) + vanishing(x) * field(x)`` then satisfies ``u = g`` on the boundary whatever the
        field is.

        Args:
            x: Points of the domain, boundary included.
            parts: Zero on these parts only; domains that cannot do that refuse.

        Raises:
            InputError: If ``parts`` is given and the domain knows only its whole boundary.
        """
        if parts is not None:
            raise InputError(f"vanishing of {self!r} must cover its whole boundary, got {parts}")
        return self.implicit(x)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of the boundary; what stands before a dot names a whole group."""
        return tuple(patch.name for patch in self._skin())

    @cached_property
    def volume(self) -> float:
        """Volume (area, length), exact or good to 1e-4 of the bounding box's for cut domains."""
        return total([self._body()])

    @cached_property
    def boundary_measure(self) -> float:
        """Surface, length or number of points of the boundary; see :meth:`part_measure`."""
        return self.part_measure()

    def part_measure(self, part: str | Sequence[str] | None = None) -> float:
        """Return the measure of some parts of the boundary, exact where nothing is cut away.

        Raises:
            InputError: If a part is unknown.
        """
        return total(self._chosen(part))

    @property
    def diameter(self) -> float:
        """Length of the bounding box's diagonal."""
        lower, upper = self.bounds
        return float((upper - lower).norm())

    def interior(
        self, n: int, *, sampler: str = "sobol", seed: int = 0, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "n d"]:
        """Return points uniform in volume.

        Args:
            n: Number of points.
            sampler: One of ``SAMPLERS``.
            seed: Same seed, same points.
            dtype: Their type; None is torch's default.

        Raises:
            InputError: If the sampler is unknown or the domain is empty.
            ValueError: If ``n`` is below 1.
        """
        points, _ = draw([self._body()], n, sampler=sampler, seed=seed, what=repr(self))
        return points.to(dtype or torch.get_default_dtype())

    def boundary(
        self,
        n: int,
        *,
        part: str | Sequence[str] | None = None,
        sampler: str = "sobol",
        seed: int = 0,
        dtype: torch.dtype | None = None,
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Return points uniform in surface measure, and the outward unit normals there.

        Args:
            n: Number of points.
            part: Name or names out of :attr:`parts`, or their group; None is the whole boundary.
            sampler: One of ``SAMPLERS``.
            seed: Same seed, same points.
            dtype: Their type; None is torch's default.

        Raises:
            InputError: If the sampler or a part is unknown, or the part is empty.
            ValueError: If ``n`` is below 1.
        """
        what = f"boundary of {self!r}"
        points, normals = draw(self._chosen(part), n, sampler=sampler, seed=seed, what=what)
        dtype = dtype or torch.get_default_dtype()
        return points.to(dtype), normals.to(dtype)

    def quadrature(
        self, n: int, *, seed: int = 0, dtype: torch.dtype | None = None
    ) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"]]:
        """Return points and positive weights that add up to the volume.

        Boxes answer with Gauss's tensor rule of at most ``n`` points, other domains with ``n``
        Sobol points of equal weight.

        Raises:
            InputError: If the domain is empty.
            ValueError: If ``n`` is below 1.
        """
        points = self.interior(n, seed=seed, dtype=dtype)
        return points, points.new_full((n,), self.volume / n)

    def _chosen(self, part: str | Sequence[str] | None) -> list[Patch]:
        patches = self._skin()
        if part is None:
            return patches
        chosen = []
        for name in [part] if isinstance(part, str) else part:
            *group, last = name.split(".")
            everyday = ".".join([*group, ALIASES.get(last, last)])
            found = [p for p in patches if p.name in (name, everyday)] or [
                p for p in patches if p.name.startswith(f"{name}.")
            ]
            if not found:
                names = ", ".join(patch.name for patch in patches)
                raise InputError(f"part of {self!r} must be one of {names}, got {name}")
            chosen += [p for p in found if p not in chosen]
        if not chosen:
            raise InputError(f"parts of {self!r} must name at least one part, got none")
        return chosen

    def _checked(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != (self.dim,):
            raise ValueError(f"points must have {self.dim} coordinates, got shape {tuple(x.shape)}")
        return x

    def __or__(self, other: "Domain") -> "Union":
        from fields.domains.boolean import Union

        return Union(self, other)

    def __and__(self, other: "Domain") -> "Intersection":
        from fields.domains.boolean import Intersection

        return Intersection(self, other)

    def __sub__(self, other: "Domain") -> "Difference":
        from fields.domains.boolean import Difference

        return Difference(self, other)
