"""Hydrogen-bond roles in a group no table knows, from where its heavy atoms are.

Low-resolution geometry decides what it can: terminal oxygens by bond length, trigonal atoms by
planarity, the double bonds of a conjugated system by a maximum matching that lets every trigonal
carbon have one and prefers short bonds. A nitrogen left without a double bond carries a hydrogen.
Amines count as protonated and acids of phosphorus and sulphur as ionised, as at pH 7.4; an oxygen
beside a nitrogen on the same flat carbon is an amide's; a nitrogen on a metal has spent its lone
pair. Hydrogens given in the file overrule all of this.
"""

from itertools import combinations
from math import acos, degrees

import networkx as nx
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from docking.bonds import METALS

_LEFT_OUT = METALS | {"H", "D", "T"}
_CARBONYL = 1.32  # A; C=O is 1.22 to 1.26, C-OH 1.34 to 1.43
_NITRILE = 1.21
_PLANAR = 352.0  # degrees: sum of three angles, 360 if flat and 328.5 if tetrahedral
_TRIGONAL = 114.0  # degrees: angle at an atom with two neighbours
_SINGLE = {("C", "C"): 1.47, ("C", "N"): 1.42, ("N", "N"): 1.40}


def perceive_group(
    positions: Float[ndarray, "n 3"],
    elements: list[str],
    neighbours: list[list[int]],
    heavy: list[int],
    hydrogens: Int[ndarray, " n"] | None,
) -> dict[int, tuple[bool, bool]]:
    """Whether each nitrogen and oxygen of a group gives and takes hydrogen bonds.

    Args:
        positions: Coordinates of the whole receptor, angstrom.
        elements: Element symbols of the whole receptor.
        neighbours: Atoms bonded to each atom, hydrogens and other residues included.
        heavy: The group's heavy atoms.
        hydrogens: Number of hydrogens on each atom if the group's are in the file, else None.

    Returns:
        Atom to ``(donor, acceptor)``.
    """
    bonded = {i: [j for j in neighbours[i] if elements[j] not in _LEFT_OUT] for i in heavy}
    flat = {i for i in heavy if elements[i] in ("C", "N") and _is_flat(positions, bonded[i], i)}
    double = _double_bonds(positions, elements, bonded, flat)
    roles = {}
    for i in heavy:
        near = bonded[i]
        if elements[i] == "O":
            donor = _is_hydroxyl(positions, elements, bonded, flat, i)
            roles[i] = (donor if hydrogens is None else bool(hydrogens[i]), True)
        elif elements[i] == "N":
            if hydrogens is None:
                roles[i] = _nitrogen(positions, elements, neighbours[i], near, i, flat, double)
            else:
                count = int(hydrogens[i])
                beside = any(j in flat and elements[j] == "C" for j in near)
                crowded = count + len(near) > 3 or (count + len(near) == 3 and beside)
                roles[i] = (count > 0, not crowded)
    return roles


def _nitrogen(
    positions: Float[ndarray, "n 3"],
    elements: list[str],
    everything: list[int],
    near: list[int],
    i: int,
    flat: set[int],
    double: set[int],
) -> tuple[bool, bool]:
    on_metal = any(elements[j] in METALS for j in everything)
    if len(near) == 1:
        nitrile = np.linalg.norm(positions[i] - positions[near[0]]) < _NITRILE
        return (False, not on_metal) if nitrile or on_metal else (True, False)
    if len(near) == 2:
        return (False, not on_metal) if i in double or on_metal else (True, False)
    if len(near) == 3:
        beside = any(j in flat for j in near)
        return (False, False) if i in flat or beside else (True, False)
    return (False, False) if near else (True, False)


def _is_hydroxyl(
    positions: Float[ndarray, "n 3"],
    elements: list[str],
    bonded: dict[int, list[int]],
    flat: set[int],
    i: int,
) -> bool:
    near = bonded[i]
    if len(near) != 1:
        return not near  # a lone oxygen is water or hydroxide
    carbon = near[0]
    if elements[carbon] != "C":
        return elements[carbon] in ("B", "O")
    if carbon in bonded and carbon not in flat and len(bonded[carbon]) > 2:
        return True
    ends = [
        j for j in bonded.get(carbon, []) if elements[j] == "O" and len(bonded.get(j, [0, 0])) == 1
    ]
    if carbon in flat and (len(ends) > 1 or any(elements[j] == "N" for j in bonded[carbon])):
        return False
    return bool(np.linalg.norm(positions[i] - positions[carbon]) > _CARBONYL)


def _is_flat(positions: Float[ndarray, "n 3"], near: list[int], i: int) -> bool:
    if len(near) not in (2, 3):
        return False
    arms = positions[near] - positions[i]
    arms /= np.maximum(np.linalg.norm(arms, axis=1, keepdims=True), 1e-9)
    angles = [degrees(acos(max(-1.0, min(1.0, float(a @ b))))) for a, b in combinations(arms, 2)]
    if len(near) == 3:
        return sum(angles) > _PLANAR
    # Two neighbours: five-rings close the angle of a trigonal atom to about 104 degrees, so a
    # narrow one is trusted only if both bonds are short (checked by the matching's lengths).
    lengths = np.linalg.norm(positions[near] - positions[i], axis=1)
    return angles[0] > _TRIGONAL or bool(lengths.max() < 1.43)


def _double_bonds(
    positions: Float[ndarray, "n 3"],
    elements: list[str],
    bonded: dict[int, list[int]],
    flat: set[int],
) -> set[int]:
    """Atoms at the ends of double bonds."""
    graph = nx.Graph()
    for i in flat:
        for j in bonded[i]:
            pair = (min(i, j), max(i, j))
            length = float(np.linalg.norm(positions[i] - positions[j]))
            amide = False
            if elements[j] == "O":
                amide = elements[i] == "C" and any(elements[k] == "N" for k in bonded[i])
                possible = len(bonded.get(j, [0, 0])) == 1 and (amide or length < _CARBONYL)
            else:
                # A nitrogen of the next residue may hold the other end (a Schiff base).
                outside = j not in bonded and elements[j] == "N"
                kind = (min(elements[i], elements[j]), max(elements[i], elements[j]))
                possible = (j in flat or outside) and length < _SINGLE.get(kind, 0.0)
            # A flat nitrogen with three neighbours has spent its valence.
            full = any(elements[k] == "N" and len(bonded.get(k, [])) > 2 for k in pair)
            if possible and not full:
                carbons = sum(elements[k] == "C" for k in pair)
                graph.add_edge(*pair, weight=10.0 * carbons + 15.0 * amide + 2.0 - length)
    return {atom for pair in nx.max_weight_matching(graph) for atom in pair}
