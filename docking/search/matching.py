"""Least sums of squares between poses of equivalent atoms, compiled."""

import math

from docking.search.compiled import compiled


@compiled
def add_squares(one, many, atoms, out):
    """Add the squared displacement of some atoms of a pose ``(n, 3)`` to each of many others."""
    for q in range(many.shape[0]):
        square = 0.0
        for place in range(atoms.shape[0]):
            n = atoms[place]
            for a in range(3):
                d = one[n, a] - many[q, n, a]
                square += d * d
        out[q] += square


@compiled
def add_least_squares(one, many, atoms, maps, out):
    """The same, least over what may stand in the places of the atoms.

    Args:
        one: A pose ``(n, 3)``.
        many: Other poses ``(q, n, 3)``.
        atoms: Atoms of one part ``(k,)``.
        maps: Atoms in their places ``(g, k)``, the identity first.
        out: ``(q,)``, added to.
    """
    for q in range(many.shape[0]):
        least = math.inf
        for g in range(maps.shape[0]):
            square = 0.0
            for place in range(atoms.shape[0]):
                n, m = atoms[place], maps[g, place]
                for a in range(3):
                    d = one[n, a] - many[q, m, a]
                    square += d * d
                if square >= least:
                    break
            least = min(least, square)
        out[q] += least
