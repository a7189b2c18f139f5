"""Covalent bonds of a receptor, perceived from distances the way Vina perceives them.

Two atoms are bonded if they are closer than 1.1 times the sum of their covalent radii and no third
atom is nearer to both of them than they are to each other.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree

from overparam.errors import InputError

ALLOWANCE = 1.1
"""Factor on the sum of covalent radii below which two atoms are bonded."""
METALS = frozenset(
    """
    Li Be Na Mg Al K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Cs
    Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po Fr Ra Ac
    Th Pa U Np Pu Am Cm
    """.split()  # noqa: SIM905
)
"""Elements that become ``VinaType.MET_D``."""

_CELL, _CROWD = 4.0, 300

# Radii of AutoDock 4's parameter table; 1.75 is what Vina gives metals the table lacks.
_RADII = {
    **dict.fromkeys(METALS, 1.75),
    **{"H": 0.37, "D": 0.37, "C": 0.77, "N": 0.75, "O": 0.73, "F": 0.71, "P": 1.06, "S": 1.02},
    **{"Se": 1.02, "Cl": 0.99, "Br": 1.14, "I": 1.33, "Si": 1.11, "At": 1.44, "B": 0.82},
    **{"Mg": 1.30, "Mn": 1.39, "Zn": 1.31, "Ca": 1.74, "Fe": 1.25},
}


def covalent_radius(element: str) -> float:
    """Covalent radius in angstrom; 1.2 for elements no table knows."""
    return _RADII.get(element, 1.2)


def check_density(positions: Float[ndarray, "n 3"], source: str) -> None:
    """Refuse coordinates no matter has, such as all atoms at the origin.

    Raises:
        InputError: If a cube of 4 angstrom holds more than 300 atoms; matter has a dozen.
    """
    cells, counts = np.unique(np.floor(positions / _CELL), axis=0, return_counts=True)
    if len(counts) and counts.max() > _CROWD:
        corner = ", ".join(f"{value:.0f}" for value in cells[counts.argmax()] * _CELL)
        raise InputError(
            f"{source}: {counts.max()} atoms within {_CELL:g} angstrom of ({corner}); "
            "the coordinates are damaged"
        )


def perceive_bonds(positions: Float[ndarray, "n 3"], elements: list[str]) -> Int[ndarray, "m 2"]:
    """Bonds between atoms close enough to be bonded.

    Hydrogens may be among the atoms; whether a heavy atom is bonded to another does not depend on
    them.

    Args:
        positions: Coordinates, angstrom, finite.
        elements: Element symbol of each atom.

    Returns:
        Pairs ``i < j``, sorted.
    """
    radius = np.array([covalent_radius(element) for element in elements])
    if len(radius) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    tree = cKDTree(positions)
    pairs = tree.query_pairs(2 * ALLOWANCE * radius.max(), output_type="ndarray").astype(np.int64)
    length = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    close = length < ALLOWANCE * radius[pairs].sum(axis=1)
    pairs, length = pairs[close], length[close]
    if len(pairs) == 0:
        return np.zeros((0, 2), dtype=np.int64)
    # A third atom between i and j lies within the bond's length of i, so i's near atoms suffice.
    heavy = np.array([element not in ("H", "D", "T") for element in elements])
    near = tree.query_ball_point(positions[pairs[:, 0]], length, return_sorted=False)
    counts = np.array([len(found) for found in near])
    bond = np.repeat(np.arange(len(pairs)), counts)
    third = np.concatenate([np.asarray(found, dtype=np.int64) for found in near])
    i, j = pairs[bond, 0], pairs[bond, 1]
    to_i = np.linalg.norm(positions[third] - positions[i], axis=1)
    to_j = np.linalg.norm(positions[third] - positions[j], axis=1)
    between = (to_i < length[bond]) & (to_j < length[bond]) & (third != i) & (third != j)
    between &= heavy[third] | ~(heavy[i] & heavy[j])
    blocked = np.zeros(len(pairs), dtype=bool)
    blocked[bond[between]] = True
    kept = np.sort(pairs[~blocked], axis=1)
    return kept[np.lexsort((kept[:, 1], kept[:, 0]))]
