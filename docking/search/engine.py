"""The search from start to ranked poses: chains in threads, then exact refinement of the best.

Every chain has random numbers of its own, and chains are joined in their order, so the result
depends on the seed and the effort alone, not on the number of threads.
"""

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from docking.search.chain import run_chains
from docking.search.descent import descend_all, descend_rough
from docking.search.problem import Body, Maps
from docking.search.room import workspace

MAX_STEPS = 2000  # a chain's length stops growing here, at some 25 torsions
_ROUNDS = 3
_TWIN = 1.0  # mean squared displacement, square angstrom, below which two chains found the same


@dataclass(frozen=True)
class Budget:
    """How long to search.

    Args:
        chains: Independent starts.
        trials: Random poses each start is the best of.
        steps: Changes each chain tries in the first round.
        rounds: After each round but the last, the better half of the chains goes on for twice as
            many changes.
        iterations: Most steps of a descent inside a chain.
        patience: Changes without a gain after which a chain goes back to its best minimum.
        kept: Distinct minima each chain hands on.
        refined: Minima refined with exact pair sums.

    Raises:
        ValueError: If a number is negative or, but for ``steps``, zero.
    """

    chains: int
    trials: int
    steps: int
    rounds: int
    iterations: int
    patience: int
    kept: int
    refined: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < (0 if name == "steps" else 1):
                raise ValueError(f"{name} must be positive, got {value}")

    @classmethod
    def of(cls, torsions: int, atoms: int, effort: float = 1.0) -> "Budget":
        """The default for a ligand, scaled by ``effort``."""
        if not effort > 0:
            raise ValueError(f"effort must be positive, got {effort}")
        if torsions == 0:
            return cls(max(2, round(200 * effort)), 2, 0, 1, 15, 1, 1, 12)
        steps = min(100 + 5 * atoms + 60 * torsions, MAX_STEPS)
        # Longer chains find more than more chains, so a small effort keeps some of both.
        chains, length = max(2, round(48 * effort**0.5)), effort**0.5
        return cls(chains, 16, max(1, round(steps * length / _ROUNDS)), _ROUNDS, 20, 50, 10, 30)


@dataclass
class Minima:
    """Minima of a search, best first.

    Attributes:
        energies: Search energy, kcal/mol.
        conformers: Conformer of each.
        states: Poses.
        positions: Heavy atoms in the order of the search, ``(m, n, 3)``.
        evaluations: Energies computed.
    """

    energies: Float[ndarray, " m"]
    conformers: Int[ndarray, " m"]
    states: Float[ndarray, "m dof"]
    positions: Float[ndarray, "m n 3"]
    evaluations: int = field(default=0)


def chain_seeds(seed: int, count: int, salt: str = "") -> ndarray:
    """One stream of random numbers per chain, far apart for any two seeds."""
    return np.random.SeedSequence([seed, zlib.crc32(salt.encode())]).generate_state(
        count, np.uint64
    )


class Chains(NamedTuple):
    """What the chains of a search have found; ``k`` minima of each at most.

    Attributes:
        energies: ``(chains, k)``, kcal/mol.
        conformers: ``(chains, k)``.
        states: ``(chains, k, dof + 1)``.
        positions: ``(chains, k, n, 3)``.
        found: How many minima, and how many energies were computed, ``(chains, 2)``.
    """

    energies: ndarray
    conformers: ndarray
    states: ndarray
    positions: ndarray
    found: ndarray

    @classmethod
    def empty(cls, body: Body, budget: Budget) -> "Chains":
        """Room for the chains of a budget."""
        shape = (budget.chains, budget.kept)
        return cls(
            np.full(shape, np.inf),
            np.zeros(shape, dtype=np.int64),
            np.zeros((*shape, len(body.scale) + 1)),
            np.zeros((*shape, len(body.kinds), 3)),
            np.zeros((budget.chains, 2), dtype=np.int64),
        )

    def better_half(self, alive: Int[ndarray, " a"]) -> Int[ndarray, " h"]:
        """The chains to go on with: by their best minimum, twins of a better chain last."""
        best = self.energies[alive].argmin(1)
        order = np.argsort(self.energies[alive, best], kind="stable")
        alive, x = alive[order], self.positions[alive, best][order]
        apart, twins = [0], list[int]()
        for place in range(1, len(alive)):
            square = ((x[apart] - x[place]) ** 2).sum(-1).mean(-1)
            (apart if square.min() > _TWIN else twins).append(place)
        return np.sort(alive[[*apart, *twins][: max(1, len(alive) // 2)]])

    def minima(self) -> "Minima":
        """All minima, best first."""
        filled = np.arange(self.energies.shape[1]) < self.found[:, :1]
        order = np.argsort(self.energies[filled], kind="stable")
        return Minima(
            self.energies[filled][order],
            self.conformers[filled][order],
            self.states[filled][order],
            self.positions[filled][order],
            int(self.found[:, 1].sum()),
        )


def search(maps: Maps, body: Body, budget: Budget, *, seed: int = 0, threads: int = 1) -> Minima:
    """Run all chains and join what they found, best first."""
    seeds = chain_seeds(seed, budget.chains)
    chains = Chains.empty(body, budget)
    alive = np.arange(budget.chains)
    trials, steps = budget.trials, budget.steps
    for turn in range(budget.rounds):
        if turn:
            alive, trials, steps = chains.better_half(alive), 0, 2 * steps
        lengths = (trials, steps, budget.iterations, budget.patience)
        side = max(1, min(threads, len(alive)))

        def lead(first: int, alive=alive, lengths=lengths, side=side) -> None:
            # One call for all chains of a thread: handing over arrays costs as much as a descent.
            room = workspace(maps, body)
            run_chains(maps, body, alive, first, side, seeds, lengths, room, chains)

        side_by_side(lead, side)
    return chains.minima()


def side_by_side(task: Callable[[int], None], threads: int) -> None:
    """Call ``task(0)`` to ``task(threads - 1)``, each in a thread of its own."""
    if threads == 1:
        task(0)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(task, range(threads)))


def joined(parts: Sequence[Minima]) -> Minima:
    """Minima of several searches of one ligand, best first."""
    energies = np.concatenate([part.energies for part in parts])
    order = np.argsort(energies, kind="stable")
    return Minima(
        energies[order],
        np.concatenate([part.conformers for part in parts])[order],
        np.concatenate([part.states for part in parts])[order],
        np.concatenate([part.positions for part in parts])[order],
        sum(part.evaluations for part in parts),
    )


def distinct(minima: Minima, cutoff: float, limit: int) -> Int[ndarray, " k"]:
    """Indices of minima, best first, each at least ``cutoff`` from the better ones kept."""
    kept: list[int] = []
    x = minima.positions
    for index in range(len(x)):
        if kept:
            square = ((x[kept] - x[index]) ** 2).sum(-1).mean(-1)
            if square.min() < cutoff**2:
                continue
        kept.append(index)
        if len(kept) == limit:
            break
    return np.array(kept, dtype=np.int64)


def settle(
    maps: Maps, body: Body, minima: Minima, limit: int, *, iterations: int = 12, threads: int = 1
) -> Minima:
    """Lead minima of one energy on to those of another, best first.

    For an energy that is dear and near a cheap one: all minima of the cheap one are looked at, and
    the best of them go on.

    Args:
        maps: Maps of the dear energy.
        body: The ligand.
        minima: Minima of the cheap one.
        limit: How many go on; the rest are left out.
        iterations: Most steps of each.
        threads: Threads; the result does not depend on them.
    """
    best = (
        minima.energies.copy(), minima.conformers.copy(), minima.states.copy(),
        minima.positions.copy(),
    )  # fmt: skip
    for steps in (0, iterations):
        _descend(maps, body, best, steps, threads, rough=True)
        order = np.argsort(best[0], kind="stable")[:limit]
        energies, conformers, states, positions = (part[order] for part in best)
        best = (energies, conformers, states, positions)
    return Minima(*best, minima.evaluations)


def refine(
    maps: Maps,
    body: Body,
    minima: Minima,
    chosen: Int[ndarray, " k"],
    *,
    iterations: int = 6,
    polished: int = 2,
    threads: int = 1,
) -> Minima:
    """Descend with exact pair sums from some minima; result best first.

    Args:
        maps: Maps and atoms of the pocket.
        body: The ligand.
        minima: Where to start.
        chosen: Which of them.
        iterations: Most steps of each; they start near a minimum of the maps.
        polished: The best so many go on for four times as long.
        threads: Threads; the result does not depend on them.
    """
    states = minima.states[chosen].copy()
    conformers = minima.conformers[chosen]
    energies = np.zeros(len(chosen))
    positions = np.zeros((len(chosen), *minima.positions.shape[1:]))
    for count, steps in ((len(chosen), iterations), (polished, 4 * iterations)):
        order = np.argsort(energies, kind="stable")
        states, conformers, energies = states[order], conformers[order], energies[order]
        positions = positions[order]
        best = (energies[:count], conformers[:count], states[:count], positions[:count])
        _descend(maps, body, best, steps, threads)
    order = np.argsort(energies, kind="stable")
    return Minima(
        energies[order], conformers[order], states[order], positions[order], minima.evaluations
    )


def _descend(
    maps: Maps,
    body: Body,
    best: tuple[ndarray, ...],
    steps: int,
    threads: int,
    *,
    rough: bool = False,
) -> None:
    """Lower some poses in place, by exact sums or in the maps."""
    lower = descend_rough if rough else descend_all
    side = max(1, min(threads, len(best[0])))
    side_by_side(
        lambda first: lower(maps, body, first, side, workspace(maps, body), steps, *best), side
    )
