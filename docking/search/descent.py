"""Quasi-Newton descent from a pose to the nearest minimum, compiled.

Variables are scaled so that a unit step of each moves the atoms by one angstrom in the mean: then
a unit matrix is a fair first guess of the inverse Hessian.

Source: Nocedal and Wright, "Numerical Optimization" (2006), sections 3.1 and 6.1.
"""

import math

import numpy as np

from docking.search.compiled import compiled
from docking.search.energy import energy, move, neighbours, place

LONGEST = 2.0
"""Longest step, angstrom in the mean: a longer one leaves the pose it started from."""
MARGIN = 1.5
"""How far an atom may move before its list of neighbours is made anew, angstrom."""
HOPE = np.array([np.inf, np.inf, np.inf, np.inf, 7.0, 5.0, 4.0, 3.0, 2.3, 1.8, 1.4, 1.0, 0.8, 0.6])
"""Gain still hoped for from each iteration on, kcal/mol: past it a descent is given up.

Set by eye from 900 descents in three training pockets, near what 19 of 20 that ended low still
gained.
"""
_ARMIJO = 1e-4
_ROUNDS = 3
_TRIALS = 8


@compiled
def start_anew(H):
    """Write the unit matrix into ``H``; returns that nothing is known of the Hessian."""
    for i in range(H.shape[0]):
        for j in range(H.shape[0]):
            H[i, j] = 0.0
        H[i, i] = 1.0
    return True


@compiled
def descend(maps, body, c, state, room, exact, iterations, tolerance, ceiling):
    """Follow the energy downhill; ``state`` is overwritten by the minimum.

    Args:
        maps: ``Maps``.
        body: ``Body``.
        c: Conformer.
        state: The pose.
        room: Work arrays.
        exact: Which energy (``energy``).
        iterations: Most steps.
        tolerance: Stop when two steps in a row gain less than this, kcal/mol.
        ceiling: Stop where a minimum below this is no longer to be expected, kcal/mol.

    Returns:
        The energy of the minimum, and how many energies were computed.
    """
    scale = body.scale
    n = scale.shape[0]
    H, V, trial = room.hessian, room.vectors, room.states[0]
    g, p, new, y, step = V[0], V[1], V[2], V[3], V[4]
    e = energy(maps, body, c, state, room, exact, g)
    evaluations = 1
    for i in range(n):
        g[i] *= scale[i]
    fresh = start_anew(H)
    small = 0
    for iteration in range(iterations):
        if e - HOPE[min(iteration, HOPE.shape[0] - 1)] > ceiling:
            break
        slope = 0.0
        size = 0.0
        for i in range(n):
            s = 0.0
            for j in range(n):
                s -= H[i, j] * g[j]
            p[i] = s
            slope += s * g[i]
            size += s * s
        if slope >= 0.0:
            if fresh:
                break
            fresh = start_anew(H)
            continue
        longest = LONGEST if not fresh else 0.5
        factor = 1.0
        if size > longest * longest:
            factor = longest / math.sqrt(size)
        lowered = False
        found = e
        for _ in range(_TRIALS):
            for i in range(n):
                step[i] = factor * p[i] * scale[i]
            move(state, step, trial)
            found = energy(maps, body, c, trial, room, exact, new)
            evaluations += 1
            if found <= e + _ARMIJO * factor * slope:
                lowered = True
                break
            # The minimum of the parabola through what is known, kept within bounds.
            bend = found - e - factor * slope
            shorter = -0.5 * slope * factor * factor / bend if bend > 0.0 else 0.5 * factor
            factor = min(max(shorter, 0.1 * factor), 0.5 * factor)
        if not lowered:
            if fresh:
                break
            fresh = start_anew(H)
            continue
        sy = yy = 0.0
        for i in range(n):
            new[i] *= scale[i]
            y[i] = new[i] - g[i]
            p[i] *= factor
            sy += p[i] * y[i]
            yy += y[i] * y[i]
            g[i] = new[i]
        for i in range(state.shape[0]):
            state[i] = trial[i]
        gained = e - found
        e = found
        small = small + 1 if gained < tolerance else 0
        if small == 2:
            break
        if sy > 1e-10 * yy and sy > 0.0:
            if fresh:
                for i in range(n):
                    H[i, i] = sy / yy
                fresh = False
            # step := H y, then the rank-two update.
            yhy = 0.0
            for i in range(n):
                s = 0.0
                for j in range(n):
                    s += H[i, j] * y[j]
                step[i] = s
                yhy += s * y[i]
            rho = 1.0 / sy
            lift = (1.0 + yhy * rho) * rho
            for i in range(n):
                for j in range(i + 1):
                    h = H[i, j] + lift * p[i] * p[j] - rho * (p[i] * step[j] + step[i] * p[j])
                    H[i, j] = h
                    H[j, i] = h
    return e, evaluations


@compiled
def descend_rough(
    maps, body, first, stride, room, iterations, energies, conformers, states, positions
):
    """Descend in the maps from every ``stride``-th pose, from ``first`` on, in place."""
    for i in range(first, states.shape[0], stride):
        state, c = states[i], conformers[i]
        energies[i], _used = descend(maps, body, c, state, room, False, iterations, 0.01, math.inf)
        place(body, c, state, room.x, room.frames, room.origins, room.axes)
        positions[i] = room.x


@compiled
def descend_all(
    maps, body, first, stride, room, iterations, energies, conformers, states, positions
):
    """Descend with exact pair sums from every ``stride``-th pose, from ``first`` on, in place.

    Neighbour lists reach ``MARGIN`` beyond the cut-off and are made anew if an atom went farther.
    An energy is infinite if its pose has more neighbours than there is room for.
    """
    n = positions.shape[1]
    for i in range(first, states.shape[0], stride):
        state, c = states[i], conformers[i]
        energies[i] = math.inf
        for _ in range(_ROUNDS):
            place(body, c, state, room.x, room.frames, room.origins, room.axes)
            positions[i] = room.x
            if not neighbours(maps, room.x, MARGIN, room.starts, room.lists):
                break
            energies[i], _used = descend(
                maps, body, c, state, room, True, iterations, 1e-3, math.inf
            )
            place(body, c, state, room.x, room.frames, room.origins, room.axes)
            farthest = 0.0
            for m in range(n):
                square = 0.0
                for a in range(3):
                    d = room.x[m, a] - positions[i, m, a]
                    square += d * d
                farthest = max(farthest, square)
            positions[i] = room.x
            if farthest < MARGIN * MARGIN:
                break
