"""From minima of a search to ranked poses that differ from each other."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from docking.result import Pose
from docking.search.engine import Minima, distinct, refine
from docking.search.problem import Flexible, Maps
from docking.symmetry import Symmetry

APART = 1.0
"""Least symmetric RMSD between two reported poses, angstrom."""
_LOOKED_AT = 10  # minima compared for each one wanted


def spread(
    minima: Minima, problem: Flexible, symmetry: Symmetry, cutoff: float, limit: int
) -> Int[ndarray, " k"]:
    """Indices of minima, best first, each ``cutoff`` of symmetric RMSD from the better ones."""
    if symmetry.order == 1:
        return distinct(minima, cutoff, limit)
    some = min(len(minima.positions), _LOOKED_AT * limit)
    x = np.zeros((some, symmetry.atoms, 3))
    x[:, problem.order] = minima.positions[:some]
    return symmetry.cluster(x, -minima.energies[:some], cutoff, limit)


def refined_apart(
    maps: Maps,
    problem: Flexible,
    minima: Minima,
    symmetry: Symmetry,
    fewest: int,
    wanted: int,
    threads: int,
) -> Minima:
    """Minima refined with exact pair sums, best first.

    Those far enough apart to be reported, as many as are wanted or ``fewest``; and neighbours of
    the best for its sake.
    """
    close = distinct(minima, 0.5, fewest // 4)
    far = spread(minima, problem, symmetry, APART, max(fewest, wanted))
    return refine(maps, problem.body, minima, np.union1d(close, far), threads=threads)


def best_apart(
    poses: Float[ndarray, "p n 3"], energy: Float[ndarray, " p"], symmetry: Symmetry, limit: int
) -> Int[ndarray, " k"]:
    """Indices of the lowest poses, each ``APART`` of symmetric RMSD from the lower ones."""
    order = np.argsort(energy, kind="stable")
    kept: Int[ndarray, " k"] = order[symmetry.cluster(poses[order], -energy[order], APART, limit)]
    return kept


def ranked(
    poses: Float[ndarray, "p n 3"],
    score: Float[ndarray, " p"],
    kept: Int[ndarray, " k"],
    conformer: Int[ndarray, " p"],
    symmetry: Symmetry,
    terms: Mapping[str, Float[ndarray, " p"]],
    confidence: Float[ndarray, " p"] | None = None,
) -> list[Pose]:
    """Poses as a result holds them.

    Args:
        poses: Coordinates, angstrom.
        score: Score of each, higher is better.
        kept: Which to keep, best first.
        conformer: Conformer each came from.
        symmetry: Of the ligand.
        terms: Parts of the score.
        confidence: Probability that a pose is true, if the model tells.
    """
    apart = symmetry.rmsd(poses[kept], poses[kept[:1]])[:, 0]
    return [
        Pose(
            rank=place + 1,
            score=float(score[index]),
            coords=poses[index],
            rmsd_to_best=float(apart[place]),
            terms={name: float(values[index]) for name, values in terms.items()},
            conformer=int(conformer[index]),
            confidence=None if confidence is None else float(confidence[index]),
        )
        for place, index in enumerate(kept)
    ]
