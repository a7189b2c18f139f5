"""One conformer of one model, flattened from gemmi's tree into a table of atoms."""

from collections import Counter, defaultdict
from typing import Any

import gemmi
import numpy as np

from docking.bonds import METALS, check_density
from docking.molecule import Residue, listing
from docking.protonation import TABULATED


class AtomTable:
    """Atoms of a receptor while it is decided which of them stay.

    Attributes:
        source: Path they came from.
        positions: Coordinates, angstrom, row by row.
        elements: Element symbols (AutoDock names for PDBQT).
        names: Atom names.
        residue: Residue of each row.
        residues: The residues.
        hetero: Whether each residue's records are ``HETATM``.
        warnings: What has been left out so far.
    """

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
        """Rows of each residue."""
        members: dict[int, list[int]] = defaultdict(list)
        for row, residue in enumerate(self.residue):
            members[residue].append(row)
        return members


def collect(source: str, structure: Any, altloc: str) -> AtomTable:
    """Flatten the first model, one conformer per residue."""
    atoms = AtomTable(source)
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
            f"alternate locations in {len(alternatives)} residues ({listing(alternatives)}); "
            f"kept {'the highest occupancy' if altloc == 'highest' else 'conformer ' + altloc}"
        )
    if variants:
        atoms.warnings.append(f"alternative residues left out: {listing(variants)}")
    if twins:
        atoms.warnings.append(f"{twins} repeated atoms left out")
    if repeated:
        atoms.warnings.append(
            f"{len(repeated)} atoms with the name of another in their residue left out: "
            f"{listing(list(dict.fromkeys(repeated)))}"
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
