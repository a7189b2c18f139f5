"""Solids bounded by triangle meshes."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fields.domains.domain import Domain
from fields.domains.patch import Patch, Placed, choose, total
from fields.domains.polygon import in_triangles
from fields.domains.shell import Shell, capped, rim
from fields.domains.triangles import TriangleTree, winding
from overparam.errors import InputError


class Mesh(Domain):
    """The inside of a triangle mesh.

    The boundary has one part, ``surface``, with the normals of the triangles. The signed
    distance is exact up to rounding. Where holes let the inside out, each is closed by a fan of
    triangles to tell the sides apart (the distance is still that to the real surface); if that
    cannot be done the winding number decides, at the cost of points times triangles.

    Equal vertices are merged and triangles without area dropped; a closed mesh that is inside out
    is turned.

    Args:
        vertices: Corners ``(n, 3)``.
        faces: Rows of three vertex numbers.

    Attributes:
        vertices: Merged vertices, float64.
        faces: Their triangles.
        is_closed: Whether every edge belongs to two triangles that agree on the orientation.
        warnings: One sentence if it is not closed.

    Raises:
        InputError: If there is no triangle with an area, a number is not finite or a face names
            a vertex that is not there.
    """

    dim = 3

    def __init__(self, vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> None:
        import trimesh

        if len(faces) == 0:
            raise InputError("mesh must have at least one triangle, got none")
        if not np.isfinite(vertices).all():
            raise InputError("mesh vertices must be finite, got NaN or infinity")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise InputError(
                f"mesh faces must name vertices 0 to {len(vertices) - 1}, "
                f"got {faces.min()} to {faces.max()}"
            )
        solid = trimesh.Trimesh(np.asarray(vertices, float), faces, process=True, validate=True)
        if len(solid.faces) == 0 or not solid.area > 0:
            raise InputError("mesh must have a triangle with an area, got none")
        corners, triangles = np.array(solid.vertices, float), np.array(solid.faces, int)
        self.is_closed = len(rim(triangles)) == 0
        self._shell = _shell(corners, triangles)
        if self.is_closed and self._shell is not None and self._shell.volume < 0:
            triangles = triangles[:, ::-1].copy()
            self._shell = _shell(corners, triangles)
        self.vertices, self.faces = torch.from_numpy(corners), torch.from_numpy(triangles)
        self.warnings = []
        if not self.is_closed:
            self.warnings.append(
                "mesh is not watertight: inside and outside are a guess near its holes"
            )
        self._corners = self.vertices[self.faces]
        self._tree = TriangleTree(self._corners.numpy())
        sides = self._corners[:, 1:] - self._corners[:, :1]
        scaled = torch.linalg.cross(sides[:, 0], sides[:, 1])
        self._areas = scaled.norm(dim=-1) / 2
        self._normals = scaled / (2 * self._areas[:, None])

    @classmethod
    def from_file(cls, path: str | Path) -> "Mesh":
        """Read any format that trimesh reads (obj, ply, stl, off, ...); scenes become one mesh.

        Raises:
            InputError: If the file is missing or holds no usable triangles.
        """
        import trimesh

        file = Path(path)
        if not file.is_file():
            raise InputError(f"mesh must be an existing file, got {file}")
        try:
            loaded: Any = trimesh.load(file, force="mesh", process=False, skip_materials=True)
            vertices, faces = np.array(loaded.vertices, float), np.array(loaded.faces, int)
        except Exception as error:  # readers of corrupt files raise nearly anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"mesh {file} cannot be read: {reason}") from None
        if vertices.ndim != 2 or faces.ndim != 2 or len(faces) == 0:
            raise InputError(f"mesh {file} must have triangles, got none")
        try:
            return cls(vertices, faces)
        except InputError as error:
            raise InputError(f"{file}: {error}") from None

    def __repr__(self) -> str:
        return f"Mesh({len(self.vertices)} vertices, {len(self.faces)} faces)"

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Corners of the circumscribed box."""
        return self.vertices.amin(0), self.vertices.amax(0)

    def signed_distance(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the distance to the surface, negative inside; first derivatives pass through."""
        x = self._checked(x)
        points = x.detach().double().cpu().reshape(-1, 3).numpy()
        if self._shell is None:
            inside = winding(points, self._corners.numpy()) > 0.5
        else:
            nearest, inside = self._shell.locate(points)
        if not self.is_closed:
            nearest = self._tree.nearest(points)[0]
        # the nearest point moves at right angles to the offset: its slope does not matter
        offset = x - torch.from_numpy(nearest).to(x).reshape(x.shape)
        square = offset.square().sum(-1)
        touching = square == 0
        distance = torch.where(touching, 0, torch.where(touching, 1, square).sqrt())
        sign = torch.from_numpy(np.where(inside, -1.0, 1.0)).to(x).reshape(x.shape[:-1])
        return sign * distance

    def implicit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the mean-value distance: pi over the integral of 1/distance over directions.

        Smooth off the surface and of the right sign if the mesh is closed. Costs memory and time
        for points times triangles: simplify a fine mesh first.

        Source: A. Belyaev, P.-A. Fayolle, A. Pasko, "Signed Lp-distance fields", Computer-Aided
        Design 45 (2013) 523, p = 1; the triangle's integral from T. Ju, S. Schaefer, J. Warren,
        "Mean value coordinates for closed triangular meshes", ACM TOG 24 (2005) 561.
        """
        x = self._checked(x)
        normal = self._normals.to(x)
        tiny = torch.finfo(x.dtype).tiny ** 0.5
        spokes = self._corners.to(x) - x[..., None, None, :]
        height = (spokes[..., 0, :] * normal).sum(-1)
        least = torch.finfo(x.dtype).eps ** 0.6 * self.diameter
        nonzero = torch.where(height.abs() < least, torch.where(height < 0, -least, least), height)
        unit = spokes / spokes.square().sum(-1, keepdim=True).clamp_min(tiny).sqrt()
        mean = torch.zeros_like(height)
        for k in range(3):
            a, b = unit[..., k, :], unit[..., (k + 1) % 3, :]
            normal_ab = torch.linalg.cross(a, b)
            sine = normal_ab.square().sum(-1).clamp_min(tiny).sqrt()
            angle = torch.atan2(sine, (a * b).sum(-1))
            mean = mean + (normal_ab * normal).sum(-1) * angle / (2 * sine)
        weight = mean / nonzero
        nearest = weight.detach().abs().argmax(-1, keepdim=True)
        # infinite on the nearest triangle: its inverse is what stays smooth there
        inverse = height.gather(-1, nearest)[..., 0] / mean.gather(-1, nearest)[..., 0]
        rest = weight.scatter(-1, nearest, torch.zeros_like(weight)).sum(-1)
        return torch.pi * inverse / (1 + inverse * rest)

    def _body(self) -> Patch:
        lower, upper = self.bounds

        def place(cube: Tensor) -> Placed:
            points = lower + cube[:, :3] * (upper - lower)
            return Placed(points, None, self.contains(points))

        return Patch("interior", float((upper - lower).prod()), 3, place, whole=False)

    def _skin(self) -> list[Patch]:
        corners = self._corners
        areas = self._areas
        edges = torch.cat([areas.new_zeros(1), areas.cumsum(0) / areas.sum()])

        def place(cube: Tensor) -> Placed:
            chosen, cube = choose(cube, edges)
            return Placed(in_triangles(corners[chosen], cube), self._normals[chosen])

        return [Patch("surface", float(areas.sum()), 2, place)]

    @cached_property
    def volume(self) -> float:
        """Volume by the divergence theorem, holes closed by fans; counted if they cannot be."""
        return total([self._body()]) if self._shell is None else self._shell.volume


def _shell(vertices: np.ndarray, faces: np.ndarray) -> Shell | None:
    closed = capped(vertices, faces)
    return None if closed is None else Shell(*closed)
