"""Conformers of a ligand from its molecular graph alone: what torsions cannot reach.

Torsions are searched in the pocket, rings are not: each conformer returned has rings of its own,
and those whose rings are alike up to ``RING_RMSD`` count as one. Bond lengths, angles and chirality
come from the embedding, which follows the stereochemistry of the input.

Source: Riniker and Landrum, J. Chem. Inf. Model. 55 (2015) 2562; Wang et al., J. Chem. Inf. Model.
60 (2020) 2044 (ETKDGv3, small rings and macrocycles).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rdkit import Chem

from docking.ligand import Ligand
from docking.readers.chemistry import quiet
from overparam.errors import InputError

RING_RMSD = 0.25
"""Difference of two ring systems' torsions, in radians of arc, below which they are alike."""
_SMALLEST = 5  # a ring of four or fewer has no second shape worth a search
_ATTEMPTS = 40
_WORK = 2.5e7  # full embeddings times cubed atoms after which no more are made: some five seconds
_LATE = 5  # failures from this kind on, in RDKit's order, cost as much as a success


class Conformers(NamedTuple):
    """Conformers, the most frequent ring shapes first.

    Attributes:
        coords: All atoms of the ligand, angstrom, ``(c, n, 3)``.
        share: Fraction of the embeddings with each one's ring shapes.
        warnings: What went wrong and was done instead.
    """

    coords: Float[ndarray, "c n 3"]
    share: Float[ndarray, " c"]
    warnings: list[str]


def generate(ligand: Ligand, *, limit: int = 4, tries: int = 12, seed: int = 0) -> Conformers:
    """Embed a ligand and keep its different ring shapes.

    Args:
        ligand: The molecule; its coordinates are used only if it cannot be embedded.
        limit: Most conformers returned.
        tries: Embeddings made if it has rings that can pucker; one otherwise.
        seed: Of the embedding.

    Raises:
        InputError: If it cannot be embedded and has no coordinates.
        ValueError: If ``limit`` or ``tries`` is not positive.
    """
    for name, value in (("limit", limit), ("tries", tries)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rings = ring_torsions(ligand.mol)
    count = tries if len(rings) and limit > 1 else 1
    found, warnings = _embed(ligand, count, seed)
    if not len(found):
        if ligand.coords is None:
            raise InputError(f"{ligand.name}: no conformer could be made from its bonds")
        warnings.append("no conformer could be made; its own rings, lengths and angles are used")
        return Conformers(ligand.coords[None], np.ones(1), warnings)
    angles = _angles(found, rings)
    members: list[list[int]] = []
    for index in range(len(found)):
        for group in members:
            apart = angles[index] - angles[group[0]]
            apart -= 2 * np.pi * np.round(apart / (2 * np.pi))
            if not apart.size or np.sqrt((apart**2).mean()) < RING_RMSD:
                group.append(index)
                break
        else:
            members.append([index])
    members.sort(key=len, reverse=True)
    members = members[:limit]
    share = np.array([len(group) / len(found) for group in members])
    return Conformers(found[[group[0] for group in members]], share, warnings)


def ring_torsions(mol: Any) -> ndarray:
    """Atoms of the torsions about the bonds of rings that can pucker, ``(t, 4)``."""
    rows = []
    for ring in mol.GetRingInfo().AtomRings():
        n = len(ring)
        flat = all(mol.GetAtomWithIdx(atom).GetIsAromatic() for atom in ring)
        if n >= _SMALLEST and not flat:
            rows += [[ring[(k + step) % n] for step in range(4)] for k in range(n)]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _angles(x: Float[ndarray, "c n 3"], quads: ndarray) -> Float[ndarray, "c t"]:
    """Dihedral angles, radians."""
    a, b, c, d = (x[:, quads[:, k]] for k in range(4))
    axis = c - b
    first, second = np.cross(b - a, axis), np.cross(axis, d - c)
    across = np.cross(first, second)
    length = np.linalg.norm(axis, axis=-1)
    return np.arctan2((across * axis).sum(-1), (first * second).sum(-1) * length)


def _embed(ligand: Ligand, count: int, seed: int) -> tuple[Float[ndarray, "c n 3"], list[str]]:
    from rdkit.Chem import rdDistGeom

    warnings: list[str] = []
    with quiet():
        mol = Chem.Mol(ligand.mol)
        mol.RemoveAllConformers()
        try:
            mol = Chem.AddHs(mol)
            params: Any = rdDistGeom.ETKDGv3()
            # RDKit multiplies the seed by the number of the conformer: zero would repeat one.
            params.randomSeed = 1 + seed % 1_000_003
            params.numThreads = 1
            params.maxIterations = _ATTEMPTS
            params.useSmallRingTorsions = True
            params.trackFailures = True
            x = _shapes(mol, count, params)
            if not x:
                params.useRandomCoords = True
                x = _shapes(mol, count, params)
                if x:
                    warnings.append("embedded from random coordinates: an unusual molecule")
        except (RuntimeError, ValueError):
            x = []
    return np.array([y[: len(ligand)] for y in x], dtype=np.float64).reshape(
        -1, len(ligand), 3
    ), warnings


def _shapes(mol: Any, count: int, params: Any) -> list[ndarray]:
    """Embed one conformer after another; a molecule that costs too much gets fewer."""
    from rdkit.Chem import rdDistGeom

    found, work, seed = [], 0.0, params.randomSeed
    for number in range(1, count + 1):
        # What RDKit does in one call for several conformers.
        params.randomSeed = seed * number
        index = rdDistGeom.EmbedMolecule(mol, params)
        work += (1 + sum(list(params.GetFailureCounts())[_LATE:])) * mol.GetNumAtoms() ** 3
        if index >= 0:
            found.append(mol.GetConformer(index).GetPositions())
        if work > _WORK:
            break
    params.randomSeed = seed
    return found
