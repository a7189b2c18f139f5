"""Chains of the search: starts scattered over the box, each led through neighbouring minima.

A chain starts from the best of a few random poses, descends, and then repeats: change one thing
(place, orientation or one torsion), descend, accept by Metropolis. A rigid ligand needs many
starts and no changes; a flexible one few starts and many changes.

Source: Abagyan, Totrov and Kuznetsov, J. Comput. Chem. 15 (1994) 488, for Monte Carlo with
minimisation; Trott and Olson, J. Comput. Chem. 31 (2010) 455, for its use in docking.
"""

import math

from docking.search.compiled import compiled
from docking.search.descent import descend
from docking.search.energy import place, rough_energy
from docking.search.random import random_in_ball, random_quaternion, uniform

TEMPERATURE = 1.2
"""Metropolis temperature, kcal/mol."""
_SAME = 1.0  # squared mean displacement, square angstrom, below which two minima are one


@compiled
def scatter(maps, body, c, stream, state, room):
    """Write a random pose into ``state`` and its atoms into ``room.x``.

    Orientation and torsions are uniform, then the place is, among those that leave all atoms in the
    box; a ligand too long for the box as it lies is put in its middle.
    """
    random_quaternion(stream, state[3:7])
    for t in range(7, state.shape[0]):
        state[t] = 2.0 * math.pi * uniform(stream) - math.pi
    for a in range(3):
        state[a] = 0.0
    place(body, c, state, room.x, room.frames, room.origins, room.axes)
    for a in range(3):
        least, most = math.inf, -math.inf
        for n in range(room.x.shape[0]):
            least = min(least, room.x[n, a])
            most = max(most, room.x[n, a])
        free = max(maps.high[a] - maps.low[a] - (most - least), 0.0)
        middle = 0.5 * (maps.high[a] + maps.low[a] - most - least)
        state[a] = middle + (uniform(stream) - 0.5) * free
        for n in range(room.x.shape[0]):
            room.x[n, a] += state[a]


@compiled
def mutate(maps, body, stream, state, radius):
    """Change one thing about a pose."""
    torsions = state.shape[0] - 7
    which = int(uniform(stream) * (2 + torsions))
    if which == 0:
        shift = state[0:3].copy()
        random_in_ball(stream, 2.0, shift)
        for a in range(3):
            state[a] += shift[a]
    elif which == 1:
        turn = state[0:3].copy()
        random_in_ball(stream, 2.0 / radius, turn)
        angle = math.sqrt(turn[0] ** 2 + turn[1] ** 2 + turn[2] ** 2)
        if angle > 0.0:
            s = math.sin(angle / 2) / angle
            w, i, j, k = math.cos(angle / 2), s * turn[0], s * turn[1], s * turn[2]
            a, b, c, d = state[3], state[4], state[5], state[6]
            state[3] = w * a - i * b - j * c - k * d
            state[4] = w * b + i * a + j * d - k * c
            state[5] = w * c - i * d + j * a + k * b
            state[6] = w * d + i * c - j * b + k * a
    else:
        state[5 + which] = 2.0 * math.pi * uniform(stream) - math.pi


@compiled
def remember(x, e, found, energies, positions, c, state, states, conformers):
    """Keep a minimum among the best distinct ones; returns how many are kept."""
    capacity = energies.shape[0]
    twin = -1
    for f in range(found):
        square = 0.0
        for n in range(x.shape[0]):
            for a in range(3):
                d = x[n, a] - positions[f, n, a]
                square += d * d
        if square < _SAME * x.shape[0]:
            twin = f
            break
    if twin >= 0:
        if e >= energies[twin]:
            return found
        spot = twin
    elif found < capacity:
        spot = found
        found += 1
    else:
        spot = 0
        for f in range(1, capacity):
            if energies[f] > energies[spot]:
                spot = f
        if e >= energies[spot]:
            return found
    energies[spot] = e
    conformers[spot] = c
    positions[spot] = x
    states[spot] = state
    return found


@compiled
def begin_chain(maps, body, c, seed, room, trials, iterations, here):
    """Write the minimum below the best of ``trials`` random poses into ``here``.

    Returns:
        Its energy, and how many energies were computed.
    """
    trial = room.states[1]
    lowest = math.inf
    for _ in range(trials):
        scatter(maps, body, c, seed, trial, room)
        e = rough_energy(maps, body, room)
        if e < lowest:
            lowest = e
            here[:] = trial
    e, used = descend(maps, body, c, here, room, False, iterations, 0.01, math.inf)
    return e, trials + used


@compiled
def lead_chain(maps, body, c, seed, room, budget, here, e, found, kept):
    """Lead one chain on from where it is.

    Args:
        maps: ``Maps``.
        body: ``Body``.
        c: Conformer.
        seed: Array of one uint64, the chain's stream of random numbers.
        room: Work arrays.
        budget: Changes to try; most steps of each descent; changes without a new best minimum
            after which the chain goes back to its best one.
        here: Its pose; overwritten.
        e: Energy of the pose.
        found: How many minima are kept.
        kept: Energies, conformers, poses and atoms of the best distinct minima; filled.

    Returns:
        Energy, how many minima are kept, and how many energies were computed.
    """
    steps, iterations, patience = budget
    energies, conformers, states, positions = kept
    trial = room.states[1]
    place(body, c, here, room.x, room.frames, room.origins, room.axes)
    found = remember(room.x, e, found, energies, positions, c, here, states, conformers)
    square = 0.0
    for n in range(room.x.shape[0]):
        for a in range(3):
            d = room.x[n, a] - here[a]
            square += d * d
    radius = max(math.sqrt(square / room.x.shape[0]), 1.0)
    best, since, evaluations = e, 0, 0
    for _ in range(steps):
        trial[:] = here
        mutate(maps, body, seed, trial, radius)
        # What Metropolis would accept is drawn first, so that a hopeless descent ends early.
        ceiling = e - TEMPERATURE * math.log(max(uniform(seed), 1e-300))
        new, used = descend(maps, body, c, trial, room, False, iterations, 0.05, ceiling)
        evaluations += used
        since += 1
        if new < ceiling:
            e = new
            here[:] = trial
            place(body, c, here, room.x, room.frames, room.origins, room.axes)
            found = remember(room.x, e, found, energies, positions, c, here, states, conformers)
            if e < best - 0.01:
                best, since = e, 0
        if since >= patience:
            # Lost: go on from the best minimum so far.
            top = lowest_of(energies, found)
            here[:] = states[top]
            e, since = energies[top], 0
    return e, found, evaluations


@compiled
def lowest_of(energies, found):
    """Index of the lowest of the first ``found`` energies."""
    top = 0
    for f in range(1, found):
        if energies[f] < energies[top]:
            top = f
    return top


@compiled
def run_chains(maps, body, alive, first, stride, seeds, budget, room, chains):
    """Begin or go on with every ``stride``-th of some chains.

    Args:
        maps: ``Maps``.
        body: ``Body``; chain ``i`` has conformer ``i`` modulo their number.
        alive: The chains.
        first: Place of the first in ``alive``.
        stride: Step to the next; the number of threads.
        seeds: One uint64 per chain.
        budget: ``trials`` random poses to begin with, none to go on from the best minimum;
            ``steps, iterations, patience`` of ``lead_chain``.
        room: Work arrays of this thread.
        chains: ``Chains``, filled.
    """
    trials, steps, iterations, patience = budget
    here = room.states[2]
    for place_ in range(first, alive.shape[0], stride):
        i = alive[place_]
        c = i % body.local.shape[0]
        found = chains.found[i, 0]
        seed = seeds[i : i + 1]
        used = 0
        if trials > 0:
            e, used = begin_chain(maps, body, c, seed, room, trials, iterations, here)
        else:
            top = lowest_of(chains.energies[i], found)
            e = chains.energies[i, top]
            here[:] = chains.states[i, top]
        kept = (chains.energies[i], chains.conformers[i], chains.states[i], chains.positions[i])
        e, found, more = lead_chain(
            maps, body, c, seed, room, (steps, iterations, patience), here, e, found, kept
        )
        chains.found[i, 0] = found
        chains.found[i, 1] += used + more
