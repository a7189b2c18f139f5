"""A complex from its files: the pocket of the receptor, and the ligand in its crystal pose."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from rdkit import Chem
from scipy.spatial import cKDTree

from docking.benchmark.dataset import LIGANDS, Complex
from docking.bonds import METALS
from docking.ligand import Ligand
from docking.molecule import Receptor, listing
from docking.readers.chemistry import quiet, sanitise
from overparam.errors import InputError

POCKET = 16.0
"""Angstrom from the ligand within which a residue belongs to the pocket."""
COVALENT = 1.95
"""Angstrom below which a ligand atom and a non-metal receptor atom are bonded."""
_OVERLAP = 0.8  # A: closer than this, an atom of the receptor is an atom of the ligand

Pair = tuple[Receptor, Ligand]


def read_pair(one: Complex, pocket: float | int = POCKET) -> Pair:
    """Read a complex: the pocket, and the ligand without hydrogens in its crystal pose.

    Raises:
        InputError: If a file cannot be read, the ligand has no coordinates or the pocket is empty.
    """
    ligand = _read_ligand(one)
    return crop(Receptor.from_file(one.receptor), ligand, pocket), ligand


def crop(receptor: Receptor, ligand: Ligand, pocket: float | int = POCKET) -> Receptor:
    """Heavy atoms of all residues with one of them within ``pocket`` angstrom of the ligand.

    Residues stay whole; ions and cofactors are residues too. The ligand itself does not stay,
    neither as a hetero group nor as a peptide.

    Args:
        receptor: The receptor, types already set.
        ligand: The ligand in its place.
        pocket: Distance from any heavy atom of the ligand.

    Raises:
        InputError: If the ligand has no coordinates, nothing is so close to it, or an atom that
            stays is in a ligand atom's place.
    """
    if ligand.coords is None:
        raise InputError(f"{ligand.name}: a pocket needs a ligand with 3-D coordinates")
    receptor = receptor.without_ligand(ligand, overlap=_OVERLAP)
    tree = cKDTree(ligand.coords[ligand.heavy])
    distance = tree.query(receptor.positions)[0]
    heavy, residue = receptor.heavy, receptor.residue_index

    def count(atoms: Bool[ndarray, " n"]) -> ndarray:
        return np.bincount(residue, heavy & atoms, len(receptor.residues))

    within = count(distance <= pocket) > 0
    peptide = count(distance < _OVERLAP) > 0.5 * count(heavy)
    stay = heavy & (within & ~peptide)[residue]
    if not stay.any():
        raise InputError(f"{receptor.source}: no residue within {pocket:g} angstrom of the ligand")
    if (distance[stay] < _OVERLAP).any():
        first = receptor.residues[residue[stay][distance[stay].argmin()]]
        raise InputError(
            f"{receptor.source}: {first.name} {first.id} lies where the ligand is "
            f"({distance[stay].min():.2f} angstrom)"
        )
    rest = receptor.take(stay)
    if peptide.any():
        gone = [
            f"{receptor.residues[i].name} {receptor.residues[i].id}"
            for i in np.flatnonzero(peptide)
        ]
        rest.warnings.append(f"left out {listing(gone)}: it is the ligand in its pocket")
    return rest


def shortest_contact(receptor: Receptor, ligand: Ligand) -> float:
    """Shortest distance of a heavy ligand atom to a receptor atom other than a metal, angstrom."""
    assert ligand.coords is not None
    metal = np.array([element in METALS for element in receptor.elements])
    atoms = receptor.positions[receptor.heavy & ~metal]
    if len(atoms) == 0:
        return float("inf")
    return float(cKDTree(atoms).query(ligand.coords[ligand.heavy])[0].min())


def ligand_files(one: Complex) -> list[Path]:
    """The ligand's file, and the same ligand in other formats beside it."""
    beside = [one.ligand.with_name(f"{one.id}{ending}") for ending in LIGANDS]
    return [one.ligand, *(file for file in beside if file != one.ligand and file.is_file())]


def _read_ligand(one: Complex) -> Ligand:
    """The first file RDKit takes as it is, else the first that can be read at all.

    Bond orders of deposited SDF files are often such that RDKit refuses them, and those of the
    MOL2 file beside them are not.
    """
    usable: list[Ligand] = []
    refused: list[InputError] = []
    for file in ligand_files(one):
        try:
            ligand = Ligand.from_file(file)
            if ligand.coords is None:
                raise InputError(f"{file}: the crystal ligand has no 3-D coordinates")
            bare = _without_hydrogens(ligand)
        except InputError as error:
            refused.append(error)
            continue
        if file != one.ligand:
            bare.warnings.append(f"read from {file.name}: {one.ligand.name} is worse")
        usable.append(bare)
        if _is_sane(bare.mol):
            return bare
    if not usable:
        raise refused[0]
    return usable[0]


def _is_sane(mol: Any) -> bool:
    with quiet():
        problem = Chem.SanitizeMol(Chem.Mol(mol), catchErrors=True)
    return bool(problem == Chem.SanitizeFlags.SANITIZE_NONE)


def _without_hydrogens(ligand: Ligand) -> Ligand:
    """The heavy atoms in their order, with the types they had."""
    heavy = ligand.heavy
    if heavy.all():
        return ligand
    assert ligand.coords is not None
    with quiet():
        try:
            mol = sanitise(Chem.RemoveAllHs(ligand.mol, sanitize=False))[0]
        except ValueError as error:
            raise InputError(f"{ligand.name}: {error}") from None
    bare = Ligand(
        mol,
        ligand.coords[heavy],
        name=ligand.name,
        title=ligand.title,
        properties=ligand.properties,
        record=ligand.record,
        vina_type=ligand.vina_type[heavy],
    )
    bare.warnings, bare.input_atoms = list(ligand.warnings), ligand.input_atoms[heavy]
    return bare
