"""Polygons of the plane, and the L-shape."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fields.domains.domain import Domain
from fields.domains.ears import cross, crossing_edges, ears
from fields.domains.patch import Patch, Placed, choose
from overparam.errors import InputError


class Polygon(Domain):
    """The inside of a simple closed chain of edges, convex or not.

    Parts of the boundary are ``edge0`` (from vertex 0 to vertex 1), ``edge1``, ... The signed
    distance is exact.

    Args:
        vertices: Corners in order, either way round, the first one not repeated; at least 3.

    Attributes:
        vertices: The corners, counter-clockwise: given clockwise, all but the first are reversed.

    Raises:
        InputError: If there are fewer than 3 vertices, one is not finite or repeated, edges touch
            or cross, or no area is left.
    """

    dim = 2

    def __init__(self, vertices: Sequence[Sequence[float | int]]) -> None:
        if len(vertices) < 3 or any(len(v) != 2 for v in vertices):
            raise InputError("polygon must have at least 3 vertices of 2 coordinates each")
        corners = np.array(vertices, dtype=float)
        if not np.isfinite(corners).all():
            raise InputError("polygon vertices must be finite, got NaN or infinity")
        edges = np.roll(corners, -1, axis=0) - corners
        if (np.abs(edges).max(-1) == 0).any():
            i = int(np.abs(edges).max(-1).argmin())
            raise InputError(f"polygon vertices must differ, got {corners[i].tolist()} twice")
        pair = crossing_edges(corners)
        if pair is not None:
            raise InputError(
                f"polygon must not touch or cross itself, got edges {pair[0]} and {pair[1]} meet"
            )
        area = cross(corners, np.roll(corners, -1, axis=0)).sum() / 2
        if abs(area) <= 1e-14 * np.ptp(corners, axis=0).max() ** 2:
            raise InputError("polygon must have an area, got a line")
        if area < 0:
            corners = np.concatenate([corners[:1], corners[:0:-1]])
        self.vertices = torch.from_numpy(corners)
        self._ends = self.vertices.roll(-1, 0)
        self._triangles = self.vertices[torch.from_numpy(ears(corners))]
        self._area = float(abs(area))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.vertices)} vertices)"

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Corners of the circumscribed rectangle."""
        return self.vertices.amin(0), self.vertices.amax(0)

    def signed_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the exact distance to the nearest edge, negative inside."""
        x = self._checked(x)
        start, end = self.vertices.to(x), self._ends.to(x)
        along, off = end - start, x[..., None, :] - start
        share = ((off * along).sum(-1) / along.square().sum(-1)).clamp(0, 1)
        square = (off - share[..., None] * along).square().sum(-1).amin(-1)
        touching = square == 0
        distance = torch.where(touching, 0, torch.where(touching, 1, square).sqrt())
        # parity of the edges that a ray to the right crosses
        above = start[:, 1] > x[..., 1:]
        spans = above != (end[:, 1] > x[..., 1:])
        side = along[:, 0] * off[..., 1] - along[:, 1] * off[..., 0]
        right = (side > 0) == (end[:, 1] > start[:, 1])
        inside = ((spans & right).sum(-1) % 2).bool()
        return torch.where(inside, -distance, distance)

    def implicit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the mean-value distance: 2 over the integral of 1/distance over directions.

        Seen from x in direction t the edges are crossed at distances with alternating signs, so
        the sign is right everywhere; off the boundary it is infinitely smooth.

        Source: A. Belyaev, P.-A. Fayolle, A. Pasko, "Signed Lp-distance fields", Computer-Aided
        Design 45 (2013) 523, p = 1; edge integrals as in mean value coordinates (K. Hormann,
        M. Floater, ACM TOG 25 (2006) 1424).
        """
        x = self._checked(x)
        a, b = self.vertices.to(x) - x[..., None, :], self._ends.to(x) - x[..., None, :]
        tiny = torch.finfo(x.dtype).tiny ** 0.5
        length_a, length_b = (v.square().sum(-1).clamp_min(tiny).sqrt() for v in (a, b))
        area, dot = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], (a * b).sum(-1)
        product = length_a * length_b
        facing = dot > 0
        nonzero = torch.where(area.abs() < tiny, torch.full_like(area, tiny), area)
        # tan(angle / 2) and its inverse, each in the form that does not cancel
        tangent = torch.where(
            facing, area / torch.where(facing, product + dot, 1), (product - dot) / nonzero
        )
        weight = tangent * (length_a + length_b) / product
        nearest = weight.detach().abs().argmax(-1, keepdim=True)
        # The nearest edge's weight is infinite on it: its inverse is what stays smooth there.
        cotangent = torch.where(
            facing, (product + dot) / nonzero, area / torch.where(facing, 1, product - dot)
        )
        inverse = (cotangent * product / (length_a + length_b)).gather(-1, nearest)[..., 0]
        rest = weight.scatter(-1, nearest, torch.zeros_like(weight)).sum(-1)
        return 2 * inverse / (1 + inverse * rest)

    def _body(self) -> Patch:
        corners = self._triangles
        areas = torch.from_numpy(
            cross((corners[:, 1] - corners[:, 0]).numpy(), (corners[:, 2] - corners[:, 0]).numpy())
        )
        edges = torch.cat([areas.new_zeros(1), areas.cumsum(0) / areas.sum()])

        def place(cube: Tensor) -> Placed:
            chosen, cube = choose(cube, edges)
            return Placed(in_triangles(corners[chosen], cube))

        return Patch("interior", self._area, 2, place)

    def _skin(self) -> list[Patch]:
        return [self._edge(i) for i in range(len(self.vertices))]

    def _edge(self, i: int) -> Patch:
        start, along = self.vertices[i], self._ends[i] - self.vertices[i]
        length = along.norm()
        normal = torch.stack([along[1], -along[0]]) / length

        def place(cube: Tensor) -> Placed:
            return Placed(start + cube[:, :1] * along, normal.expand(len(cube), 2))

        return Patch(f"edge{i}", float(length), 1, place)


class LShape(Polygon):
    """A rectangle without its upper right quarter; the inward corner is at ``center``.

    Args:
        lower: Lower corner of the rectangle.
        upper: Upper corner.
        center: The inward corner; None is the middle.

    Raises:
        InputError: If ``lower < center < upper`` fails on an axis.
    """

    def __init__(
        self,
        lower: Sequence[float | int] = (-1, -1),
        upper: Sequence[float | int] = (1, 1),
        center: Sequence[float | int] | None = None,
    ) -> None:
        (a, b), (c, d) = lower, upper
        u, v = ((a + c) / 2, (b + d) / 2) if center is None else center
        if not (a < u < c and b < v < d):
            raise InputError(
                f"L-shape must have lower < center < upper on both axes, "
                f"got {[a, b]}, {[u, v]}, {[c, d]}"
            )
        super().__init__([[u, v], [u, d], [a, d], [a, b], [c, b], [c, v]])


def in_triangles(
    corners: Float[Tensor, "n 3 d"], cube: Float[Tensor, "n _"]
) -> Float[Tensor, "n d"]:
    """Map cube points evenly into triangles, one each."""
    root, v = cube[:, :1].sqrt(), cube[:, 1:2]
    return (1 - root) * corners[:, 0] + root * (1 - v) * corners[:, 1] + root * v * corners[:, 2]
