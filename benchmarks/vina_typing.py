"""Vina's types of receptor atoms, by the letter: a slow reference to explain disagreements with.

The product's own perception differs from this in one point: there a hydrogen does not stand between
two heavy atoms, so that types do not depend on hydrogens being given. Here any atom does.
"""

import numpy as np
from scipy.spatial import cKDTree

from docking.bonds import ALLOWANCE, covalent_radius
from docking.typing import VinaType, autodock_element, autodock_types


def literal_types(positions: np.ndarray, kinds: list[str]) -> np.ndarray:
    """Types of the atoms of a PDBQT, hydrogens standing between heavy atoms as Vina has it.

    Args:
        positions: Coordinates, angstrom, ``(n, 3)``.
        kinds: AutoDock names.
    """
    elements = [autodock_element(kind) for kind in kinds]
    radius = np.array([covalent_radius(element) for element in elements])
    tree = cKDTree(positions)
    bonds = []
    for i, j in sorted(tree.query_pairs(2 * ALLOWANCE * radius.max())):
        length = np.linalg.norm(positions[i] - positions[j])
        if length < ALLOWANCE * (radius[i] + radius[j]):
            near = tree.query_ball_point(positions[i], length)
            third = positions[[k for k in near if k not in (i, j)]].reshape(-1, 3)
            to_i = np.linalg.norm(third - positions[i], axis=1)
            to_j = np.linalg.norm(third - positions[j], axis=1)
            if not ((to_i < length) & (to_j < length)).any():
                bonds.append((i, j))
    return autodock_types(kinds, np.array(bonds, dtype=np.int64).reshape(-1, 2))[1]


def differences(rows: list[str], ours: np.ndarray, literal: np.ndarray) -> str:
    """The atoms whose types differ, in words."""
    return "; ".join(
        f"{rows[i][12:27].strip()}: {VinaType(literal[i]).name}, ours {VinaType(ours[i]).name}"
        for i in np.flatnonzero(ours != literal)
    )
