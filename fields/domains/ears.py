"""Triangulation of simple polygons by clipping ears."""

import numpy as np
from jaxtyping import Float, Int


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray | np.floating:
    """Return the scalar cross product along the last axis."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def crossing_edges(vertices: Float[np.ndarray, "n 2"]) -> tuple[int, int] | None:
    """Return a pair of edges that touch where they must not, or None for a simple polygon.

    Edges that follow each other may share their common vertex only; others nothing.
    """
    n = len(vertices)
    starts, ends = vertices, np.roll(vertices, -1, axis=0)
    along = ends - starts
    scale = np.ptp(vertices, axis=0).max() ** 2
    for i in range(n):
        following = (i + 1) % n
        turn = cross(along[i], along[following])
        if abs(turn) <= 1e-14 * scale and along[i] @ along[following] < 0:
            return i, following
        others = np.array([j for j in range(i + 2, n) if (j + 1) % n != i], dtype=int)
        if len(others) == 0:
            continue
        # edges meet when each has its ends on different sides of the other, or on it
        mine = [cross(along[i], points[others] - starts[i]) for points in (starts, ends)]
        theirs = [cross(along[others], point - starts[others]) for point in (starts[i], ends[i])]
        meet = (mine[0] * mine[1] <= 0) & (theirs[0] * theirs[1] <= 0)
        low = np.minimum(starts, ends)
        high = np.maximum(starts, ends)
        meet &= ((low[others] <= high[i]) & (high[others] >= low[i])).all(-1)
        if meet.any():
            return i, int(others[meet.argmax()])
    return None


def ears(vertices: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, "m 3"]:
    """Return triangles that tile a simple polygon given counter-clockwise.

    The classical algorithm: cut a convex corner that no other vertex lies in, and repeat.
    Vertices on a straight line are left out without a triangle. The work grows as ``n**3`` at
    worst and as ``n**2`` in practice.

    Source: G. H. Meisters, "Polygons have ears", Amer. Math. Monthly 82 (1975) 648.
    """
    left = list(range(len(vertices)))
    found = []
    flat = 1e-14 * np.ptp(vertices, axis=0).max() ** 2
    while len(left) > 3:
        for place in range(len(left)):
            i, j, k = left[place - 1], left[place], left[(place + 1) % len(left)]
            area = cross(vertices[j] - vertices[i], vertices[k] - vertices[j])
            if abs(area) <= flat:
                break  # nothing to cut here, the vertex goes
            rest = vertices[[v for v in left if v not in (i, j, k)]]
            if area > 0 and not _holds(vertices[[i, j, k]], rest):
                found.append((i, j, k))
                break
        else:  # rounding can hide the last ears of a needle
            place = 0
        del left[place]
    found.append((left[0], left[1], left[2]))
    return np.array(found, dtype=int)


def _holds(triangle: np.ndarray, points: np.ndarray) -> bool:
    sides = [
        cross(triangle[(s + 1) % 3] - triangle[s], points - triangle[s]) >= 0 for s in range(3)
    ]
    return bool(np.logical_and.reduce(sides).any())
