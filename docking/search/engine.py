"""The search from start to ranked poses: chains in threads, then exact refinement of the best.

Every chain has random numbers of its own, and chains are joined in their order, so the result
depends on the seed and the effort alone, not on the number of threads.
"""

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from docking.search.chain import run_chain
from docking.search.descent import descend
from docking.search.energy import neighbours, place
from docking.search.problem import Body, Maps
from docking.search.room import Room, workspace

MAX_STEPS = 4000  # a chain's length stops growing here, at some 40 torsions
MARGIN = 1.5  # angstrom an atom may move before its neighbour list is made anew


@dataclass(frozen=True)
class Budget:
    """How long to search.

    Args:
        chains: Independent starts.
        trials: Random poses each start is the best of.
        steps: Changes each chain tries.
        iterations: Most steps of a descent inside a chain.
        patience: Changes without a gain after which a chain stops.
        kept: Distinct minima each chain hands on.
        refined: Minima refined with exact pair sums.

    Raises:
        ValueError: If a number is negative or, but for ``steps``, zero.
    """

    chains: int
    trials: int
    steps: int
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
            return cls(max(2, round(200 * effort)), 8, 0, 30, 1, 1, 20)
        steps = min(120 + 10 * atoms + 80 * torsions, MAX_STEPS)
        # Longer chains find more than more chains, so a small effort keeps some of both.
        chains, length = max(2, round(32 * effort**0.5)), effort**0.5
        return cls(chains, 16, max(1, round(steps * length)), 20, 10**9, 10, 30)


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


def search(maps: Maps, body: Body, budget: Budget, *, seed: int = 0, threads: int = 1) -> Minima:
    """Run all chains and join what they found, best first."""
    seeds = chain_seeds(seed, budget.chains)
    conformers = np.arange(budget.chains) % len(body.local)

    def lead(room: Room, index: int) -> Minima:
        energies = np.zeros(budget.kept)
        chosen = np.zeros(budget.kept, dtype=np.int64)
        states = np.zeros((budget.kept, len(body.scale) + 1))
        positions = np.zeros((budget.kept, len(body.kinds), 3))
        found, evaluations = run_chain(
            maps,
            body,
            conformers[index],
            seeds[index : index + 1].copy(),
            room,
            budget.trials,
            budget.steps,
            budget.iterations,
            budget.patience,
            energies,
            chosen,
            states,
            positions,
        )
        return Minima(
            energies[:found], chosen[:found], states[:found], positions[:found], evaluations
        )

    return joined(in_threads(lead, lambda: workspace(maps, body), budget.chains, threads))


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


def in_threads(
    task: Callable[[Room, int], Any], room: Callable[[], Room], count: int, threads: int
) -> list[Any]:
    """``[task(room, i) for i in range(count)]`` with work arrays for each thread."""
    if threads <= 1 or count <= 1:
        own = room()
        return [task(own, index) for index in range(count)]

    def share(first: int) -> list[Any]:
        own = room()
        return [task(own, index) for index in range(first, count, threads)]

    with ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(share, range(threads)))
    return [shares[index % threads][index // threads] for index in range(count)]


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


def refine(
    maps: Maps,
    body: Body,
    minima: Minima,
    chosen: Int[ndarray, " k"],
    *,
    rounds: int = 2,
    iterations: int = 20,
    threads: int = 1,
) -> Minima:
    """Descend with exact pair sums from some minima; result best first."""

    def polish(room: Room, index: int) -> tuple[float, ndarray, ndarray]:
        which = chosen[index]
        state, c = minima.states[which].copy(), int(minima.conformers[which])
        e = np.inf
        for _ in range(rounds):
            place(body, c, state, room.x, room.frames, room.origins, room.axes)
            if not neighbours(maps, room.x, MARGIN, room.starts, room.lists):
                break
            e, _used = descend(maps, body, c, state, room, True, iterations, 1e-3)
        place(body, c, state, room.x, room.frames, room.origins, room.axes)
        return e, state, room.x.copy()

    done = in_threads(polish, lambda: workspace(maps, body), len(chosen), threads)
    energies = np.array([e for e, _, _ in done])
    order = np.argsort(energies, kind="stable")
    return Minima(
        energies[order],
        minima.conformers[chosen][order],
        np.array([state for _, state, _ in done])[order],
        np.array([x for _, _, x in done])[order],
        minima.evaluations,
    )
