"""From a structure file to the atoms of a receptor: models, conformers, chains, leftovers."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from scipy.spatial import cKDTree

from docking.bonds import METALS, check_density, perceive_bonds
from docking.hetero import Kind, is_kept, kind_of
from docking.molecule import FORMATS, Residue
from docking.protonation import PROTEIN, TABULATED
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


class _Atoms:
    """Rows of the table under construction."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.positions: list[tuple[float, float, float]] = []
        self.elements: list[str] = []
        self.names: list[str] = []
        self.residue: list[int] = []
        self.residues: list[Residue] = []
        self.hetero: list[bool] = []
        self.warnings: list[str] = []

    def keep(self, wanted: set[int]) -> None:
        """Keep some residues and renumber."""
        order = {old: new for new, old in enumerate(sorted(wanted))}
        rows = [row for row, residue in enumerate(self.residue) if residue in order]
        self.positions = [self.positions[row] for row in rows]
        self.elements = [self.elements[row] for row in rows]
        self.names = [self.names[row] for row in rows]
        self.residue = [order[self.residue[row]] for row in rows]
        self.residues = [self.residues[old] for old in order]
        self.hetero = [self.hetero[old] for old in order]

    def members(self) -> dict[int, list[int]]:
        members: dict[int, list[int]] = defaultdict(list)
        for row, residue in enumerate(self.residue):
            members[residue].append(row)
        return members


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
        return _from_pdbqt(path, chains, keep_waters)
    structure, entry = (read_pdb if kind in ("pdb", "ent") else read_mmcif)(path)
    atoms = _collect(str(path), structure, altloc)
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


def _collect(source: str, structure: Any, altloc: str) -> _Atoms:
    """Flatten the first model, one conformer per residue."""
    atoms = _Atoms(source)
    if len(structure) > 1:
        atoms.warnings.append(f"{len(structure)} models in the file; the first is used")
    alternatives, variants, twins, guessed = [], [], 0, Counter[str]()
    repeated: list[str] = []
    for chain in structure[0]:
        # Residues that share a number are alternatives of each other (microheterogeneity).
        places: dict[str, list[Any]] = defaultdict(list)
        for residue in chain:
            places[str(residue.seqid)].append(residue)
        for rivals in places.values():
            chosen, dropped = _choose_residue(rivals, altloc)
            variants += [f"{chain.name}:{r.seqid} {r.name}" for r in dropped]
            for residue in chosen:
                picked, had_alternatives = _choose_atoms(residue, altloc)
                where = _place(chain, residue)
                if had_alternatives:
                    alternatives.append(where.id)
                seen: set[tuple[str, float, float, float]] = set()
                names: set[str] = set()
                index = len(atoms.residues)
                for atom in picked:
                    spot = (atom.pos.x, atom.pos.y, atom.pos.z)
                    if (atom.name, *spot) in seen:
                        twins += 1
                        continue
                    seen.add((atom.name, *spot))
                    # Conformers written without letters; a residue has each atom once.
                    if atom.name in names and residue.name in TABULATED:
                        repeated.append(where.id)
                        continue
                    names.add(atom.name)
                    element, was_guessed = _element(atom, residue.name)
                    guessed[element] += was_guessed
                    atoms.positions.append(spot)
                    atoms.elements.append(element)
                    atoms.names.append(atom.name)
                    atoms.residue.append(index)
                atoms.residues.append(where)
                atoms.hetero.append(residue.het_flag == "H")
    check_density(np.array(atoms.positions).reshape(-1, 3), source)
    if alternatives:
        atoms.warnings.append(
            f"alternate locations in {len(alternatives)} residues ({_some(alternatives)}); "
            f"kept {'the highest occupancy' if altloc == 'highest' else 'conformer ' + altloc}"
        )
    if variants:
        atoms.warnings.append(f"alternative residues left out: {_some(variants)}")
    if twins:
        atoms.warnings.append(f"{twins} repeated atoms left out")
    if repeated:
        atoms.warnings.append(
            f"{len(repeated)} atoms with the name of another in their residue left out: "
            f"{_some(list(dict.fromkeys(repeated)))}"
        )
    if sum(guessed.values()):
        total = sum(guessed.values())
        atoms.warnings.append(
            f"element of {total} atoms was missing or odd; taken from their names"
        )
    inserted = sum(residue.number[-1:].isalpha() for residue in atoms.residues)
    if inserted:
        atoms.warnings.append(f"{inserted} residues carry insertion codes; address them as 'A:45A'")
    if len(atoms.names) > 99_999:
        atoms.warnings.append(
            f"{len(atoms.names)} atoms, more than PDB serial numbers can count; serials are ignored"
        )
    return atoms


def _place(chain: Any, residue: Any) -> Residue:
    number = f"{residue.seqid.num}{residue.seqid.icode.strip()}"
    label = "" if residue.label_seq is None else str(residue.label_seq)
    return Residue(chain.name.strip(), number, residue.name, residue.subchain or "", label)


def _choose_residue(rivals: list[Any], altloc: str) -> tuple[list[Any], list[Any]]:
    """Of residues at one place, the one to keep; those that are not alternatives all stay."""
    marked = [r for r in rivals if len(r) and all(atom.altloc != "\0" for atom in r)]
    if len(marked) < 2:
        return rivals, []
    letter = [r for r in marked if any(atom.altloc == altloc for atom in r)]
    pool = letter or marked
    best = max(pool, key=lambda r: sum(atom.occ for atom in r) / len(r))
    dropped = [r for r in marked if r is not best]
    return [r for r in rivals if r not in dropped], dropped


def _choose_atoms(residue: Any, altloc: str) -> tuple[list[Any], bool]:
    """One conformer of a residue; shared atoms always stay."""
    letters: dict[str, list[float]] = defaultdict(list)
    for atom in residue:
        if atom.altloc != "\0":
            letters[atom.altloc].append(atom.occ)
    if not letters:
        return list(residue), False
    rank = {letter: sum(occ) / len(occ) for letter, occ in letters.items()}
    order = sorted(rank, key=lambda letter: (letter != altloc, -rank[letter], letter))
    place = {letter: i for i, letter in enumerate(order)}
    best: dict[str, int] = {}
    for atom in residue:
        if atom.altloc != "\0":
            best[atom.name] = min(best.get(atom.name, len(place)), place[atom.altloc])
    picked = [a for a in residue if a.altloc == "\0" or place[a.altloc] == best[a.name]]
    return picked, len(letters) > 1


def _element(atom: Any, residue_name: str) -> tuple[str, bool]:
    """Element symbol, and whether it had to be guessed from the atom's name."""
    symbol = atom.element.name
    name = atom.name.lstrip("0123456789")
    if residue_name in TABULATED:
        # Files without the element column and with shifted names read CA as calcium.
        if symbol == "X" or symbol in METALS or (len(symbol) == 2 and symbol != "Se"):
            first = name[:1].upper()
            return (first, True) if first in ("C", "N", "O", "S", "P", "H") else (symbol, False)
        return symbol, False
    if symbol == "X":
        for length in (2, 1):
            guess = gemmi.Element(name[:length].capitalize()).name
            if guess != "X" and (length == 1 or (len(guess) == 2 and len(name) == 2)):
                return guess, True
        return "X", False
    return symbol, False


def _select_chains(atoms: _Atoms, chains: Iterable[str] | None) -> None:
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
    atoms: _Atoms, keep_hetero: str | bool | Iterable[str], keep_waters: bool, entry: bool
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


def _linked(atoms: _Atoms) -> set[int]:
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


def _report_missing(atoms: _Atoms) -> None:
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
            f"backbone atoms missing in {len(backbone)} residues: {_some(backbone)}"
        )
    if side:
        atoms.warnings.append(f"side-chain atoms missing in {len(side)} residues: {_some(side)}")


def _from_pdbqt(
    path: str | Path, chains: Iterable[str] | None, keep_waters: bool
) -> dict[str, Any]:
    model = next(read_models(path), None)
    if model is None:
        raise InputError(f"{path}: no ATOM record")
    if model.has_root:
        raise InputError(f"{path}: a ligand's PDBQT (it has a ROOT record), not a receptor's")
    atoms = _Atoms(str(path))
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
    water = [
        i for i, r in enumerate(atoms.residues) if kind_of(r.name, [], True, False) is Kind.WATER
    ]
    if water and not keep_waters:
        atoms.warnings.append(f"{len(water)} waters left out")
        atoms.keep(set(range(len(atoms.residues))) - set(water))
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


def _groups(atoms: _Atoms, indices: list[int], members: dict[int, list[int]]) -> str:
    return _some(
        [
            f"{atoms.residues[i].name} {atoms.residues[i].id} ({len(members[i])} atoms)"
            for i in indices
        ]
    )


def _some(items: list[str], limit: int = 6) -> str:
    return ", ".join(items[:limit]) + (
        f" and {len(items) - limit} more" if len(items) > limit else ""
    )
