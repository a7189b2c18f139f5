"""The records of a library, one at a time and unread: a worker reads them."""

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from docking.ligand import FORMATS, Ligand
from docking.readers.mol2 import parse_mol2, split_mol2
from docking.readers.molecule import from_record, read_ligands
from docking.readers.record import Record, RecordError
from docking.readers.sdf import parse_sdf, split_sdf
from docking.readers.smiles import parse_smiles, split_smiles
from docking.readers.text import file_format, read_lines
from overparam.errors import InputError

_SPLIT = {"sdf": split_sdf, "mol2": split_mol2, "smi": split_smiles}
_PARSE = {"sdf": parse_sdf, "mol2": parse_mol2, "smi": parse_smiles}
_SAME = {"sd": "sdf", "mol": "sdf", "smiles": "smi"}
_MARK = {"sdf": "$$$$", "mol2": "@<TRIPOS>MOLECULE", "smi": ""}


@dataclass(frozen=True)
class Entry:
    """One record of a library.

    Attributes:
        record: Its number, from 1.
        content: Its text, the molecule, or the error that stands in its place.
        kind: Format of the text.
        stem: Begin of the name a record without a title gets.
    """

    record: int
    content: Record | Ligand | InputError
    kind: str = ""
    stem: str = "ligand"

    @property
    def name(self) -> str:
        """A name for a record that cannot tell its own."""
        return f"{self.stem}_{self.record}"

    def read(self) -> Ligand:
        """Read the record.

        Raises:
            InputError: If it cannot be read, with its place in the file.
        """
        if isinstance(self.content, Ligand):
            return self.content
        if isinstance(self.content, InputError):
            raise self.content
        return from_record(Ligand, self.content, _PARSE[self.kind], None, self.stem)


class Library:
    """A file of molecules, or molecules.

    Args:
        source: Path of an SDF, MOL2, SMILES or PDBQT file, compressed or not, or the ligands. An
            iterator can be gone through only once.

    Raises:
        InputError: If there is no such file or its type is unknown.
    """

    def __init__(self, source: str | Path | Iterable[Ligand]) -> None:
        self.path: Path | None = None
        self._ligands: Iterable[Ligand] = ()
        self.kind = ""
        if isinstance(source, str | Path):
            self.path = Path(source)
            kind = file_format(self.path, FORMATS)
            self.kind = _SAME.get(kind, kind)
            if not self.path.is_file():
                raise InputError(f"{self.path}: no such file")
        else:
            self._ligands = source

    def settings(self) -> dict[str, str | int]:
        """What has to stay the same for a screen to go on."""
        if self.path is None:
            return {"library": "molecules given from Python"}
        return {"library": str(self.path.resolve()), "library_bytes": self.path.stat().st_size}

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Records in order, those up to number ``after`` left out without reading them.

        Raises:
            InputError: If the file cannot be read at all, or is empty.
        """
        if self.path is None:
            for record, ligand in islice(enumerate(self._ligands, start=1), after, None):
                if not isinstance(ligand, Ligand):
                    raise TypeError(f"a library must hold Ligand, got {type(ligand).__name__}")
                yield Entry(record, ligand)
            return
        stem = self.path.name.split(".")[0]
        record = 0
        for found in self._records(self.path):
            # An error of the whole file ends it; before the first record there is nothing to skip.
            if isinstance(found, InputError) and not isinstance(found, RecordError) and not record:
                raise found
            record += 1
            if isinstance(found, InputError):
                found = InputError(str(found))  # a plain one travels between processes
            if record > after:
                yield Entry(record, found, self.kind, stem)
        if record == 0:
            raise InputError(f"{self.path}: the file is empty")

    def _records(self, path: Path) -> Iterator[Record | InputError] | Iterator[Ligand | InputError]:
        return _SPLIT[self.kind](path) if self.kind in _SPLIT else read_ligands(Ligand, path, None)

    def check(self) -> None:
        """Look for a first record.

        Raises:
            InputError: If the file cannot be read, or is empty.
        """
        if self.path is not None:
            next(self.entries())

    def count(self) -> int | None:
        """Number of records, by a quick look for what parts them; None if that is not known."""
        if self.path is None or self.kind not in _MARK:
            return len(self._ligands) if isinstance(self._ligands, Sized) else None
        mark = _MARK[self.kind]
        try:
            if not mark:
                return sum(1 for line in read_lines(self.path) if line.strip())
            return sum(line.startswith(mark) for line in read_lines(self.path))
        except InputError:
            return None


class Names:
    """Gives every record a name of its own: the second ``aspirin`` becomes ``aspirin_2``.

    Args:
        used: Names already given.
    """

    def __init__(self, used: Iterable[str] = ()) -> None:
        self._count = dict.fromkeys(used, 1)

    def unique(self, name: str) -> str:
        """The name itself if it is free, else the next one with a number."""
        name = " ".join(name.split()).replace("$$$$", "$ $ $ $")  # what ends an SDF record
        result = name
        while result in self._count:
            self._count[name] += 1
            result = f"{name}_{self._count[name]}"
        self._count[result] = 1
        return result
