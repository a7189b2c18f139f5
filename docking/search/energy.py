"""Energy of a pose and its gradient in every degree of freedom, compiled.

A pose is ``(translation 3, quaternion 4, torsions t)``; its gradient has ``6 + t`` entries, the
three of the rotation being about the lab axes through the root's origin. Forces on atoms are
gathered up the tree as forces and torques, so that a gradient costs little more than an energy.

Source: Trott and Olson, J. Comput. Chem. 31 (2010) 455, for searching in such coordinates;
Featherstone, "Rigid Body Dynamics Algorithms" (2008), for sums along a tree.
"""

import math

import numpy as np

from docking.search.compiled import compiled
from docking.search.learned_map import cell_of_channels, learned_energy
from docking.search.overlap import STRIDE, overlap
from docking.search.pair_sum import CAP, REACH2, SLOPE, neighbours, pair_sum
from docking.search.problem import BINS

__all__ = ["CAP", "SLOPE", "energy", "move", "neighbours", "place"]


@compiled
def place(body, c, state, x, frames, origins, axes):
    """Positions ``x (n, 3)`` of a pose of conformer ``c``; frames, origins, axes of its bodies."""
    w, i, j, k = state[3], state[4], state[5], state[6]
    R = frames[0]
    R[0, 0] = 1 - 2 * (j * j + k * k)
    R[0, 1] = 2 * (i * j - w * k)
    R[0, 2] = 2 * (i * k + w * j)
    R[1, 0] = 2 * (i * j + w * k)
    R[1, 1] = 1 - 2 * (i * i + k * k)
    R[1, 2] = 2 * (j * k - w * i)
    R[2, 0] = 2 * (i * k - w * j)
    R[2, 1] = 2 * (j * k + w * i)
    R[2, 2] = 1 - 2 * (i * i + j * j)
    for a in range(3):
        origins[0, a] = state[a]
    for b in range(body.parents.shape[0]):
        if b > 0:
            p = body.parents[b]
            P = frames[p]
            ox, oy, oz = body.offset[c, b, 0], body.offset[c, b, 1], body.offset[c, b, 2]
            ux, uy, uz = body.axis[c, b, 0], body.axis[c, b, 1], body.axis[c, b, 2]
            angle = state[6 + b]
            co, si = math.cos(angle), math.sin(angle)
            m = 1 - co
            # Turn about the axis in the conformer's frame, then the parent's frame.
            t00, t01, t02 = co + ux * ux * m, ux * uy * m - uz * si, ux * uz * m + uy * si
            t10, t11, t12 = uy * ux * m + uz * si, co + uy * uy * m, uy * uz * m - ux * si
            t20, t21, t22 = uz * ux * m - uy * si, uz * uy * m + ux * si, co + uz * uz * m
            R = frames[b]
            for a in range(3):
                p0, p1, p2 = P[a, 0], P[a, 1], P[a, 2]
                origins[b, a] = origins[p, a] + p0 * ox + p1 * oy + p2 * oz
                axes[b, a] = p0 * ux + p1 * uy + p2 * uz
                R[a, 0] = p0 * t00 + p1 * t10 + p2 * t20
                R[a, 1] = p0 * t01 + p1 * t11 + p2 * t21
                R[a, 2] = p0 * t02 + p1 * t12 + p2 * t22
        R = frames[b]
        for n in range(body.starts[b], body.starts[b + 1]):
            lx, ly, lz = body.local[c, n, 0], body.local[c, n, 1], body.local[c, n, 2]
            for a in range(3):
                x[n, a] = origins[b, a] + R[a, 0] * lx + R[a, 1] * ly + R[a, 2] * lz


@compiled
def map_energy(maps, body, x, g):
    """Ligand-receptor energy read from capped maps, trilinear; adds forces' negatives to ``g``."""
    total = 0.0
    direct = maps.readout.shape[0] > 0
    values = maps.values
    nx, ny, nz = values.shape[1], values.shape[2], values.shape[3]
    inverse = maps.inverse
    flat = values.reshape(values.size)
    one, row, deep = np.uint64(1), np.uint64(nz), np.uint64(ny * nz)
    for n in range(x.shape[0]):
        penalty = 0.0
        px, py, pz = x[n, 0], x[n, 1], x[n, 2]
        sx = sy = sz = 0.0
        if px < maps.low[0]:
            penalty += maps.low[0] - px
            sx = -SLOPE
            px = maps.low[0]
        elif px > maps.high[0]:
            penalty += px - maps.high[0]
            sx = SLOPE
            px = maps.high[0]
        if py < maps.low[1]:
            penalty += maps.low[1] - py
            sy = -SLOPE
            py = maps.low[1]
        elif py > maps.high[1]:
            penalty += py - maps.high[1]
            sy = SLOPE
            py = maps.high[1]
        if pz < maps.low[2]:
            penalty += maps.low[2] - pz
            sz = -SLOPE
            pz = maps.low[2]
        elif pz > maps.high[2]:
            penalty += pz - maps.high[2]
            sz = SLOPE
            pz = maps.high[2]
        ux = (px - maps.origin[0]) * inverse
        uy = (py - maps.origin[1]) * inverse
        uz = (pz - maps.origin[2]) * inverse
        i = min(max(int(ux), 0), nx - 2)
        j = min(max(int(uy), 0), ny - 2)
        k = min(max(int(uz), 0), nz - 2)
        fx, fy, fz = ux - i, uy - j, uz - k
        # One flat unsigned index: signed ones are tested for counting from the end.
        at = np.uint64(((body.channel[n] * nx + i) * ny + j) * nz + k)
        up = at + deep
        a000, a001, a010, a011 = flat[at], flat[at + one], flat[at + row], flat[at + row + one]
        a100, a101, a110, a111 = flat[up], flat[up + one], flat[up + row], flat[up + row + one]
        if direct:
            e000, e001, e010, e011, e100, e101, e110, e111 = cell_of_channels(
                maps, body, n, i, j, k
            )
            a000, a001, a010, a011 = a000 + e000, a001 + e001, a010 + e010, a011 + e011
            a100, a101, a110, a111 = a100 + e100, a101 + e101, a110 + e110, a111 + e111
        b00, b01 = a000 + fz * (a001 - a000), a010 + fz * (a011 - a010)
        b10, b11 = a100 + fz * (a101 - a100), a110 + fz * (a111 - a110)
        c0, c1 = b00 + fy * (b01 - b00), b10 + fy * (b11 - b10)
        total += c0 + fx * (c1 - c0) + SLOPE * penalty
        d0, d1 = a001 - a000 + fy * (a011 - a010 - a001 + a000), 0.0
        d1 = a101 - a100 + fy * (a111 - a110 - a101 + a100)
        g[n, 0] = (c1 - c0) * inverse if sx == 0.0 else sx
        g[n, 1] = (b01 - b00 + fx * (b11 - b10 - b01 + b00)) * inverse if sy == 0.0 else sy
        g[n, 2] = (d0 + fx * (d1 - d0)) * inverse if sz == 0.0 else sz
    return total


@compiled
def own_energy(maps, body, x, g, limit):
    """Energy of the ligand's own movable pairs, each capped; adds its gradient to ``g``."""
    total = 0.0
    table = maps.table
    for p in range(body.pairs.shape[0]):
        n, m = body.pairs[p, 0], body.pairs[p, 1]
        dx, dy, dz = x[n, 0] - x[m, 0], x[n, 1] - x[m, 1], x[n, 2] - x[m, 2]
        r2 = dx * dx + dy * dy + dz * dz
        if r2 < REACH2:
            u = r2 * BINS
            b = int(u)
            row = table[body.kinds[n], body.kinds[m]]
            rise = row[b + 1] - row[b]
            e = row[b] + (u - b) * rise
            d = 2.0 * BINS * rise
            if e > 0.0:
                shrink = limit / (limit + e)
                e *= shrink
                d *= shrink * shrink
            total += e
            g[n, 0] += d * dx
            g[n, 1] += d * dy
            g[n, 2] += d * dz
            g[m, 0] -= d * dx
            g[m, 1] -= d * dy
            g[m, 2] -= d * dz
    return total


@compiled
def rough_energy(maps, body, room):
    """What the search minimises, of the atoms at ``room.x``: maps and the ligand's own pairs."""
    total = map_energy(maps, body, room.x, room.g)
    if body.pairs.shape[0] > 0:
        if room.x.shape[0] <= STRIDE:
            total += overlap(body.own, room.packed, room.x, room.g)
        else:
            total += own_energy(maps, body, room.x, room.g, CAP)
    return total


@compiled
def gather(body, x, g, origins, axes, force, torque, slope):
    """Gradient ``slope (6 + t)`` in the degrees of freedom from that in the positions."""
    count = body.parents.shape[0]
    for b in range(count):
        f0 = f1 = f2 = t0 = t1 = t2 = 0.0
        for n in range(body.starts[b], body.starts[b + 1]):
            g0, g1, g2 = g[n, 0], g[n, 1], g[n, 2]
            a0, a1, a2 = x[n, 0] - origins[b, 0], x[n, 1] - origins[b, 1], x[n, 2] - origins[b, 2]
            f0 += g0
            f1 += g1
            f2 += g2
            t0 += a1 * g2 - a2 * g1
            t1 += a2 * g0 - a0 * g2
            t2 += a0 * g1 - a1 * g0
        force[b, 0], force[b, 1], force[b, 2] = f0, f1, f2
        torque[b, 0], torque[b, 1], torque[b, 2] = t0, t1, t2
    for b in range(count - 1, 0, -1):
        slope[5 + b] = (
            axes[b, 0] * torque[b, 0] + axes[b, 1] * torque[b, 1] + axes[b, 2] * torque[b, 2]
        )
        p = body.parents[b]
        a0 = origins[b, 0] - origins[p, 0]
        a1 = origins[b, 1] - origins[p, 1]
        a2 = origins[b, 2] - origins[p, 2]
        g0, g1, g2 = force[b, 0], force[b, 1], force[b, 2]
        force[p, 0] += g0
        force[p, 1] += g1
        force[p, 2] += g2
        torque[p, 0] += torque[b, 0] + a1 * g2 - a2 * g1
        torque[p, 1] += torque[b, 1] + a2 * g0 - a0 * g2
        torque[p, 2] += torque[b, 2] + a0 * g1 - a1 * g0
    for a in range(3):
        slope[a] = force[0, a]
        slope[3 + a] = torque[0, a]


@compiled
def energy(maps, body, c, state, room, exact, slope):
    """Energy of a pose and its gradient.

    Args:
        maps: ``Maps``.
        body: ``Body``.
        c: Conformer.
        state: The pose.
        room: Work arrays (``workspace``).
        exact: Sum pairs over the neighbour lists of ``room`` rather than read the maps.
        slope: Filled with the gradient.
    """
    place(body, c, state, room.x, room.frames, room.origins, room.axes)
    if exact:
        total = pair_sum(maps, body, room.x, room.g, room.starts, room.lists)
        total += own_energy(maps, body, room.x, room.g, CAP)
        if maps.learned.shape[0] > 0 or maps.readout.shape[0] > 0:
            total += learned_energy(maps, body, room.x, room.g)
    else:
        total = rough_energy(maps, body, room)
    gather(body, room.x, room.g, room.origins, room.axes, room.force, room.torque, slope)
    return total + body.penalty[c]


@compiled
def move(state, step, out):
    """The pose reached by a step: shift, turn about the lab axes, torsions."""
    for a in range(3):
        out[a] = state[a] + step[a]
    angle = math.sqrt(step[3] ** 2 + step[4] ** 2 + step[5] ** 2)
    if angle > 1e-12:
        s = math.sin(angle / 2) / angle
        w, i, j, k = math.cos(angle / 2), s * step[3], s * step[4], s * step[5]
    else:
        w, i, j, k = 1.0, step[3] / 2, step[4] / 2, step[5] / 2
    a, b, c, d = state[3], state[4], state[5], state[6]
    e = w * a - i * b - j * c - k * d
    f = w * b + i * a + j * d - k * c
    g = w * c - i * d + j * a + k * b
    h = w * d + i * c - j * b + k * a
    size = math.sqrt(e * e + f * f + g * g + h * h)
    out[3], out[4], out[5], out[6] = e / size, f / size, g / size, h / size
    for t in range(7, state.shape[0]):
        turned = state[t] + step[t - 1]
        out[t] = turned - 2 * math.pi * np.round(turned / (2 * math.pi))
