"""Ligands of PDBQT files, on their own or laid over a molecule that knows its bond orders."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

from docking.bonds import perceive_bonds
from docking.readers.chemistry import quiet, sanitise
from docking.readers.pdbqt import PdbqtModel, read_models
from docking.readers.record import RecordError
from docking.torsion import connected_parts, tree_from_rotors
from docking.typing import autodock_element, autodock_types
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.ligand import Ligand


def read_pdbqt_ligands(
    cls: "type[Ligand]", path: str | Path, template: Any
) -> "Iterator[Ligand | InputError]":
    """Ligands of the models of a file, or in their place the error that says why not."""
    stem = Path(path).name.split(".")[0]
    index = 0
    try:
        for index, model in enumerate(read_models(path), start=1):
            try:
                if template is None:
                    yield _alone(cls, model, stem, index)
                else:
                    yield _onto(cls, model, template, index)
            except InputError as error:
                yield RecordError(f"{path}: record {index}, line {model.line}: {error}", index)
    except InputError as error:
        yield error
        return
    if index == 0:
        yield InputError(f"{path}: no ATOM record")


def _alone(cls: "type[Ligand]", model: PdbqtModel, stem: str, index: int) -> "Ligand":
    """Exactly the file: its atoms, types and torsions; all bonds single."""
    glue = [kind for kind in model.kinds if autodock_element(kind) == "*"]
    if glue:
        raise InputError(f"AutoDock types {', '.join(sorted(set(glue)))} are not supported")
    if not model.has_root:
        raise InputError("no ROOT record; this is not a ligand's PDBQT")
    positions = np.array(model.positions)
    elements = [autodock_element(kind) for kind in model.kinds]
    bonds = _bonds(model, positions, elements)
    _, types = autodock_types(model.kinds, bonds)
    editable = Chem.RWMol()
    for element in elements:
        atom = Chem.Atom(element)
        atom.SetNoImplicit(True)
        editable.AddAtom(atom)
    joined = _joined(bonds, positions)
    for i, j in joined.tolist():
        editable.AddBond(i, j, Chem.BondType.SINGLE)
    try:
        mol, _ = sanitise(editable.GetMol())
    except ValueError as error:
        raise InputError(str(error)) from None
    heavy = np.array([element != "H" for element in elements])
    tree = tree_from_rotors(len(elements), joined, model.branches, heavy)
    warnings = ["PDBQT without template: bond orders and carbon-bound hydrogens are unknown"]
    if len(joined) > len(bonds):
        warnings.append(f"{len(joined) - len(bonds)} bonds are longer than Vina perceives")
    return cls(
        mol, positions, name=_name(model) or stem, warnings=warnings, record=index,
        vina_type=types, tree=tree,
    )  # fmt: skip


def _bonds(model: PdbqtModel, positions: np.ndarray, elements: list[str]) -> np.ndarray:
    """Bonds as Vina perceives them: within a rigid body, and the axes between bodies."""
    parents = np.array(model.parents)
    pairs = perceive_bonds(positions, elements)
    within = pairs[parents[pairs[:, 0]] == parents[pairs[:, 1]]]
    axes = np.array(model.branches, dtype=np.int64).reshape(-1, 2)
    return np.unique(np.sort(np.concatenate([within, axes]), axis=1), axis=0)


def _joined(bonds: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Bonds that make one molecule: Vina's, and the shortest ones between the parts it leaves."""
    label = connected_parts(len(positions), bonds)
    while label.max() > 0:
        inside = np.flatnonzero(label == 0)
        outside = np.flatnonzero(label != 0)
        gap = np.linalg.norm(positions[inside, None] - positions[outside], axis=-1)
        i, j = np.unravel_index(gap.argmin(), gap.shape)
        link = sorted((inside[i], outside[j]))
        bonds = np.concatenate([bonds, np.array([link], dtype=np.int64)])
        label = connected_parts(len(positions), bonds)
    return bonds


def _onto(cls: "type[Ligand]", model: PdbqtModel, template: Any, index: int) -> "Ligand":
    """The template's chemistry at the file's coordinates."""
    from docking.ligand import Ligand

    source = template if isinstance(template, Ligand) else Ligand.from_rdkit(template)
    mol = source.mol
    heavy = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() > 1]
    rows = [i for i, kind in enumerate(model.kinds) if autodock_element(kind) not in ("H", "*")]
    elements = [autodock_element(kind) for kind in model.kinds]
    if sorted(elements[i] for i in rows) != sorted(
        mol.GetAtomWithIdx(i).GetSymbol() for i in heavy
    ):
        raise InputError(
            f"{len(rows)} heavy atoms do not match the {len(heavy)} of template {source.name!r}"
        )
    positions = np.array(model.positions)
    place = _match(mol, heavy, rows, elements, positions)
    if place is None:
        raise InputError(f"the bonds do not match those of template {source.name!r}")
    coords = np.zeros((mol.GetNumAtoms(), 3))
    for atom, row in place.items():
        coords[atom] = positions[row]
    warnings = list(source.warnings)
    if len(heavy) < mol.GetNumAtoms():
        coords = _place_hydrogens(mol, heavy, coords)
        warnings.append("hydrogens of the template were placed anew")
    return cls(
        mol, coords, name=source.name, title=source.title, properties=source.properties,
        warnings=warnings, record=index,
    )  # fmt: skip


def _match(
    mol: Any, heavy: list[int], rows: list[int], elements: list[str], positions: np.ndarray
) -> dict[int, int] | None:
    """Template atom to file row, by graph; among symmetric matches any will do."""
    query = Chem.RWMol()
    for row in rows:
        query.AddAtom(Chem.Atom(elements[row]))
    found = perceive_bonds(positions[rows], [elements[row] for row in rows])
    for i, j in found.tolist():
        query.AddBond(i, j, Chem.BondType.UNSPECIFIED)
    plain = Chem.RWMol()
    for atom in heavy:
        plain.AddAtom(Chem.Atom(mol.GetAtomWithIdx(atom).GetAtomicNum()))
    order = {atom: i for i, atom in enumerate(heavy)}
    for bond in mol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if i in order and j in order:
            plain.AddBond(order[i], order[j], Chem.BondType.UNSPECIFIED)
    for each in (query, plain):
        each.UpdatePropertyCache(strict=False)
        for atom in each.GetAtoms():
            atom.SetNoImplicit(True)
    if query.GetNumBonds() != plain.GetNumBonds():
        return None
    with quiet():
        match = plain.GetSubstructMatch(query)
    if len(match) != len(rows):
        return None
    return {heavy[target]: rows[i] for i, target in enumerate(match)}


def _place_hydrogens(mol: Any, heavy: list[int], coords: np.ndarray) -> np.ndarray:
    """Put the template's hydrogens where RDKit would add them."""
    bare = Chem.RWMol(mol)
    bare.BeginBatchEdit()
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 1:
            parent = next(iter(atom.GetNeighbors())).GetIdx()
            bare.GetAtomWithIdx(parent).SetNumExplicitHs(
                bare.GetAtomWithIdx(parent).GetNumExplicitHs() + 1
            )
            bare.RemoveAtom(atom.GetIdx())
    bare.CommitBatchEdit()
    conformer = Chem.Conformer(len(heavy))
    for i, atom in enumerate(heavy):
        conformer.SetAtomPosition(i, coords[atom].tolist())
    bare.RemoveAllConformers()
    bare.AddConformer(conformer)
    full = Chem.AddHs(bare, addCoords=True)
    fresh = full.GetConformer().GetPositions()
    order = {atom: i for i, atom in enumerate(heavy)}
    taken: set[int] = set()
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() != 1:
            continue
        parent = order[next(iter(atom.GetNeighbors())).GetIdx()]
        for other in full.GetAtomWithIdx(parent).GetNeighbors():
            if other.GetAtomicNum() == 1 and other.GetIdx() not in taken:
                taken.add(other.GetIdx())
                coords[atom.GetIdx()] = fresh[other.GetIdx()]
                break
    return coords


def _name(model: PdbqtModel) -> str:
    for remark in model.remarks:
        if remark.lower().startswith("name"):
            return remark.partition("=")[2].strip()
    return ""
