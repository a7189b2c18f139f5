"""The demo complexes, and ways to write them again in other formats."""

import gzip
from importlib.resources import files
from pathlib import Path

import gemmi
import numpy as np
from rdkit import Chem

from docking.ligand import Ligand
from docking.molecule import Receptor

FOLDER = Path(str(files("docking"))) / "demo"
IDS = ("1bju", "1p5e", "1stp", "3og7", "4alw")


def receptor_path(key: str) -> Path:
    return FOLDER / f"{key}_protein.pdb.gz"


def ligand_path(key: str) -> Path:
    return FOLDER / f"{key}_ligand.sdf"


def receptor(key: str) -> Receptor:
    return Receptor.from_file(receptor_path(key))


def ligand(key: str) -> Ligand:
    return Ligand.from_file(ligand_path(key))


def pdb_text(key: str) -> str:
    return gzip.decompress(receptor_path(key).read_bytes()).decode()


def mmcif_text(key: str) -> str:
    structure = gemmi.read_pdb_string(pdb_text(key))
    structure.setup_entities()
    return structure.make_mmcif_document().as_string()


def with_hydrogens(mol: Chem.Mol) -> Chem.Mol:
    return Chem.AddHs(mol, addCoords=True)


def mol2_text(key: str, title: str = "ligand") -> str:
    """A MOL2 record of the demo ligand: SYBYL types as far as elements and hybridisation go."""
    mol = with_hydrogens(ligand(key).mol)
    xyz = mol.GetConformer().GetPositions()
    kinds = {"SP3": "3", "SP2": "2", "SP": "1"}
    atoms, bonds = [], []
    for atom, place in zip(mol.GetAtoms(), xyz, strict=True):
        symbol = atom.GetSymbol()
        kind = symbol
        if symbol in ("C", "N", "O", "S"):
            kind += (
                ".ar"
                if atom.GetIsAromatic() and symbol in "CN"
                else "." + kinds.get(str(atom.GetHybridization()), "3")
            )
        i = atom.GetIdx() + 1
        spot = " ".join(f"{value:9.4f}" for value in place)
        atoms.append(f"{i:5d} {symbol}{i:<5d} {spot} {kind:6s} 1 LIG 0.0000")
    Chem.Kekulize(mol)
    for bond in mol.GetBonds():
        i, j = bond.GetBeginAtomIdx() + 1, bond.GetEndAtomIdx() + 1
        order = int(bond.GetBondTypeAsDouble())
        bonds.append(f"{bond.GetIdx() + 1:5d} {i:5d} {j:5d} {order}")
    head = [
        "@<TRIPOS>MOLECULE",
        title,
        f"{len(atoms)} {len(bonds)} 1 0 0",
        "SMALL",
        "NO_CHARGES",
        "",
    ]
    return "\n".join([*head, "@<TRIPOS>ATOM", *atoms, "@<TRIPOS>BOND", *bonds, ""])


def rigid_motion(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A rotation matrix and a shift."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    if np.linalg.det(rotation) < 0:
        rotation[0] *= -1
    return rotation, rng.normal(size=3) * 10
