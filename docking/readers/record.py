"""One molecule out of a file of many, and the errors that say which."""

from dataclasses import dataclass, field
from typing import Any

from docking.readers.text import printable
from overparam.errors import InputError


class RecordError(InputError):
    """A record that cannot be used, in a file whose others may be.

    Attributes:
        record: Its number, from 1.
    """

    def __init__(self, message: str, record: int) -> None:
        super().__init__(message)
        self.record = record


@dataclass
class Record:
    """Text of one molecule and where it stands.

    Attributes:
        source: Path of the file.
        index: Number of the record, from 1.
        line: Line of the file it starts at, from 1.
        lines: Its lines.
        closed: Whether its end was in the file.
    """

    source: str
    index: int
    line: int
    lines: list[str] = field(default_factory=list)
    closed: bool = True

    def error(self, reason: str, row: int | None = None) -> RecordError:
        """An error that names file, record and line; ``row`` counts the record's lines from 0."""
        where = f"line {self.line + (row or 0)}"
        name = f" {printable(self.lines[0], 40)}" if self.lines and self.lines[0].strip() else ""
        return RecordError(
            f"{self.source}: record {self.index}{name}, {where}: {reason}", self.index
        )


@dataclass
class Molecule:
    """What a reader makes of a record.

    Attributes:
        mol: RDKit molecule; with a conformer if the record had coordinates.
        title: Name in the file.
        properties: Data fields in file order.
        warnings: What was repaired.
        flat: Whether the record says its coordinates are a drawing.
    """

    mol: Any
    title: str
    properties: dict[str, str]
    warnings: list[str]
    flat: bool = False
