"""What a learned field adds to the search: a map per ligand atom, or the field's channels.

A map per atom is read as quickly as a physics map, but has to be made for every ligand: it pays for
a search of many energies. The channels of a pocket serve all its ligands as they are; each corner
of a cell then costs a dot product with the atom's coefficients, which pays for few.
"""

import numpy as np

from docking.search.compiled import compiled
from docking.search.problem import SEARCH_CAP

_FADE = 1.0 / SEARCH_CAP


@compiled
def cell_of_channels(maps, body, n, i, j, k):
    """The field's energy for atom ``n`` at the corners of a cell, faded where physics is a wall."""
    channels, readout, walls = maps.channels, maps.readout, maps.values[body.channel[n]]
    # single precision throughout: twice as many to a vector
    c000 = c001 = c010 = c011 = c100 = c101 = c110 = c111 = np.float32(0.0)
    r000, r001 = channels[i, j, k], channels[i, j, k + 1]
    r010, r011 = channels[i, j + 1, k], channels[i, j + 1, k + 1]
    r100, r101 = channels[i + 1, j, k], channels[i + 1, j, k + 1]
    r110, r111 = channels[i + 1, j + 1, k], channels[i + 1, j + 1, k + 1]
    for q in range(readout.shape[1]):
        a = readout[n, q]
        c000 += a * r000[q]
        c001 += a * r001[q]
        c010 += a * r010[q]
        c011 += a * r011[q]
        c100 += a * r100[q]
        c101 += a * r101[q]
        c110 += a * r110[q]
        c111 += a * r111[q]
    return (
        c000 * faded(walls[i, j, k]),
        c001 * faded(walls[i, j, k + 1]),
        c010 * faded(walls[i, j + 1, k]),
        c011 * faded(walls[i, j + 1, k + 1]),
        c100 * faded(walls[i + 1, j, k]),
        c101 * faded(walls[i + 1, j, k + 1]),
        c110 * faded(walls[i + 1, j + 1, k]),
        c111 * faded(walls[i + 1, j + 1, k + 1]),
    )


@compiled
def faded(wall):
    """Share of the field left where the physics map is ``wall``, kcal/mol."""
    return min(max(1.0 - wall * _FADE, 0.0), 1.0)


@compiled
def cell_of_map(maps, body, n, i, j, k):
    """The same from the map of atom ``n``."""
    cell = maps.learned[body.channel[n], i : i + 2, j : j + 2, k : k + 2]
    return (
        cell[0, 0, 0],
        cell[0, 0, 1],
        cell[0, 1, 0],
        cell[0, 1, 1],
        cell[1, 0, 0],
        cell[1, 0, 1],
        cell[1, 1, 0],
        cell[1, 1, 1],
    )


@compiled
def learned_energy(maps, body, x, g):
    """Energy of all atoms in the field alone, trilinear; adds its gradient to ``g``.

    Outside the lattice the map's edge counts, without a force across it; the box has its own.
    """
    total = 0.0
    shape = maps.values.shape[1:]
    direct = maps.readout.shape[0] > 0
    for n in range(x.shape[0]):
        u0 = (x[n, 0] - maps.origin[0]) * maps.inverse
        u1 = (x[n, 1] - maps.origin[1]) * maps.inverse
        u2 = (x[n, 2] - maps.origin[2]) * maps.inverse
        c0 = min(max(u0, 0.0), shape[0] - 1.0)
        c1 = min(max(u1, 0.0), shape[1] - 1.0)
        c2 = min(max(u2, 0.0), shape[2] - 1.0)
        i = min(int(c0), shape[0] - 2)
        j = min(int(c1), shape[1] - 2)
        k = min(int(c2), shape[2] - 2)
        f0, f1, f2 = c0 - i, c1 - j, c2 - k
        if direct:
            e000, e001, e010, e011, e100, e101, e110, e111 = cell_of_channels(
                maps, body, n, i, j, k
            )
        else:
            e000, e001, e010, e011, e100, e101, e110, e111 = cell_of_map(maps, body, n, i, j, k)
        b00, b01 = e000 + f2 * (e001 - e000), e010 + f2 * (e011 - e010)
        b10, b11 = e100 + f2 * (e101 - e100), e110 + f2 * (e111 - e110)
        a0, a1 = b00 + f1 * (b01 - b00), b10 + f1 * (b11 - b10)
        total += a0 + f0 * (a1 - a0)
        low = e001 - e000 + f1 * (e011 - e010 - e001 + e000)
        high = e101 - e100 + f1 * (e111 - e110 - e101 + e100)
        if c0 == u0:
            g[n, 0] += (a1 - a0) * maps.inverse
        if c1 == u1:
            g[n, 1] += (b01 - b00 + f0 * (b11 - b10 - b01 + b00)) * maps.inverse
        if c2 == u2:
            g[n, 2] += (low + f0 * (high - low)) * maps.inverse
    return total
