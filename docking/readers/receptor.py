"""From a structure file to the atoms of a receptor: models, conformers, chains, leftovers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from docking.bonds import METALS, check_density, perceive_bonds
from docking.hetero import Kind, is_kept, kind_of
from docking.molecule import FORMATS, Residue, listing
from docking.protonation import PROTEIN
from docking.readers.conformer import AtomTable, collect
from docking.readers.pdbqt import read_models
from docking.readers.structure import read_mmcif, read_pdb
from docking.readers.text import file_format
from docking.typing import autodock_element, autodock_types
from overparam.errors import InputError

_SIDE_CHAINS = {
    "ALA": "CB", "ARG": "CB CG CD NE CZ NH1 NH2", "ASN": "CB CG OD1 ND2", "ASP": "CB CG OD1 OD2",
    "CYS": "CB SG", "GLN": "CB CG CD OE1 NE2", "GLU": "CB CG CD OE1 OE2", "GLY": "",
    "HIS": "CB CG ND1 CD2 CE1 NE2", "ILE": "CB CG1 CG2 CD1", "LEU": "CB CG CD1 CD2",
    "LYS": "CB CG CD CE NZ", "MET": "CB CG SD CE", "PHE": "CB CG CD1 CD2 CE1 CE2 CZ",
    "PRO": "CB CG CD", "SER": "CB OG", "THR": "CB OG1 CG2",
    "TRP": "CB CG CD1 CD2 NE1 CE2 CE3 CZ2 CZ3 CH2", "TYR": "CB CG CD1 CD2 CE1 CE2 CZ OH",
    "VAL": "CB CG1 CG2",
}  # fmt: skip
_LINK = 2.0  # A: closer than this, atoms of two residues are bonded (metal contacts not counted)


def read_receptor(
    path: str | Path,
    chains: Iterable[str] | None,
    keep_hetero: str | bool | Iterable[str],
    altloc: str,
    keep_waters: bool,
) -> dict[str, Any]:
    """Constructor arguments of ``Receptor``; see ``Receptor.from_file`` for the policies."""
    if isinstance(keep_hetero, str) and keep_hetero not in ("auto", "all", "none"):
        raise ValueError(
            f"keep_hetero must be auto, all, none or residue names, got {keep_hetero!r}"
        )
    if altloc != "highest" and len(altloc) != 1:
        raise ValueError(f"altloc must be 'highest' or one letter, got {altloc!r}")
    if not isinstance(keep_hetero, str | bool):
        keep_hetero = set(keep_hetero)
    if isinstance(chains, str):
        chains = [chains]
    kind = file_format(path, FORMATS)
    if kind == "pdbqt":
        return _from_pdbqt(path, chains)
    structure, entry = (read_pdb if kind in ("pdb", "ent") else read_mmcif)(path)
    atoms = collect(str(path), structure, altloc)
    if all(atoms.hetero) and keep_hetero == "auto":
        raise InputError(
            f"{path}: only HETATM records ({len(atoms.names)} atoms), no protein or nucleic acid; "
            "keep_hetero=True takes them anyway"
        )
    _select_chains(atoms, chains)
    _select_residues(atoms, keep_hetero, keep_waters, entry)
    _report_missing(atoms)
    return {
        "positions": np.array(atoms.positions).reshape(-1, 3),
        "elements": atoms.elements,
        "names": atoms.names,
        "residue_index": np.array(atoms.residue, dtype=np.int64),
        "residues": atoms.residues,
        "warnings": atoms.warnings,
        "source": str(path),
    }


def _select_chains(atoms: AtomTable, chains: Iterable[str] | None) -> None:
    if chains is None:
        return
    wanted = list(chains)
    there = {residue.chain for residue in atoms.residues}
    for chain in wanted:
        if chain not in there:
            labels = {r.chain for r in atoms.residues if r.label_chain == chain}
            hint = (
                f"; label {chain!r} is chain {sorted(labels)[0]!r} of the author" if labels else ""
            )
            found = ", ".join(repr(c) for c in sorted(there))
            raise InputError(f"{atoms.source}: no chain {chain!r}; there are {found}{hint}")
    left = sorted(there - set(wanted))
    if left:
        atoms.warnings.append(f"chains left out on request: {', '.join(left)}")
    atoms.keep({i for i, residue in enumerate(atoms.residues) if residue.chain in wanted})


def _select_residues(
    atoms: AtomTable, keep_hetero: str | bool | Iterable[str], keep_waters: bool, entry: bool
) -> None:
    members = atoms.members()
    linked = _linked(atoms)
    kinds = {
        index: kind_of(
            atoms.residues[index].name,
            [atoms.elements[row] for row in rows],
            atoms.hetero[index],
            index in linked,
        )
        for index, rows in members.items()
    }
    entry = entry or any(kind is Kind.WATER for kind in kinds.values())
    kept = {
        index
        for index, kind in kinds.items()
        if is_kept(kind, atoms.residues[index].name, keep_hetero, keep_waters, entry)
    }
    for kind in Kind:
        ours = [index for index in kinds if kinds[index] is kind]
        out = [index for index in ours if index not in kept]
        if out and kind is Kind.WATER:
            atoms.warnings.append(f"{len(out)} waters left out")
        elif out:
            atoms.warnings.append(
                f"left out {kind.value}: {_groups(atoms, out, members)}; keep_hetero=True keeps it"
            )
        stay = [index for index in ours if index in kept]
        if stay and kind in (Kind.ION, Kind.COFACTOR, Kind.SUGAR, Kind.ADDITIVE, Kind.OTHER):
            atoms.warnings.append(f"kept {kind.value}: {_groups(atoms, stay, members)}")
    if not kept:
        raise InputError(f"{atoms.source}: nothing left: no protein, nucleic acid, ion or cofactor")
    atoms.keep(kept)


def _linked(atoms: AtomTable) -> set[int]:
    """Residues with a heavy atom bonded to another residue."""
    rows = [
        row
        for row, element in enumerate(atoms.elements)
        if element not in METALS and element not in ("H", "D", "T")
    ]
    if not rows:
        return set()
    tree = cKDTree(np.array(atoms.positions)[rows])
    residue = np.array(atoms.residue)[rows]
    pairs = tree.query_pairs(_LINK, output_type="ndarray")
    across = residue[pairs[residue[pairs[:, 0]] != residue[pairs[:, 1]]]]
    return set(across.ravel().tolist())


def _report_missing(atoms: AtomTable) -> None:
    side, backbone = [], []
    members = atoms.members()
    for index, residue in enumerate(atoms.residues):
        if residue.name not in PROTEIN:
            continue
        names = {atoms.names[row] for row in members[index]}
        if not names >= {"N", "CA", "C", "O"}:
            backbone.append(f"{residue.name} {residue.id}")
        lost = set(_SIDE_CHAINS.get(residue.name, "").split()) - names
        if lost:
            side.append(f"{residue.name} {residue.id}")
    if backbone:
        atoms.warnings.append(
            f"backbone atoms missing in {len(backbone)} residues: {listing(backbone)}"
        )
    if side:
        atoms.warnings.append(f"side-chain atoms missing in {len(side)} residues: {listing(side)}")


def _from_pdbqt(path: str | Path, chains: Iterable[str] | None) -> dict[str, Any]:
    model = next(read_models(path), None)
    if model is None:
        raise InputError(f"{path}: no ATOM record")
    if model.has_root:
        raise InputError(f"{path}: a ligand's PDBQT (it has a ROOT record), not a receptor's")
    atoms = AtomTable(str(path))
    previous = None
    for place in model.residues:
        if place != previous:
            atoms.residues.append(Residue(*place))
            atoms.hetero.append(False)
            previous = place
        atoms.residue.append(len(atoms.residues) - 1)
    atoms.positions, atoms.names = model.positions, model.names
    atoms.elements = list(model.kinds)  # AutoDock names until the rows are chosen
    _select_chains(atoms, chains)
    odd = {kind for kind in atoms.elements if autodock_element(kind) == "*"}
    if odd:
        atoms.warnings.append(f"AutoDock types {', '.join(sorted(odd))} carry no energy")
    kinds = atoms.elements
    positions = np.array(atoms.positions).reshape(-1, 3)
    check_density(positions, str(path))
    elements = [autodock_element(kind) for kind in kinds]
    _, types = autodock_types(kinds, perceive_bonds(positions, elements))
    return {
        "positions": positions,
        "elements": elements,
        "names": atoms.names,
        "residue_index": np.array(atoms.residue, dtype=np.int64),
        "residues": atoms.residues,
        "vina_type": types,
        "warnings": atoms.warnings,
        "source": str(path),
    }


def _groups(atoms: AtomTable, indices: list[int], members: dict[int, list[int]]) -> str:
    return listing(
        [
            f"{atoms.residues[i].name} {atoms.residues[i].id} ({len(members[i])} atoms)"
            for i in indices
        ]
    )
