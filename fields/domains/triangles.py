"""Distances and angles between points and triangle soups, in NumPy."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

_PAIRS = 2**19  # point-triangle pairs at a time


class TriangleTree:
    """Nearest points on triangles.

    Triangles are sorted into classes of like size, each with a tree of centroids. A class is
    searched with ever more neighbours until the last of them is too far away for its triangle
    to matter, so the answer is exact whatever the shapes are.

    Args:
        corners: Corners of the triangles.
    """

    def __init__(self, corners: Float[np.ndarray, "m 3 3"]) -> None:
        self.corners = corners
        centroids = corners.mean(1)
        reach = np.linalg.norm(corners - centroids[:, None], axis=-1).max(1)
        size = np.floor(np.log2(reach / reach.max() + 1e-12)).astype(int)
        self._classes = [
            (rows, cKDTree(centroids[rows]), float(reach[rows].max()))
            for rows in (np.flatnonzero(size == level) for level in np.unique(size)[::-1])
        ]

    def nearest(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
        """Return the nearest point, its triangle, and its barycentric coordinates there."""
        best = np.full(len(points), np.inf)
        place, face, inner = points.copy(), np.zeros(len(points), dtype=int), np.zeros_like(points)
        for rows, tree, reach in self._classes:
            open_ = np.arange(len(points))
            seen, count = 0, min(4, len(rows))
            while len(open_):
                far, near = tree.query(points[open_], k=range(seen + 1, count + 1))
                width = count - seen
                step = max(1, _PAIRS // width)
                for start in range(0, len(open_), step):
                    which = open_[start : start + step]
                    faces = rows[near[start : start + step]]
                    p, b = closest_point(
                        np.repeat(points[which], width, axis=0), self.corners[faces.ravel()]
                    )
                    p, b = p.reshape(-1, width, 3), b.reshape(-1, width, 3)
                    distance = np.linalg.norm(p - points[which, None], axis=-1)
                    k = distance.argmin(1)
                    i = np.arange(len(which))
                    better = distance[i, k] < best[which]
                    won, k, i = which[better], k[better], i[better]
                    best[won], place[won], inner[won] = distance[i, k], p[i, k], b[i, k]
                    face[won] = faces[i, k]
                if count == len(rows):
                    break
                open_ = open_[far[:, -1] - reach < best[open_]]
                seen, count = count, min(3 * count, len(rows))
        return place, face, inner


def closest_point(
    points: Float[np.ndarray, "n 3"], corners: Float[np.ndarray, "n 3 3"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Return the point of each triangle nearest to each point, and its barycentric coordinates.

    Either the foot of the perpendicular lies inside, or the nearest point lies on an edge.
    """
    a = corners[:, 0]
    ab, ac, ap = corners[:, 1] - a, corners[:, 2] - a, points - a
    d00, d01, d11 = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac)
    d20, d21 = _dot(ap, ab), _dot(ap, ac)
    determinant = np.maximum(d00 * d11 - d01 * d01, 1e-300)
    v, w = (d11 * d20 - d01 * d21) / determinant, (d00 * d21 - d01 * d20) / determinant
    weights = np.stack([1 - v - w, v, w], axis=-1)
    out = np.flatnonzero((weights < 0).any(-1) | ~np.isfinite(weights).all(-1))
    if len(out):
        best = np.full(len(out), np.inf)
        chosen = np.zeros((len(out), 3))
        for i, j in ((0, 1), (1, 2), (2, 0)):
            start, along = corners[out, i], corners[out, j] - corners[out, i]
            off = points[out] - start
            t = np.clip(_dot(off, along) / np.maximum(_dot(along, along), 1e-300), 0, 1)
            square = ((off - t[:, None] * along) ** 2).sum(-1)
            trial = np.zeros_like(chosen)
            trial[:, i], trial[:, j] = 1 - t, t
            better = square < best
            best[better], chosen[better] = square[better], trial[better]
        weights[out] = chosen
    return np.einsum("nk,nkd->nd", weights, corners), weights


def winding(
    points: Float[np.ndarray, "n 3"], corners: Float[np.ndarray, "m 3 3"]
) -> Float[np.ndarray, " n"]:
    """Return how often the surface winds around each point: 1 inside, 0 outside if closed.

    On a surface with holes it falls smoothly from one to the other through the hole. The cost is
    points times triangles.

    Source: A. Jacobson, L. Kavan, O. Sorkine-Hornung, "Robust inside-outside segmentation using
    generalized winding numbers", ACM TOG 32 (2013) 33; solid angles after A. van Oosterom,
    J. Strackee, IEEE Trans. Biomed. Eng. 30 (1983) 125.
    """
    turns = np.empty(len(points))
    step = max(1, _PAIRS // len(corners))
    for start in range(0, len(points), step):
        a, b, c = (corners[None, :, k] - points[start : start + step, None] for k in range(3))
        la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
        top = _dot(a, np.cross(b, c))
        bottom = la * lb * lc + _dot(a, b) * lc + _dot(b, c) * la + _dot(c, a) * lb
        turns[start : start + step] = np.arctan2(top, bottom).sum(-1) / (2 * np.pi)
    return turns


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("...d,...d->...", a, b)
