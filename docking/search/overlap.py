"""Overlap of a ligand's own atoms, all the search asks of them: eight pairs at a time.

Summing all five terms over the movable pairs costs more than reading the receptor's maps. Between
minima their repulsion decides most. So the search counts overlap alone, an approximation that can
miss a pose held together by its own contacts; refinement, which has the last word on what is kept
and in which order, counts all terms.

The sum is laid out for vector units: single precision, no branch, one root a pair. Positions,
forces and radii lie in one array at fixed distances, which lets a compiler see that they do not
overlap.
"""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

from docking.search.compiled import compiled
from docking.terms import TERMS, ScoringFunction

STRIDE = 272
"""Most heavy atoms a ligand may have; no power of two, which would alias in a core's cache."""
ROWS = 7
"""Rows of the packed array: three of positions, three of gradients, one of radii."""
_S1, _S2, _S3, _S4, _S5, _S6 = (np.uint64(STRIDE * row) for row in range(1, ROWS))
_0, _3, _7, _8 = (np.uint64(n) for n in (0, 3, 7, 8))
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_TINY = np.float32(1e-6)  # square angstrom; atoms on top of each other keep a finite force


class OwnPairs(NamedTuple):
    """The movable pairs of a ligand, laid out for ``overlap``.

    Attributes:
        packed: Radii of the atoms in their row, all else zero, float32.
        counts: 1 for a pair that counts, 0 for others, ``(n, STRIDE)``, float32.
        first: First partner of each atom; ``n`` if it has none.
        weight: Of the repulsion, kcal/mol per square angstrom.
    """

    packed: ndarray
    counts: ndarray
    first: ndarray
    weight: float


def own_pairs(kinds: ndarray, pairs: ndarray, function: ScoringFunction) -> OwnPairs:
    """Lay out the pairs ``(p, 2)`` of atoms of types ``kinds``; none above ``STRIDE`` atoms."""
    n = len(kinds)
    packed = np.zeros(ROWS * STRIDE, dtype=np.float32)
    counts = np.zeros((n, STRIDE), dtype=np.float32)
    first = np.full(n, n, dtype=np.int64)
    if n <= STRIDE:
        packed[6 * STRIDE : 6 * STRIDE + n] = np.array(function.radii)[kinds]
        low, high = np.sort(pairs, axis=1).T
        counts[low, high] = 1.0
        np.minimum.at(first, low, high)
    return OwnPairs(packed, counts, first, float(function.weights[TERMS.index("repulsion")]))


@compiled
def overlap(own, packed, x, g):
    """Repulsion of the movable pairs of atoms at ``x``, kcal/mol; adds its gradient to ``g``.

    Args:
        own: ``OwnPairs``.
        packed: A copy of its array, to work in.
        x: Positions, ``(n, 3)``.
        g: Gradient, ``(n, 3)``.
    """
    n = x.shape[0]
    weight = np.float32(own.weight)
    for i in range(n):
        for a in range(3):
            packed[a * STRIDE + i] = x[i, a]
            packed[(a + 3) * STRIDE + i] = _ZERO
    total = _ZERO
    for i in range(n):
        # Whole blocks of eight: pairs that do not count have weight zero.
        start = (np.uint64(own.first[i]) >> _3) << _3
        blocks = (np.uint64(n) + _7 - start) >> _3
        px, py, pz = packed[i], packed[STRIDE + i], packed[2 * STRIDE + i]
        radius = packed[6 * STRIDE + i]
        fx = fy = fz = _ZERO
        counts = own.counts[i]
        for step in range(_0, blocks * _8):
            j = start + step
            dx, dy, dz = px - packed[j], py - packed[_S1 + j], pz - packed[_S2 + j]
            r2 = dx * dx + dy * dy + dz * dz + _TINY
            inverse = _ONE / np.sqrt(r2)
            depth = min(r2 * inverse - radius - packed[_S6 + j], _ZERO)
            slope = counts[j] * weight * depth
            total += slope * depth
            push = _TWO * slope * inverse
            fx += push * dx
            fy += push * dy
            fz += push * dz
            packed[_S3 + j] -= push * dx
            packed[_S4 + j] -= push * dy
            packed[_S5 + j] -= push * dz
        g[i, 0] += fx
        g[i, 1] += fy
        g[i, 2] += fz
    for i in range(n):
        for a in range(3):
            g[i, a] += packed[(a + 3) * STRIDE + i]
    return np.float64(total)
