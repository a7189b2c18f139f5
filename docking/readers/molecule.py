"""From a record to a ``Ligand``: what is refused, what is repaired, what names it gets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from rdkit import Chem

from docking.readers.chemistry import quiet, sanitise
from docking.readers.mol2 import parse_mol2, split_mol2
from docking.readers.record import Molecule, Record
from docking.readers.sdf import parse_sdf, split_sdf
from docking.readers.smiles import parse_smiles, split_smiles
from docking.readers.text import file_format
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.ligand import Ligand

_Split = Callable[[str | Path], Iterator[Record | InputError]]
_Parse = Callable[[Record], Molecule]
_READERS: dict[str, tuple[_Split, _Parse]] = {
    "sdf": (split_sdf, parse_sdf),
    "sd": (split_sdf, parse_sdf),
    "mol": (split_sdf, parse_sdf),
    "mol2": (split_mol2, parse_mol2),
    "smi": (split_smiles, parse_smiles),
    "smiles": (split_smiles, parse_smiles),
}


def read_ligands(
    cls: "type[Ligand]", path: str | Path, template: Any
) -> "Iterator[Ligand | InputError]":
    """Molecules of a file, or in their place the error that says why not."""
    from docking.ligand import FORMATS

    kind = file_format(path, FORMATS)
    if kind == "pdbqt":
        from docking.readers.ligand_pdbqt import read_pdbqt_ligands

        return read_pdbqt_ligands(cls, path, template)
    if template is not None:
        raise ValueError(f"template must be given for PDBQT files only, got it for {path}")
    return _records(cls, path, *_READERS[kind])


def _records(
    cls: "type[Ligand]", path: str | Path, split: _Split, parse: _Parse
) -> "Iterator[Ligand | InputError]":
    seen: dict[str, int] = {}
    stem = Path(path).name.split(".")[0]
    empty = True
    for record in split(path):
        empty = False
        if isinstance(record, InputError):
            yield record
            continue
        try:
            yield from_record(cls, record, parse, seen, stem)
        except InputError as error:
            yield error
    if empty:
        yield InputError(f"{path}: the file is empty")


def from_record(
    cls: "type[Ligand]",
    record: Record,
    parse: _Parse,
    seen: dict[str, int] | None = None,
    stem: str = "ligand",
) -> "Ligand":
    """Parse a record; every error is an ``InputError`` with the record's place."""
    from docking.ligand import NO_COORDINATES

    molecule = parse(record)
    warnings = list(molecule.warnings)
    coords = _coordinates(molecule)
    if coords is None:
        warnings.append(NO_COORDINATES)
    try:
        return cls(
            molecule.mol,
            coords,
            name=_unique(molecule.title or f"{stem}_{record.index}", seen),
            title=molecule.title,
            properties=molecule.properties,
            warnings=warnings,
            record=record.index,
        )
    except InputError as error:
        raise record.error(str(error).partition(": ")[2] or str(error)) from None


def from_rdkit(cls: "type[Ligand]", mol: Any, conformer: int) -> "Ligand":
    """``Ligand.from_rdkit``."""
    from docking.ligand import NO_COORDINATES

    if mol is None:
        raise InputError("RDKit molecule: it is None; RDKit could not read what it came from")
    title = mol.GetProp("_Name").strip() if mol.HasProp("_Name") else ""
    try:
        ready, warnings = sanitise(mol)
    except ValueError as error:
        raise InputError(f"RDKit molecule {title}: {error}") from None
    coords = None
    if mol.GetNumConformers():
        try:
            chosen = mol.GetConformer(conformer)
        except ValueError:
            raise InputError(f"RDKit molecule {title}: no conformer {conformer}") from None
        held = Molecule(Chem.Mol(mol, confId=chosen.GetId()), title, {}, [], not chosen.Is3D())
        coords = _coordinates(held)
    if coords is None:
        warnings.append(NO_COORDINATES)
    properties = {key: str(value) for key, value in mol.GetPropsAsDict().items()}
    return cls(ready, coords, name=title, properties=properties, warnings=warnings)


def check_molecule(mol: Any, coords: Float[ndarray, "n 3"] | None, name: str) -> None:
    """Refuse what cannot be docked.

    Raises:
        InputError: See ``Ligand``.
    """
    from docking.ligand import MAX_ATOMS

    n = mol.GetNumAtoms()
    if mol.GetNumHeavyAtoms() == 0:
        raise InputError(f"{name}: the molecule has no heavy atom")
    if n > MAX_ATOMS:
        raise InputError(f"{name}: a ligand may have {MAX_ATOMS} atoms, this has {n}")
    dummies = [atom.GetIdx() + 1 for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]
    if dummies:
        raise InputError(f"{name}: atom {dummies[0]} is a dummy; give every atom an element")
    if mol.GetNumBonds() == 0 and mol.GetNumHeavyAtoms() > 1:
        raise InputError(f"{name}: {n} atoms and no bond; bonds are not guessed for ligands")
    if coords is not None:
        array = np.asarray(coords, dtype=np.float64)
        if array.shape != (n, 3):
            raise InputError(f"{name}: coordinates must have shape ({n}, 3), got {array.shape}")
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(bad):
            raise InputError(f"{name}: coordinates of atom {bad[0] + 1} must be finite")


def largest_fragment(mol: Any) -> tuple[Any, Int[ndarray, " n"], str]:
    """Keep the fragment with most heavy atoms; ties go to the heavier, then to the first.

    Returns:
        The molecule without conformers of the rest, the places of its atoms, and a sentence on what
        was left out (empty if nothing was).
    """
    parts = Chem.GetMolFrags(mol)
    if len(parts) == 1:
        return mol, np.arange(mol.GetNumAtoms()), ""

    def weight(part: Any) -> tuple[int, float, int]:
        atoms = [mol.GetAtomWithIdx(i) for i in part]
        heavy = sum(atom.GetAtomicNum() > 1 for atom in atoms)
        return heavy, sum(atom.GetMass() for atom in atoms), -part[0]

    kept = np.array(sorted(max(parts, key=weight)), dtype=np.int64)
    editable = Chem.RWMol(mol)
    editable.BeginBatchEdit()
    for i in sorted(set(range(mol.GetNumAtoms())) - set(kept.tolist())):
        editable.RemoveAtom(i)
    editable.CommitBatchEdit()
    rest = editable.GetMol()
    with quiet():
        try:
            Chem.SanitizeMol(rest)
        except (ValueError, RuntimeError):
            rest.UpdatePropertyCache(strict=False)
            Chem.FastFindRings(rest)
    lost = [part for part in parts if part[0] not in kept]
    sizes = ", ".join(str(len(part)) for part in lost[:6])
    return (
        rest,
        kept,
        (f"{len(parts)} fragments; kept the largest, left out {len(lost)} of {sizes} atoms"),
    )


def _coordinates(molecule: Molecule) -> Float[ndarray, "n 3"] | None:
    """The conformer's positions, or None for a drawing or a blank."""
    mol = molecule.mol
    if mol.GetNumConformers() == 0:
        return None
    xyz = np.array(mol.GetConformer().GetPositions(), dtype=np.float64).reshape(-1, 3)
    if len(xyz) > 1 and np.ptp(xyz, axis=0).max() < 1e-6:
        return None
    if molecule.flat and len(xyz) > 1 and np.ptp(xyz[:, 2]) < 1e-6:
        return None
    return xyz


def _unique(name: str, seen: dict[str, int] | None) -> str:
    if seen is None:
        return name
    result = name
    while result in seen:
        seen[name] += 1
        result = f"{name}_{seen[name]}"
    seen[result] = 1
    return result
