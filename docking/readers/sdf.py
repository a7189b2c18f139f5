"""SDF and MOL records: split, checked against their own counts, then read by RDKit."""

import re
from collections.abc import Iterator
from pathlib import Path

from rdkit import Chem

from docking.readers.chemistry import quiet, sanitise
from docking.readers.record import Molecule, Record
from docking.readers.text import number, printable, read_lines
from overparam.errors import InputError

MAX_LINES = 200_000
"""A record longer than this is a damaged file."""
DUMMIES = frozenset("* A Q L LP X R R# D0 DU Du Lp M XX".split())  # noqa: SIM905
"""Symbols that stand for no atom."""

_HEADER = re.compile(r"<([^<>]+)>")
_PERIODIC = Chem.GetPeriodicTable()


def split_sdf(path: str | Path) -> Iterator[Record | InputError]:
    """Records of a file, one at a time; a truncated gzip stream ends with its error."""
    record = Record(str(path), 1, 1)
    try:
        for index, line in enumerate(read_lines(path), start=1):
            if line.startswith("$$$$"):
                yield record
                record = Record(str(path), record.index + 1, index + 1)
            elif len(record.lines) >= MAX_LINES:
                raise record.error(f"longer than {MAX_LINES} lines; no $$$$ closes it")
            else:
                record.lines.append(line)
    except InputError as error:
        yield error
        return
    if any(line.strip() for line in record.lines):
        record.closed = False
        yield record


def parse_sdf(record: Record) -> Molecule:
    """Read one record.

    Raises:
        InputError: If it is cut short, a number is damaged, a bond names no atom, an atom is a
            dummy, or RDKit can make nothing of it.
    """
    lines = record.lines
    if len(lines) < 4:
        raise record.error(f"cut short: {len(lines)} lines where the header alone takes 4")
    end = (_check_v3000 if "V3000" in lines[3] else _check_v2000)(record)
    block = "\n".join(lines[:end]) + "\n"
    with quiet():
        try:
            mol = Chem.MolFromMolBlock(block, sanitize=True, removeHs=False, strictParsing=False)
            raw = None
            if mol is None:
                raw = Chem.MolFromMolBlock(
                    block, sanitize=False, removeHs=False, strictParsing=False
                )
        except (ValueError, RuntimeError) as error:
            raise record.error(f"RDKit cannot read it ({_short(error)})") from None
    warnings: list[str] = []
    if mol is None:
        if raw is None:
            raise record.error("RDKit cannot read the atom and bond block")
        try:
            mol, warnings = sanitise(raw)
        except ValueError as error:
            raise record.error(_short(error)) from None
        if raw.GetNumConformers():
            with quiet():
                Chem.AssignStereochemistryFrom3D(mol)
    _check_dummies(record, mol)
    properties = _properties(lines[end:])
    flat = lines[1][20:22].upper() == "2D"
    return Molecule(mol, lines[0].strip(), properties, warnings, flat)


def _check_dummies(record: Record, mol: Chem.Mol) -> None:
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0 or atom.HasQuery():
            raise record.error(
                f"atom {atom.GetIdx() + 1} is a dummy ({atom.GetSymbol()}); "
                "give every atom an element"
            )


def _check_v2000(record: Record) -> int:
    """Check the counts, coordinates, symbols and bonds; return the line after ``M  END``."""
    lines = record.lines
    counts = lines[3]
    try:
        atoms, bonds = int(counts[:3]), int(counts[3:6])
    except ValueError:
        raise record.error(
            f"counts line must hold two numbers, got {printable(counts)}", 3
        ) from None
    if atoms < 1:
        raise record.error("the molecule has no atom", 3)
    if bonds < 0 or len(lines) < 4 + atoms + bonds:
        raise record.error(
            f"cut short: {atoms} atoms and {bonds} bonds announced, {len(lines) - 4} lines follow",
            3,
        )
    for row in range(4, 4 + atoms):
        line = lines[row]
        for axis, start in zip("xyz", (0, 10, 20), strict=True):
            if number(line[start : start + 10]) is None:
                raise record.error(
                    f"{axis} coordinate of atom {row - 3} must be a finite number, "
                    f"got {printable(line[start : start + 10])}",
                    row,
                )
        _check_symbol(record, line[31:34].strip(), row - 3, row)
    for row in range(4 + atoms, 4 + atoms + bonds):
        line = lines[row]
        try:
            first, second, order = int(line[:3]), int(line[3:6]), int(line[6:9])
        except ValueError:
            raise record.error(
                f"a bond must be three numbers, got {printable(line)}", row
            ) from None
        if not (1 <= first <= atoms and 1 <= second <= atoms) or first == second:
            raise record.error(f"bond between atoms {first} and {second} of {atoms}", row)
        if not 1 <= order <= 9:
            raise record.error(f"bond order must be 1 to 9, got {order}", row)
    for row in range(4 + atoms + bonds, len(lines)):
        if lines[row].startswith("M  END"):
            return row + 1
        if lines[row].startswith(">"):
            return row
    if not record.closed:
        raise record.error("cut short: no M  END after the bonds", len(lines) - 1)
    return len(lines)


def _check_symbol(record: Record, symbol: str, atom: int, row: int) -> None:
    if symbol in DUMMIES or re.fullmatch(r"R\d+", symbol):
        raise record.error(f"atom {atom} is a dummy ({symbol}); give every atom an element", row)
    if symbol in ("D", "T"):
        return
    with quiet():
        try:
            known = _PERIODIC.GetAtomicNumber(symbol.capitalize()) > 0
        except RuntimeError:
            known = False
    if not known:
        raise record.error(f"atom {atom} has no known element: {printable(symbol)}", row)


def _check_v3000(record: Record) -> int:
    for row, line in enumerate(record.lines):
        words = line.split()
        if line.startswith("M  END"):
            return row + 1
        if words[:2] != ["M", "V30"] or len(words) < 7 or not words[2].isdigit():
            continue
        if not words[3].isdigit():  # an atom line: index, symbol, x, y, z
            for axis, value in zip("xyz", words[4:7], strict=True):
                if number(value) is None:
                    raise record.error(
                        f"{axis} coordinate of atom {words[2]} must be a finite number, "
                        f"got {printable(value)}",
                        row,
                    )
            if not words[3].startswith("["):
                _check_symbol(record, words[3], int(words[2]), row)
    raise record.error("cut short: no M  END", len(record.lines) - 1)


def _properties(lines: list[str]) -> dict[str, str]:
    """Data fields: a header line ``> <name>``, then lines up to a blank one."""
    properties: dict[str, str] = {}
    name: str | None = None
    values: list[str] = []
    for line in [*lines, ""]:
        header = _HEADER.search(line) if line.startswith(">") else None
        if header or (name is not None and not line.strip()):
            if name is not None:
                properties[name] = "\n".join(values)
            name, values = (header.group(1), []) if header else (None, [])
        elif name is not None:
            values.append(line)
    return properties


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
