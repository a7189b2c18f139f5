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
from docking.search.energy import map_energy, own_energy, place
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
def run_chain(
    maps,
    body,
    c,
    seed,
    room,
    trials,
    steps,
    iterations,
    patience,
    energies,
    conformers,
    states,
    positions,
):
    """Lead one chain.

    Args:
        maps: ``Maps``.
        body: ``Body``.
        c: Conformer.
        seed: Array of one uint64, the chain's stream of random numbers.
        room: Work arrays.
        trials: Random poses to choose the start from.
        steps: Changes to try.
        iterations: Most steps of each descent.
        patience: Changes without a new best minimum after which it goes back to its best one.
        energies: Filled with the energies of the best distinct minima.
        conformers: Their conformers.
        states: Their poses.
        positions: Their atoms.

    Returns:
        How many minima were kept, and how many energies were computed.
    """
    here, trial = room.states[1], room.states[2]
    lowest = math.inf
    for _ in range(trials):
        scatter(maps, body, c, seed, trial, room)
        e = map_energy(maps, body, room.x, room.g) + own_energy(maps, body, room.x, room.g, 10.0)
        if e < lowest:
            lowest = e
            here[:] = trial
    evaluations = trials
    e, used = descend(maps, body, c, here, room, False, iterations, 0.01)
    evaluations += used
    place(body, c, here, room.x, room.frames, room.origins, room.axes)
    found = remember(room.x, e, 0, energies, positions, c, here, states, conformers)
    square = 0.0
    for n in range(room.x.shape[0]):
        for a in range(3):
            d = room.x[n, a] - here[a]
            square += d * d
    radius = max(math.sqrt(square / room.x.shape[0]), 1.0)
    best, since = e, 0
    for _ in range(steps):
        trial[:] = here
        mutate(maps, body, seed, trial, radius)
        new, used = descend(maps, body, c, trial, room, False, iterations, 0.05)
        evaluations += used
        since += 1
        if new < e or uniform(seed) < math.exp((e - new) / TEMPERATURE):
            e = new
            here[:] = trial
            place(body, c, here, room.x, room.frames, room.origins, room.axes)
            found = remember(room.x, e, found, energies, positions, c, here, states, conformers)
            if e < best - 0.01:
                best, since = e, 0
        if since >= patience:
            # Lost: go on from the best minimum so far.
            top = 0
            for f in range(1, found):
                if energies[f] < energies[top]:
                    top = f
            here[:] = states[top]
            e, since = energies[top], 0
    return found, evaluations


@compiled
def run_chains(
    maps, body, first, stride, seeds, budget, room, energies, conformers, states, positions, found
):
    """Lead every ``stride``-th chain, from chain ``first`` on.

    Args:
        maps: ``Maps``.
        body: ``Body``; chain ``i`` has conformer ``i`` modulo their number.
        first: First chain.
        stride: Step to the next; the number of threads.
        seeds: One uint64 per chain.
        budget: ``trials, steps, iterations, patience`` of each chain.
        room: Work arrays of this thread.
        energies: Filled, ``(chains, kept)``; as the next three, see ``run_chain``.
        conformers: Filled.
        states: Filled.
        positions: Filled.
        found: Filled with the number of minima of each chain, and of energies computed.
    """
    trials, steps, iterations, patience = budget
    for i in range(first, seeds.shape[0], stride):
        found[i, 0], found[i, 1] = run_chain(
            maps,
            body,
            i % body.local.shape[0],
            seeds[i : i + 1],
            room,
            trials,
            steps,
            iterations,
            patience,
            energies[i],
            conformers[i],
            states[i],
            positions[i],
        )
