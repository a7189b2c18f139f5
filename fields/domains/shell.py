"""Closed triangle surfaces that know their inside, and closing surfaces that are open."""

import numpy as np
from jaxtyping import Bool, Float, Int

from fields.domains.triangles import TriangleTree

_ON_FEATURE = 1e-9  # barycentric coordinate below which a nearest point counts as on the edge


class Shell:
    """A closed surface of triangles seen counter-clockwise from outside.

    Args:
        vertices: Corners ``(n, 3)``.
        faces: Rows of three vertex numbers.

    Attributes:
        normals: Outward unit normal of every triangle.
        areas: Area of every triangle.
        volume: Volume inside, by the divergence theorem.

    Source: J. A. Bærentzen, H. Aanæs, "Signed distance computation using the angle weighted
    pseudonormal", IEEE TVCG 11 (2005) 243.
    """

    def __init__(self, vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> None:
        corners = vertices[faces]
        self._faces, self._tree = faces, TriangleTree(corners)
        scaled = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(scaled, axis=-1)
        self.areas, self.normals = length / 2, scaled / np.maximum(length, 1e-300)[:, None]
        middle = vertices.mean(0)
        self.volume = float(np.einsum("nd,nd->", corners[:, 0] - middle, scaled) / 6)
        self._edge_normals = self._around_edges()
        self._vertex_normals = self._around_vertices(corners, len(vertices))

    def locate(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
        """Return the nearest point of the surface, and whether a point lies inside or on it.

        The sign is that of the offset against the normal of the face, edge or vertex which holds
        the nearest point.
        """
        nearest, face, inner = self._tree.nearest(points)
        zero = inner <= _ON_FEATURE
        count = zero.sum(-1)
        normal = self.normals[face].copy()
        edge, vertex = count == 1, count >= 2
        normal[edge] = self._edge_normals[face[edge], zero[edge].argmax(-1)]
        normal[vertex] = self._vertex_normals[self._faces[face[vertex], inner[vertex].argmax(-1)]]
        return nearest, np.einsum("nd,nd->n", points - nearest, normal) <= 0

    def _around_edges(self) -> np.ndarray:
        """Sum of the normals on both sides, for the edge opposite to each corner."""
        opposite = np.sort(self._faces[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
        _, which = np.unique(opposite, axis=0, return_inverse=True)
        which = which.reshape(-1)
        total = np.zeros((which.max() + 1, 3))
        np.add.at(total, which, np.repeat(self.normals, 3, axis=0))
        return total[which].reshape(-1, 3, 3)

    def _around_vertices(self, corners: np.ndarray, n: int) -> np.ndarray:
        """Sum of the normals around every vertex, weighted by the angle of each triangle."""
        total = np.zeros((n, 3))
        for k in range(3):
            a, b = (corners[:, (k + i) % 3] - corners[:, k] for i in (1, 2))
            angle = np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.einsum("nd,nd->n", a, b))
            np.add.at(total, self._faces[:, k], self.normals * angle[:, None])
        return total


def rim(faces: Int[np.ndarray, "m 3"]) -> Int[np.ndarray, "k 2"]:
    """Return the directed edges that no triangle runs the other way: none if the surface is closed.

    An edge that two triangles run the same way (a flipped or a third triangle) appears as well.
    """
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    n = int(faces.max()) + 1
    keys, back = edges @ [n, 1], edges @ [1, n]
    _, where, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return edges[~np.isin(back, keys) | (counts[where.reshape(-1)] > 1)]


def capped(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]
) -> tuple[Float[np.ndarray, "p 3"], Int[np.ndarray, "q 3"]] | None:
    """Close every hole by a fan around its rim's centroid; None if the rims are no simple loops."""
    edges = rim(faces)
    following = dict(edges.tolist())
    if len(following) != len(edges) or set(following) != set(following.values()):
        return None
    corners, fans = [vertices], [faces]
    count = len(vertices)
    while following:
        start, loop = next(iter(following)), []
        while start in following:
            loop.append(start)
            start = following.pop(start)
        ring = np.array(loop)
        corners.append(vertices[ring].mean(0, keepdims=True))
        # against the rim's direction, so that each edge is run both ways
        fans.append(np.stack([np.roll(ring, -1), ring, np.full(len(ring), count)], axis=-1))
        count += 1
    closed = np.concatenate(fans)
    return (np.concatenate(corners), closed) if len(rim(closed)) == 0 else None
