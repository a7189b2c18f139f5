"""Results on disk: one line per complex and contestant, written as soon as it is known."""

import csv
import io
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overparam.errors import InputError
from overparam.run_folder import write_whole

TEXT = ("id", "contestant", "method", "inputs", "setting", "status", "reason")
NUMBERS = (
    "heavy_atoms", "torsions", "box_x", "box_y", "box_z", "fallback_residues", "start_rmsd",
    "read_cpu_s", "maps_cpu_s", "dock_cpu_s", "dock_wall_s", "peak_mb", "n_poses", "top1_score",
    "top1_rmsd", "best_rmsd", "turn", "receptor_cpu_s", "ligand_cpu_s", "rescore_cpu_s",
    "top1_confidence",
)  # fmt: skip
VALIDITY_TEXT = ("id", "contestant", "status", "reason")
VALIDITY_NUMBERS = ("valid", "checks")


class Rows:
    """A CSV file that only grows, safe to stop at any moment and to write from several threads.

    Args:
        file: Where it is or will be.
        text: Columns of words; the first two are the key of a line.
        numbers: Columns of numbers; what is missing is NaN.

    Raises:
        InputError: If the file there has other columns; one of an earlier version, which has the
            first of them, gets the rest.
    """

    def __init__(
        self, file: Path, text: tuple[str, ...] = TEXT, numbers: tuple[str, ...] = NUMBERS
    ) -> None:
        self.file = file
        self.columns = (*text, *numbers)
        self._text, self._numbers = text, numbers
        self._lock = threading.Lock()
        self._by_key: dict[tuple[str, str], dict[str, Any]] = {}
        if file.is_file():
            self._read()
        else:
            self._append([self.columns], "w")

    def _read(self) -> None:
        data = self.file.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            self.file.write_bytes(whole)  # the line that was being written when the run stopped
        lines = csv.reader(whole.decode("utf-8").splitlines())
        head = tuple(next(lines, ()))
        if not head:
            self._append([self.columns], "w")
        elif not is_older(head, self.columns, len(self._text)):
            raise InputError(f"{self.file} has other columns than this version writes")
        for line in lines:
            if len(line) == len(head):
                row: dict[str, Any] = dict(zip(head, line, strict=True))
                for name in self._numbers:
                    row[name] = float(row[name]) if row.get(name) else math.nan
                self._by_key[self._key(row)] = row
        if head and head != self.columns:
            self._widen()

    def _widen(self) -> None:
        """Write the file again with the columns an earlier version did not have, empty."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(self.columns)
        for row in self._by_key.values():
            table.writerow(_shown(row[name]) for name in self.columns)
        write_whole(self.file, text.getvalue())

    def _key(self, row: Mapping[str, Any]) -> tuple[str, str]:
        return str(row[self.columns[0]]), str(row[self.columns[1]])

    def _append(self, lines: list[tuple[Any, ...]], mode: str = "a") -> None:
        with self.file.open(mode, newline="", encoding="utf-8") as out:
            csv.writer(out, lineterminator="\n").writerows(lines)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._by_key

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: tuple[str, str]) -> dict[str, Any] | None:
        """The line of a key, if it is there."""
        return self._by_key.get(key)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a line; columns left out are empty, and NaN is empty too.

        Raises:
            ValueError: If it has a column of another name, or its key is there already.
        """
        odd = set(row) - set(self.columns)
        if odd:
            raise ValueError(f"row must have known columns only, got {sorted(odd)}")
        kept: dict[str, Any] = {
            name: float(row.get(name, math.nan)) if name in self._numbers
            else " ".join(str(row.get(name, "")).split())
            for name in self.columns
        }  # fmt: skip
        with self._lock:
            if self._key(kept) in self._by_key:
                raise ValueError(f"row must be new, got {self._key(kept)} again")
            self._by_key[self._key(kept)] = kept
            self._append([tuple(_shown(kept[name]) for name in self.columns)])

    def all(self) -> list[dict[str, Any]]:
        """All lines, in the order they were written."""
        with self._lock:
            return list(self._by_key.values())


def is_older(head: tuple[str, ...], columns: tuple[str, ...], least: int) -> bool:
    """Whether a file's columns, at least some, are the first of this version's: more were added."""
    return least <= len(head) and head == columns[: len(head)]


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "" if math.isnan(value) else f"{value:.6g}"
