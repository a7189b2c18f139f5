"""SMILES, alone or one to a line with a name behind it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rdkit import Chem

from docking.readers.chemistry import quiet, sanitise
from docking.readers.record import Molecule, Record
from docking.readers.text import printable, read_lines
from overparam.errors import InputError

_HEADERS = ("smiles", "smi", "#")


def split_smiles(path: str | Path) -> Iterator[Record | InputError]:
    """Lines that hold a molecule; blank lines, ``#`` comments and a header line do not."""
    count = 0
    try:
        for index, line in enumerate(read_lines(path), start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if count == 0 and words[0].lower() in _HEADERS:
                continue
            count += 1
            yield Record(str(path), count, index, [line])
    except InputError as error:
        yield error


def parse_smiles(record: Record) -> Molecule:
    """Read ``SMILES name``; the molecule has no coordinates.

    Raises:
        InputError: If RDKit cannot parse it, or it holds a dummy atom.
    """
    smiles, _, title = record.lines[0].strip().partition(" ")
    smiles, tab, rest = smiles.partition("\t")
    title = (rest + " " + title if tab else title).strip()
    mol: Any = None
    raw: Any = None
    with quiet(), suppress(ValueError, RuntimeError):
        mol = Chem.MolFromSmiles(smiles)
        raw = mol if mol is not None else Chem.MolFromSmiles(smiles, sanitize=False)
    if raw is None or raw.GetNumAtoms() == 0:
        raise record.error(f"not a SMILES: {printable(smiles)}")
    warnings: list[str] = []
    if mol is None:
        try:
            mol, warnings = sanitise(raw)
        except ValueError as error:
            raise record.error(" ".join(str(error).split())[:160]) from None
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            raise record.error(f"atom {atom.GetIdx() + 1} is a dummy (*)")
    return Molecule(mol, title, {}, warnings, flat=True)
