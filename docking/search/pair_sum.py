"""Ligand-receptor energy as a sum over atom pairs near each other, compiled."""

import math

from docking.search.compiled import compiled
from docking.search.problem import BINS

SLOPE = 20.0
"""Penalty for an atom outside the box, kcal/mol per angstrom and axis."""
CAP = 1000.0
"""Cap on one ligand atom when pairs are summed exactly, kcal/mol (Vina's)."""
REACH2 = 64.0
"""Squared cut-off of a pair, square angstrom."""


@compiled
def neighbours(maps, x, margin, starts, lists):
    """Receptor atoms within the cut-off and ``margin`` of each atom, one after another.

    Returns:
        Whether ``lists`` was long enough.
    """
    reach2 = (math.sqrt(REACH2) + margin) ** 2
    filled = 0
    y = maps.receptor
    for n in range(x.shape[0]):
        starts[n] = filled
        px, py, pz = x[n, 0], x[n, 1], x[n, 2]
        for m in range(y.shape[0]):
            dx, dy, dz = px - y[m, 0], py - y[m, 1], pz - y[m, 2]
            if dx * dx + dy * dy + dz * dz < reach2:
                if filled == lists.shape[0]:
                    return False
                lists[filled] = m
                filled += 1
    starts[x.shape[0]] = filled
    return True


@compiled
def pair_sum(maps, body, x, g, starts, lists):
    """Ligand-receptor energy summed over neighbours; writes the gradient into ``g``."""
    total = 0.0
    y, kinds, table = maps.receptor, maps.kinds, maps.table
    for n in range(x.shape[0]):
        px, py, pz = x[n, 0], x[n, 1], x[n, 2]
        rows = table[body.kinds[n]]
        e = gx = gy = gz = 0.0
        for place_ in range(starts[n], starts[n + 1]):
            m = lists[place_]
            dx, dy, dz = px - y[m, 0], py - y[m, 1], pz - y[m, 2]
            r2 = dx * dx + dy * dy + dz * dz
            if r2 < REACH2:
                u = r2 * BINS
                b = int(u)
                row = rows[kinds[m]]
                rise = row[b + 1] - row[b]
                e += row[b] + (u - b) * rise
                d = 2.0 * BINS * rise
                gx += d * dx
                gy += d * dy
                gz += d * dz
        if e > 0.0:
            shrink = CAP / (CAP + e)
            e *= shrink
            shrink *= shrink
            gx *= shrink
            gy *= shrink
            gz *= shrink
        for a in range(3):
            over = 0.0
            p = x[n, a]
            if p < maps.low[a]:
                over = p - maps.low[a]
            elif p > maps.high[a]:
                over = p - maps.high[a]
            if over != 0.0:
                e += SLOPE * abs(over)
                push = SLOPE if over > 0.0 else -SLOPE
                if a == 0:
                    gx += push
                elif a == 1:
                    gy += push
                else:
                    gz += push
        g[n, 0], g[n, 1], g[n, 2] = gx, gy, gz
        total += e
    return total
