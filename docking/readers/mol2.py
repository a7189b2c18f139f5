"""MOL2 records, by RDKit where it can and from the atom table itself where it cannot."""

from collections.abc import Iterator
from pathlib import Path

from rdkit import Chem
from rdkit.Geometry import Point3D

from docking.readers.chemistry import quiet, sanitise
from docking.readers.record import Molecule, Record
from docking.readers.sdf import MAX_LINES
from docking.readers.text import number, printable, read_lines
from overparam.errors import InputError

_ORDERS = {
    "1": Chem.BondType.SINGLE,
    "2": Chem.BondType.DOUBLE,
    "3": Chem.BondType.TRIPLE,
    "ar": Chem.BondType.AROMATIC,
    "am": Chem.BondType.SINGLE,
    "un": Chem.BondType.SINGLE,
}
_PERIODIC = Chem.GetPeriodicTable()
_HEAD = "@<TRIPOS>"


def split_mol2(path: str | Path) -> Iterator[Record | InputError]:
    """Molecules of a file, one at a time."""
    record: Record | None = None
    index = 0
    try:
        for index, line in enumerate(read_lines(path), start=1):
            if line.startswith(_HEAD + "MOLECULE"):
                if record is not None:
                    yield record
                record = Record(str(path), record.index + 1 if record else 1, index + 1)
            elif record is not None:
                if len(record.lines) >= MAX_LINES:
                    raise record.error(f"longer than {MAX_LINES} lines")
                record.lines.append(line)
    except InputError as error:
        yield error
        return
    if record is not None:
        yield record
    elif index:
        yield InputError(f"{path}: no @<TRIPOS>MOLECULE in {index} lines")


def parse_mol2(record: Record) -> Molecule:
    """Read one molecule.

    Raises:
        InputError: As ``parse_sdf``; also if the tables disagree with the counts.
    """
    sections = _sections(record)
    atoms = _atoms(record, sections)
    bonds = _bonds(record, sections, [atom[0] for atom in atoms])
    text = "\n".join([_HEAD + "MOLECULE", *record.lines]) + "\n"
    with quiet():
        try:
            mol = Chem.MolFromMol2Block(text, sanitize=True, removeHs=False)
        except (ValueError, RuntimeError):
            mol = None
    warnings: list[str] = []
    if mol is None or mol.GetNumAtoms() != len(atoms):
        try:
            mol, warnings = sanitise(_build(record, atoms, bonds))
        except ValueError as error:
            raise record.error(" ".join(str(error).split())[:160]) from None
    with quiet():
        Chem.AssignStereochemistryFrom3D(mol)
    return Molecule(mol, record.lines[0].strip(), {}, warnings)


_Atom = tuple[str, str, tuple[float, float, float]]


def _sections(record: Record) -> dict[str, list[tuple[int, str]]]:
    sections: dict[str, list[tuple[int, str]]] = {"MOLECULE": []}
    current = "MOLECULE"
    for row, line in enumerate(record.lines):
        if line.startswith(_HEAD):
            current = line[len(_HEAD) :].strip()
            sections.setdefault(current, [])
        elif line.strip() and (current == "MOLECULE" or not line.startswith("#")):
            sections[current].append((row, line))
    return sections


def _atoms(record: Record, sections: dict[str, list[tuple[int, str]]]) -> list[_Atom]:
    rows = sections.get("ATOM", [])
    announced = _count(record, 0)
    if len(rows) != announced:
        raise record.error(f"cut short: {announced} atoms announced, {len(rows)} given", 1)
    if not rows:
        raise record.error("the molecule has no atom", 1)
    atoms = []
    for row, line in rows:
        words = line.split()
        if len(words) < 6:
            raise record.error(f"an atom must have six fields, got {printable(line)}", row)
        xyz = [number(word) for word in words[2:5]]
        if xyz[0] is None or xyz[1] is None or xyz[2] is None:
            raise record.error(f"coordinates must be finite numbers, got {printable(line)}", row)
        symbol = words[5].split(".")[0].capitalize()
        if symbol in ("Du", "Lp", "Any", "Hal", "Het", "Hev", "*"):
            raise record.error(f"atom {words[0]} is a dummy ({words[5]})", row)
        if symbol not in ("D", "T") and not _is_element(symbol):
            raise record.error(f"atom {words[0]} has no known element: {printable(words[5])}", row)
        atoms.append((words[0], words[5], (xyz[0], xyz[1], xyz[2])))
    if len({atom[0] for atom in atoms}) != len(atoms):
        raise record.error("two atoms share a number", rows[0][0])
    return atoms


def _bonds(
    record: Record, sections: dict[str, list[tuple[int, str]]], ids: list[str]
) -> list[tuple[int, int, str]]:
    rows = sections.get("BOND", [])
    announced = _count(record, 1)
    if len(rows) < announced:
        raise record.error(f"cut short: {announced} bonds announced, {len(rows)} given", 1)
    place = {name: index for index, name in enumerate(ids)}
    bonds = []
    for row, line in rows:
        words = line.split()
        if len(words) < 4 or words[1] not in place or words[2] not in place:
            raise record.error(f"a bond must name two atoms and a type, got {printable(line)}", row)
        pair = place[words[1]], place[words[2]]
        if pair[0] == pair[1] or words[3] not in (*_ORDERS, "nc", "du"):
            raise record.error(f"not a bond: {printable(line)}", row)
        if words[3] != "nc":
            bonds.append((*pair, words[3]))
    return bonds


def _count(record: Record, place: int) -> int:
    words = record.lines[1].split() if len(record.lines) > 1 else []
    try:
        return int(words[place])
    except (IndexError, ValueError):
        got = printable(record.lines[1]) if len(record.lines) > 1 else "nothing"
        raise record.error(
            f"counts line must hold numbers of atoms and bonds, got {got}", 1
        ) from None


def _is_element(symbol: str) -> bool:
    with quiet():
        try:
            return bool(_PERIODIC.GetAtomicNumber(symbol) > 0)
        except RuntimeError:
            return False


def _build(record: Record, atoms: list[_Atom], bonds: list[tuple[int, int, str]]) -> Chem.Mol:
    """The molecule from its tables: charges from SYBYL types, aromatic bonds as written."""
    mol = Chem.RWMol()
    conformer = Chem.Conformer(len(atoms))
    for index, (_, kind, xyz) in enumerate(atoms):
        atom = Chem.Atom(kind.split(".")[0].capitalize())
        if kind == "N.4":
            atom.SetFormalCharge(1)
        mol.AddAtom(atom)
        conformer.SetAtomPosition(index, Point3D(*xyz))
    kinds = [kind for _, kind, _ in atoms]
    acids: set[int] = set()
    for i, j, order in bonds:
        if mol.GetBondBetweenAtoms(i, j) is not None:
            raise record.error(f"atoms {i + 1} and {j + 1} are bonded twice")
        bond = _ORDERS.get(order, Chem.BondType.SINGLE)
        if "O.co2" in (kinds[i], kinds[j]):
            # The two oxygens of an acid: the first doubly bonded, the second charged.
            oxygen, centre = (i, j) if kinds[i] == "O.co2" else (j, i)
            first = centre not in acids
            acids.add(centre)
            bond = Chem.BondType.DOUBLE if first else Chem.BondType.SINGLE
            mol.GetAtomWithIdx(oxygen).SetFormalCharge(0 if first else -1)
        mol.AddBond(i, j, bond)
        if bond == Chem.BondType.AROMATIC:
            mol.GetBondBetweenAtoms(i, j).SetIsAromatic(True)
            for k in (i, j):
                mol.GetAtomWithIdx(k).SetIsAromatic(True)
    mol.AddConformer(conformer)
    return mol.GetMol()
