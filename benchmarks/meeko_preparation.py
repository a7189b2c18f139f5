"""Receptors and ligands as PDBQT text, prepared with Meeko, for comparisons with AutoDock Vina.

Needs the ``bench`` extra (``vina``, ``meeko``).
"""

import contextlib
import io
import logging
from pathlib import Path

import gemmi
import numpy as np
from meeko import MoleculePreparation, PDBQTWriterLegacy, Polymer, ResidueChemTemplates
from rdkit import Chem

# Residues Meeko has no template for, or that lack atoms: AutoDock names by element alone.
PLAIN = {"O": "OA", "N": "NA", "S": "SA", "Se": "SA", "Mo": "Fe"}
_TEMPLATES: list[ResidueChemTemplates] = []


def atom_rows(pdbqt: str) -> list[str]:
    """The atom records of a PDBQT text."""
    return [row for row in pdbqt.splitlines() if row.startswith(("ATOM", "HETATM"))]


def positions(pdbqt: str) -> np.ndarray:
    """Coordinates of the atom records, angstrom, ``(n, 3)``."""
    rows = atom_rows(pdbqt)
    return np.array([[float(row[i : i + 8]) for i in (30, 38, 46)] for row in rows]).reshape(-1, 3)


def with_positions(pdbqt: str, x: np.ndarray) -> str:
    """The same text with other coordinates, rounded to the format's three decimals."""
    atoms = iter(x)
    return "\n".join(
        row[:30] + "".join(f"{c:8.3f}" for c in next(atoms)) + row[54:]
        if row.startswith(("ATOM", "HETATM"))
        else row
        for row in pdbqt.splitlines()
    )


def receptor_pdbqt(path: Path) -> str:
    """PDBQT of a receptor of heavy atoms; every one of them arrives, at its place.

    Meeko adds hydrogens to the residues it knows; the atoms of all others are typed by element.
    """
    if not _TEMPLATES:
        logging.disable(logging.ERROR)
        _TEMPLATES.append(ResidueChemTemplates.create_from_defaults())
    structure = gemmi.read_structure(str(path))
    known = set(_TEMPLATES[0].ambiguous) | set(_TEMPLATES[0].residue_templates)
    polymer = structure.clone()
    for chain in polymer[0]:
        for i in reversed(range(len(chain))):
            if chain[i].name not in known:
                del chain[i]
    polymer.remove_empty_chains()
    rows: list[str] = []
    if len(polymer[0]):
        text = polymer.make_pdb_string(gemmi.PdbWriteOptions(minimal=True))
        with contextlib.redirect_stdout(io.StringIO()):
            parsed = Polymer.from_pdb_string(
                text, _TEMPLATES[0], MoleculePreparation(), allow_bad_res=True
            )
            rows = atom_rows(PDBQTWriterLegacy.write_string_from_polymer(parsed)[0])
    seen = {tuple(np.rint(p * 1000).astype(int)) for p in positions("\n".join(rows))}
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                spot = tuple(np.rint(np.array(atom.pos.tolist()) * 1000).astype(int))
                if spot not in seen:
                    kind = PLAIN.get(atom.element.name, atom.element.name)
                    name = f"{len(rows) % 99999 + 1:5d} {atom.name:<4} {residue.name:>3}"
                    place = "".join(f"{c:8.3f}" for c in atom.pos.tolist())
                    rows.append(f"ATOM  {name} Z   1    {place}  1.00  0.00     0.000 {kind}")
    return "\n".join(rows) + "\n"


def ligand_pdbqt(path: Path) -> str:
    """PDBQT of a ligand in its pose, with torsions; rings stay closed."""
    mol = Chem.MolFromMolFile(str(path))
    if mol is None:
        raise ValueError(f"{path} cannot be read by RDKit")
    full = Chem.AddHs(mol, addCoords=True)
    setup = MoleculePreparation(rigid_macrocycles=True).prepare(full)[0]
    text, fine, error = PDBQTWriterLegacy.write_string(setup)
    if not fine:
        raise ValueError(error.strip() or "Meeko refuses the ligand")
    return text
