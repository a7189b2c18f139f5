"""Macromolecular structures: PDB and mmCIF through gemmi, checked line by line first.

gemmi is lenient: a damaged coordinate column reads as 0 or NaN and moves on. The checks here turn
that into a refusal which names the line.
"""

import re
from pathlib import Path
from typing import Any

import gemmi

from docking.readers.text import number, printable, read_text
from overparam.errors import InputError

_RESIDUE_NUMBER = re.compile(r"^(-?\d+|[A-Za-z][0-9A-Za-z]{3})$")  # the second form is hybrid-36
_ENTRY_RECORDS = ("HEADER", "EXPDTA")


def read_pdb(path: str | Path) -> tuple[Any, bool]:
    """Read a PDB file.

    Returns:
        The gemmi structure, and whether the file looks like a deposited entry (it has entry
        records) rather than one prepared by a person.

    Raises:
        InputError: With the line, if an atom record is cut short or a number in it is damaged.
    """
    text = read_text(path)
    lines = text.splitlines()
    count = 0
    for index, line in enumerate(lines, start=1):
        if line.startswith(("ATOM", "HETATM")):
            _check_atom(path, index, line)
            count += 1
        elif line.startswith("ENDMDL"):
            break
    if count == 0:
        found = printable(next(line for line in lines if line.strip()))
        raise InputError(f"{path}: no ATOM record in {len(lines)} lines; the first one is {found}")
    try:
        # Names with accents are somebody's remark; gemmi wants plain characters.
        structure = gemmi.read_pdb_string(text.encode("ascii", "replace").decode())
    except (RuntimeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a readable PDB file ({_one_line(error)})") from None
    entry = any(line.startswith(_ENTRY_RECORDS) for line in lines[:2000])
    return structure, entry


def _check_atom(path: str | Path, index: int, line: str) -> None:
    if len(line.rstrip()) < 54:
        raise InputError(f"{path}: line {index}: atom record ends early: {printable(line)}")
    for axis, start in zip("xyz", (30, 38, 46), strict=True):
        field = line[start : start + 8]
        if number(field) is None:
            raise InputError(
                f"{path}: line {index}: {axis} coordinate must be a finite number, "
                f"got {printable(field)}"
            )
    if not _RESIDUE_NUMBER.match(line[22:26].strip()):
        raise InputError(
            f"{path}: line {index}: residue number must be an integer, got {printable(line[22:26])}"
        )


def read_mmcif(path: str | Path) -> tuple[Any, bool]:
    """Read an mmCIF file; arguments and results as in ``read_pdb``.

    Raises:
        InputError: If the file does not parse, holds no atom, or a coordinate is no finite number.
    """
    text = read_text(path).encode("ascii", "replace").decode()
    try:
        document = gemmi.cif.read_string(text)
    except (RuntimeError, ValueError) as error:
        reason = re.sub(r"^string:(\d+)\S*", r"line \1:", _one_line(error))
        raise InputError(f"{path}: not a readable mmCIF file ({reason})") from None
    for block in document:
        columns = [list(block.find_values(f"_atom_site.Cartn_{axis}")) for axis in "xyz"]
        if columns[0]:
            break
    else:
        raise InputError(f"{path}: no atom coordinates (_atom_site.Cartn_x) in the file")
    for axis, column in zip("xyz", columns, strict=True):
        if len(column) != len(columns[0]):
            raise InputError(f"{path}: _atom_site.Cartn_{axis} is missing")
        for row, field in enumerate(column, start=1):
            if number(field.split("(")[0]) is None:
                raise InputError(
                    f"{path}: atom {row}: {axis} coordinate must be a finite number, "
                    f"got {printable(field)}"
                )
    try:
        structure = gemmi.make_structure_from_block(block)
        entry = bool(block.find_mmcif_category("_exptl."))
    except (RuntimeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a readable mmCIF file ({_one_line(error)})") from None
    return structure, entry


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
