"""What a learned field adds to exact pair sums: one map per ligand atom, read trilinearly."""

from docking.search.compiled import compiled


@compiled
def learned_energy(maps, body, x, g):
    """Energy of all atoms in their own maps; adds its gradient to ``g``.

    Outside the lattice the map's edge counts, without a force across it; the box has its own.
    """
    total = 0.0
    values = maps.learned
    shape = values.shape[1:]
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
        cell = values[body.channel[n], i : i + 2, j : j + 2, k : k + 2]
        b00 = cell[0, 0, 0] + f2 * (cell[0, 0, 1] - cell[0, 0, 0])
        b01 = cell[0, 1, 0] + f2 * (cell[0, 1, 1] - cell[0, 1, 0])
        b10 = cell[1, 0, 0] + f2 * (cell[1, 0, 1] - cell[1, 0, 0])
        b11 = cell[1, 1, 0] + f2 * (cell[1, 1, 1] - cell[1, 1, 0])
        a0 = b00 + f1 * (b01 - b00)
        a1 = b10 + f1 * (b11 - b10)
        total += a0 + f0 * (a1 - a0)
        low = cell[0, 0, 1] - cell[0, 0, 0]
        low += f1 * (cell[0, 1, 1] - cell[0, 1, 0] - low)
        high = cell[1, 0, 1] - cell[1, 0, 0]
        high += f1 * (cell[1, 1, 1] - cell[1, 1, 0] - high)
        if c0 == u0:
            g[n, 0] += (a1 - a0) * maps.inverse
        if c1 == u1:
            g[n, 1] += (b01 - b00 + f0 * (b11 - b10 - b01 + b00)) * maps.inverse
        if c2 == u2:
            g[n, 2] += (low + f0 * (high - low)) * maps.inverse
    return total
