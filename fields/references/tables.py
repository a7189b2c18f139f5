"""Files of published solutions: NumPy archives, Matlab files and COMSOL's text tables."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overparam.errors import InputError


@dataclass(frozen=True)
class Column:
    """One column of a text table.

    Attributes:
        name: The quantity, such as ``u``; empty if the file has no header.
        parameter: What stands after ``@``, such as ``t``; empty if nothing does.
        value: The parameter's number; NaN without one.
    """

    name: str
    parameter: str = ""
    value: float | int = np.nan


@dataclass(frozen=True)
class Table:
    """Numbers of a text table.

    Attributes:
        columns: One for each column.
        numbers: Rows of numbers, float64.
        dimension: Leading columns that are coordinates, as the header says; 0 without a header.
    """

    columns: tuple[Column, ...]
    numbers: np.ndarray
    dimension: int

    @property
    def points(self) -> np.ndarray:
        """The coordinates, ``(n, dimension)``."""
        return self.numbers[:, : self.dimension]


def find_file(name: str, root: str | Path) -> Path:
    """Return the file of that base name in a folder or anywhere below it.

    Raises:
        InputError: If the folder or the file is missing.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"data root must be an existing folder, got {folder}")
    if (folder / name).is_file():
        return folder / name
    found = sorted(path for path in folder.rglob(name) if path.is_file())
    if not found:
        raise InputError(f"data root {folder} must hold the file {name}, got none of that name")
    return found[0]


def read_arrays(path: str | Path, *names: str) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` archive or a Matlab ``.mat`` file (version 5).

    Args:
        path: The file.
        names: Arrays that must be there.

    Raises:
        InputError: If the file cannot be read or an array is missing.
    """
    from scipy.io import loadmat

    file = _existing(path)
    try:
        if file.suffix == ".mat":
            arrays = {k: v for k, v in loadmat(file).items() if not k.startswith("__")}
        else:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # readers of corrupt files raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{file} cannot be read: {reason}") from None
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(
            f"{file} must hold the arrays {', '.join(names)}, got {', '.join(arrays) or 'none'}"
        )
    return arrays


def read_table(path: str | Path) -> Table:
    """Read a table of numbers in columns, with COMSOL's ``%`` header or without one.

    Raises:
        InputError: If the file cannot be read, is empty, or a row is not numbers of the same
            count as the others.
    """
    file = _existing(path)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{file} must be text, got other bytes") from None
    header = [line[1:].strip() for line in lines if line.startswith("%")]
    rows: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        if line.startswith("%") or not line.strip():
            continue
        try:
            rows.append([float(word) for word in line.split()])
        except ValueError:
            raise InputError(f"{file}, line {number} must hold numbers, got {line[:40]}") from None
        if len(rows[-1]) != len(rows[0]):
            raise InputError(
                f"{file}, line {number} must have {len(rows[0])} columns, got {len(rows[-1])}"
            )
    if not rows:
        raise InputError(f"{file} must hold rows of numbers, got none")
    numbers = np.array(rows)
    if not header:
        return Table(tuple(Column("") for _ in rows[0]), numbers, 0)
    fields = dict(line.split(":", 1) for line in header if ":" in line)
    columns = tuple(_column(word) for word in re.split(r"\s{2,}", header[-1]))
    if len(columns) != numbers.shape[1]:
        raise InputError(
            f"{file} must have the {len(columns)} columns of its header, got {numbers.shape[1]}"
        )
    try:
        dimension = int(fields["Dimension"])
    except (KeyError, ValueError):
        raise InputError(f"{file} must give its Dimension in the header") from None
    return Table(columns, numbers, dimension)


def _column(words: str) -> Column:
    """Take ``u (1) @ t=0.1`` apart."""
    name, _, condition = words.partition("@")
    quantity = re.sub(r"\s*\(.*?\)", "", name).strip()
    parameter, _, value = condition.strip().partition("=")
    try:
        return Column(quantity, parameter.strip(), float(value)) if value else Column(quantity)
    except ValueError:
        return Column(quantity, condition.strip())


def _existing(path: str | Path) -> Path:
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file} must be an existing file")
    return file
