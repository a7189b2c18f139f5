"""Categorical features of ligand atoms and of receptor residues and atoms, heavy atoms only.

Every category has a last index for whatever its table does not name; nothing is an error. The
features and the sizes of their tables are those of Jing, Jaakkola & Berger, ICLR 2024,
arXiv:2312.04323; the members of the tables are listed here.

The chirality tag is RDKit's: it is relative to the order of the atom's bonds in the molecule, so
the same stereocentre may carry another tag when a file lists its bonds otherwise.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from rdkit import Chem

from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.readers.chemistry import quiet
from overparam.errors import InputError

ELEMENTS = 119
"""Atomic numbers 1 to 118, then anything else."""
LIGAND_SIZES = (ELEMENTS, 7, 12, 12, 8, 10, 6, 6, 2, 8, *(2,) * 6)
"""Categories of each ligand feature: atomic number, chirality tag, degree with hydrogens, formal
charge, implicit valence, hydrogens, radical electrons, hybridisation, aromaticity, number of rings,
and membership in a ring of 3, 4, 5, 6, 7 and 8 atoms."""

_CHIRALITY = (
    Chem.ChiralType.CHI_UNSPECIFIED,
    Chem.ChiralType.CHI_TETRAHEDRAL_CW,
    Chem.ChiralType.CHI_TETRAHEDRAL_CCW,
    Chem.ChiralType.CHI_SQUAREPLANAR,
    Chem.ChiralType.CHI_TRIGONALBIPYRAMIDAL,
    Chem.ChiralType.CHI_OCTAHEDRAL,
)
_HYBRIDISATION = (
    Chem.HybridizationType.SP,
    Chem.HybridizationType.SP2,
    Chem.HybridizationType.SP3,
    Chem.HybridizationType.SP3D,
    Chem.HybridizationType.SP3D2,
)

RESIDUES = tuple(
    """ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL
    HID HIE HIP CYX CYM ASH GLH LYN MSE SEC PYL SEP TPO PTR CSO KCX TYS""".split()  # noqa: SIM905
)
"""Residue types: the twenty amino acids, names of their protonation states, common modifications;
index 37 is any other."""
ATOM_CLASSES = tuple(
    "C CA CB CG CD CE CZ CH N ND NE NZ NH O OG OD OE OH OX S SG SD".split()  # noqa: SIM905
)
"""Element and remoteness, the first two letters of an atom's name; index 22 is any other."""
ATOM_NAMES = tuple(
    """N CA C O CB CG CG1 CG2 CD CD1 CD2 CE CE1 CE2 CE3 CZ CZ2 CZ3 CH2 ND1 ND2 NE NE1 NE2 NZ NH1
    NH2 OD1 OD2 OE1 OE2 OG OG1 OH OXT SD SG""".split()  # noqa: SIM905
)
"""Names of the heavy atoms of the twenty amino acids; index 37 is any other."""
RESIDUE_SIZES = (len(RESIDUES) + 1,)
"""Categories of the one feature of a residue, its type."""
ATOM_SIZES = (len(RESIDUES) + 1, ELEMENTS, len(ATOM_CLASSES) + 1, len(ATOM_NAMES) + 1)
"""Categories of each receptor atom feature: residue type, element, class and name."""

_RESIDUE = {name: index for index, name in enumerate(RESIDUES)}
_CLASS = {name: index for index, name in enumerate(ATOM_CLASSES)}
_NAME = {name: index for index, name in enumerate(ATOM_NAMES)}


class ReceptorFeatures(NamedTuple):
    """What is known of the residues that have N, CA and C, and of their heavy atoms.

    Attributes:
        residues: Residue type, ``(r, 1)``.
        atoms: The four atom features, ``(n, 4)``.
        kept: Place of each atom in the receptor, ``(n,)``.
        residue_of: Residue of each atom, an index into ``residues``, ``(n,)``.
        alpha: The atom that is each residue's CA, ``(r,)``.
    """

    residues: Int[ndarray, "r 1"]
    atoms: Int[ndarray, "n 4"]
    kept: Int[ndarray, " n"]
    residue_of: Int[ndarray, " n"]
    alpha: Int[ndarray, " r"]


def ligand_features(ligand: Ligand) -> Int[ndarray, "n 16"]:
    """The sixteen features of every heavy atom, in the order of the atoms.

    Hydrogens count only as a number at their neighbour, whether the molecule spells them out or
    not.
    """
    mol = bare_molecule(ligand)
    rings = mol.GetRingInfo()
    rows = [_atom_features(atom, rings) for atom in mol.GetAtoms()]
    return np.array(rows, dtype=np.int64).reshape(-1, len(LIGAND_SIZES))


def bare_molecule(ligand: Ligand) -> Any:
    """The RDKit molecule without explicit hydrogens; heavy atoms and bonds keep their order."""
    with quiet():
        mol = Chem.RemoveAllHs(ligand.mol, sanitize=False)
        # Molecules RDKit refuses come here too: count what there is, judge nothing.
        mol.UpdatePropertyCache(strict=False)
        for atom in mol.GetAtoms():
            _imply_hydrogens(atom)
        Chem.GetSymmSSSR(mol)
    return mol


def _imply_hydrogens(atom: Any) -> None:
    """Forget the recorded number of hydrogens where the valence model gives the same one.

    Removing hydrogens leaves such records at stereocentres; molecules that never had any lack them.
    """
    before = atom.GetNumExplicitHs(), atom.GetTotalNumHs(), atom.GetNoImplicit()
    if not before[0]:
        return
    atom.SetNumExplicitHs(0)
    atom.SetNoImplicit(False)
    atom.UpdatePropertyCache(strict=False)
    if atom.GetTotalNumHs() != before[1]:
        atom.SetNumExplicitHs(before[0])
        atom.SetNoImplicit(before[2])
        atom.UpdatePropertyCache(strict=False)


def _atom_features(atom: Any, rings: Any) -> list[int]:
    index = atom.GetIdx()
    return [
        _element(atom.GetAtomicNum()),
        _place(_CHIRALITY, atom.GetChiralTag()),
        _count(atom.GetTotalDegree(), 11),
        _count(atom.GetFormalCharge() + 5, 11),
        _count(atom.GetValence(Chem.ValenceType.IMPLICIT), 7),
        _count(atom.GetTotalNumHs(), 9),
        _count(atom.GetNumRadicalElectrons(), 5),
        _place(_HYBRIDISATION, atom.GetHybridization()),
        int(atom.GetIsAromatic()),
        _count(rings.NumAtomRings(index), 7),
        *(int(rings.IsAtomInRingOfSize(index, size)) for size in range(3, 9)),
    ]


def receptor_features(receptor: Receptor) -> ReceptorFeatures:
    """Features of the residues that have N, CA and C; ions, waters and cofactors are left out.

    Raises:
        InputError: If there is no such residue.
    """
    found: list[dict[str, int]] = [{} for _ in receptor.residues]
    for atom in np.flatnonzero(receptor.heavy):
        found[receptor.residue_index[atom]].setdefault(receptor.names[atom], int(atom))
    whole = [i for i, atoms in enumerate(found) if atoms.keys() >= {"N", "CA", "C"}]
    if not whole:
        raise InputError(f"{receptor.source}: no residue has its atoms N, CA and C")
    number = np.full(len(receptor.residues), -1)
    number[whole] = np.arange(len(whole))
    kept = np.flatnonzero(receptor.heavy & (number[receptor.residue_index] >= 0))
    residue_of = number[receptor.residue_index[kept]]
    types = np.array([_RESIDUE.get(receptor.residues[i].name, len(RESIDUES)) for i in whole])
    table = Chem.GetPeriodicTable()
    numbers = {e: _atomic_number(table, e) for e in {receptor.elements[i] for i in kept}}
    names = [receptor.names[i] for i in kept]
    atoms = np.stack(
        [
            types[residue_of],
            [_element(numbers[receptor.elements[i]]) for i in kept],
            [_CLASS.get(name[:2], len(ATOM_CLASSES)) for name in names],
            [_NAME.get(name, len(ATOM_NAMES)) for name in names],
        ],
        axis=1,
    )
    alpha = np.searchsorted(kept, [found[i]["CA"] for i in whole])
    return ReceptorFeatures(types[:, None], atoms, kept, residue_of, alpha)


def _atomic_number(table: Any, symbol: str) -> int:
    with quiet():
        try:
            return int(table.GetAtomicNumber(symbol))
        except RuntimeError:  # not an element
            return 0


def _element(number: int) -> int:
    return number - 1 if 1 <= number < ELEMENTS else ELEMENTS - 1


def _place(table: tuple[Any, ...], value: Any) -> int:
    return table.index(value) if value in table else len(table)


def _count(value: int, other: int) -> int:
    return value if 0 <= value < other else other
