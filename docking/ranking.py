"""From minima of a search to ranked poses that differ from each other."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from docking.result import Pose
from docking.search.engine import Minima, distinct
from docking.search.problem import Flexible
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


def ranked(
    poses: Float[ndarray, "p n 3"],
    inter: Float[ndarray, " p"],
    intra: Float[ndarray, " p"],
    conformer: Int[ndarray, " p"],
    divisor: float,
    symmetry: Symmetry,
    num_poses: int,
) -> list[Pose]:
    """Poses by ``inter + intra``, best first, symmetric twins dropped.

    Args:
        poses: Coordinates, angstrom.
        inter: Ligand-receptor energy of each, kcal/mol.
        intra: The ligand's own energy.
        conformer: Conformer each came from.
        divisor: Torsion correction.
        symmetry: Of the ligand.
        num_poses: Most poses returned.
    """
    order = np.argsort(inter + intra, kind="stable")
    kept = order[symmetry.cluster(poses[order], -(inter + intra)[order], APART, num_poses)]
    total = (inter + intra - intra[kept[:1]]) / divisor
    apart = symmetry.rmsd(poses[kept], poses[kept[:1]])[:, 0]
    return [
        Pose(
            rank=place + 1,
            score=float(-total[index]),
            coords=poses[index],
            rmsd_to_best=float(apart[place]),
            terms={
                "inter": float(inter[index]),
                "intra": float(intra[index]),
                "total": float(total[index]),
            },
            conformer=int(conformer[index]),
        )
        for place, index in enumerate(kept)
    ]
