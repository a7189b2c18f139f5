"""PDBQT files: atoms with AutoDock's names, and the torsion tree of a ligand."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from docking.readers.text import number, printable, read_lines
from overparam.errors import InputError


@dataclass
class PdbqtModel:
    """One model of a PDBQT file.

    Attributes:
        line: Line of the file the model starts at.
        names: Atom names.
        kinds: AutoDock names.
        positions: Coordinates, angstrom.
        residues: Chain, residue number with insertion code, residue name of each atom.
        branches: ``(i, j)`` atoms of each ``BRANCH``, j on the moved side.
        parents: Index into ``branches`` of each atom's innermost branch, -1 for the root.
        remarks: ``REMARK`` lines without the word.
    """

    line: int
    names: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    positions: list[tuple[float, float, float]] = field(default_factory=list)
    residues: list[tuple[str, str, str]] = field(default_factory=list)
    branches: list[tuple[int, int]] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    has_root: bool = False


def read_models(path: str | Path) -> Iterator[PdbqtModel]:
    """Read the models of a PDBQT file one after another; a file without ``MODEL`` is one model.

    Raises:
        InputError: With the line, for damaged records or a torsion tree that does not close.
    """
    model = PdbqtModel(line=1)
    serials: dict[str, int] = {}
    pending: list[tuple[str, str, int]] = []
    stack: list[int] = []

    def finish() -> PdbqtModel:
        if stack:
            raise InputError(
                f"{path}: line {index}: BRANCH without ENDBRANCH; the file is cut short"
            )
        for branch, (first, second, line) in enumerate(pending):
            if first not in serials or second not in serials:
                raise InputError(f"{path}: line {line}: BRANCH names an atom that is not there")
            model.branches[branch] = (serials[first], serials[second])
        return model

    index = 0
    for index, line in enumerate(read_lines(path), start=1):
        if line.startswith(("ATOM", "HETATM")):
            _add_atom(path, index, line, model)
            serials[line[6:11].strip()] = len(model.kinds) - 1
            model.parents.append(stack[-1] if stack else -1)
        elif line.startswith("MODEL") or line.startswith("ENDMDL"):
            if model.kinds:
                yield finish()
            model, serials, pending, stack = PdbqtModel(line=index), {}, [], []
        elif line.startswith("BRANCH"):
            words = line.split()
            if len(words) < 3:
                raise InputError(f"{path}: line {index}: BRANCH must name two atoms")
            stack.append(len(pending))
            pending.append((words[1], words[2], index))
            model.branches.append((-1, -1))
        elif line.startswith("ENDBRANCH"):
            if not stack:
                raise InputError(f"{path}: line {index}: ENDBRANCH without BRANCH")
            stack.pop()
        elif line.startswith("ROOT"):
            model.has_root = True
        elif line.startswith("REMARK"):
            model.remarks.append(line[6:].strip())
    if model.kinds:
        yield finish()


def _add_atom(path: str | Path, index: int, line: str, model: PdbqtModel) -> None:
    kind = line[77:79].strip()
    if not kind:
        raise InputError(
            f"{path}: line {index}: no AutoDock atom type in columns 78-79: {printable(line)}"
        )
    coordinates = []
    for axis, start in zip("xyz", (30, 38, 46), strict=True):
        value = number(line[start : start + 8])
        if value is None:
            raise InputError(
                f"{path}: line {index}: {axis} coordinate must be a finite number, "
                f"got {printable(line[start : start + 8])}"
            )
        coordinates.append(value)
    model.positions.append((coordinates[0], coordinates[1], coordinates[2]))
    model.names.append(line[12:16].strip())
    model.kinds.append(kind)
    model.residues.append((line[21].strip(), line[22:27].strip(), line[17:21].strip()))
