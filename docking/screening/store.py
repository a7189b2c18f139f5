"""The folder of a screen: shards as it goes, tables and best poses when it is done.

A shard is two files, poses and then a table, each written beside its place and renamed. The table
is the mark that the shard is whole: records are in the folder if their table is, so a screen killed
at any moment goes on at the first record that has none.
"""

import csv
import io
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from docking.screening.task import Outcome
from overparam.errors import InputError
from overparam.run_folder import write_whole

TERMS = ("total", "inter", "intra")
COLUMNS = ("record", "name", "score", *TERMS, "heavy_atoms", "poses", "warnings", "error")
FAILURES = ("record", "name", "reason")
_END = b"\n$$$$\n"
_OPEN_FILES = 32
_APART = " | "  # between the warnings of a record


class ScreenStore:
    """Shards of a screen.

    Attributes:
        folder: The run folder.
        done: Number of the last record that is kept.
        names: Names of the records that are kept.

    Raises:
        InputError: If a shard is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = folder / "shards"
        self.shards.mkdir(exist_ok=True)
        self._rows: list[list[object]] = []
        self._blocks: list[str] = []
        self._number = len(list(self.shards.glob("*.csv")))
        for partial in self.shards.glob(".*.partial"):
            partial.unlink()
        self.done = 0
        self.names: list[str] = []
        for number in range(self._number):
            self._take(number)

    def _take(self, number: int) -> None:
        for row in self._read(number):
            if int(row["record"]) != self.done + 1:
                raise InputError(
                    f"{self.shards} lacks record {self.done + 1}, so the screen cannot be resumed"
                )
            self.done += 1
            self.names.append(row["name"])

    def _read(self, number: int) -> list[dict[str, str]]:
        file = self._table(number)
        try:
            with file.open(encoding="utf-8", newline="") as text:
                reader = csv.DictReader(text)
                if tuple(reader.fieldnames or ()) != COLUMNS:
                    raise InputError(f"{file} is damaged: its columns are not {', '.join(COLUMNS)}")
                return list(reader)
        except OSError as error:
            raise InputError(f"{file} cannot be read ({error.strerror})") from None

    def _table(self, number: int) -> Path:
        return self.shards / f"{number:05d}.csv"

    def __len__(self) -> int:
        """Records that wait to be written."""
        return len(self._rows)

    def add(self, outcome: Outcome) -> None:
        """Take a record; ``flush`` writes it."""
        best = outcome.poses[0] if outcome.poses else None
        numbers = [""] * (1 + len(TERMS))
        if best is not None:
            values = [best.score, *(best.terms.get(name) for name in TERMS)]
            numbers = ["" if value is None else f"{value:.5f}" for value in values]
        self._rows.append(
            [
                outcome.record,
                outcome.name,
                *numbers,
                outcome.heavy_atoms or "",
                len(outcome.poses),
                _APART.join(" ".join(warning.split()) for warning in outcome.warnings),
                outcome.error,
            ]
        )
        self._blocks += outcome.blocks

    def flush(self) -> None:
        """Write what waits as one shard."""
        if not self._rows:
            return
        table = self._table(self._number)
        write_whole(table.with_suffix(".sdf"), "".join(self._blocks))
        write_whole(table, _csv([COLUMNS, *self._rows]))
        self._number += 1
        self._rows, self._blocks = [], []

    def finish(self, top: int | None) -> dict[str, Any]:
        """Write ``scores.csv``, ``failures.csv`` and ``poses.sdf``, best first.

        Args:
            top: Records whose poses are wanted; None for all.

        Returns:
            Counts for the report.
        """
        self.flush()
        score, place, length = array("d"), array("q"), array("q")
        shard, first, poses = array("q"), array("q"), array("q")
        table = bytearray()
        failures: list[list[str]] = []
        warnings: Counter[str] = Counter()
        for number in range(self._number):
            before = 0
            for row in self._read(number):
                warnings.update(filter(None, row["warnings"].split(_APART)))
                if row["error"]:
                    failures.append([row["record"], row["name"], row["error"]])
                    continue
                line = _csv([[row[name] for name in COLUMNS[:-1]]]).encode()
                score.append(float(row["score"]))
                place.append(len(table))
                length.append(len(line))
                shard.append(number)
                first.append(before)
                poses.append(int(row["poses"]))
                before += poses[-1]
                table += line
        # Rows are in order of the records, which a stable sort keeps among equal scores.
        order = np.argsort(-np.array(score), kind="stable")
        scores = [bytes(table[place[i] : place[i] + length[i]]) for i in order]
        _write(self.folder / "scores.csv", [_csv([COLUMNS[:-1]]).encode(), *scores])
        write_whole(self.folder / "failures.csv", _csv([FAILURES, *failures]))
        best = order if top is None else order[:top]
        wanted = [(shard[i], first[i], poses[i]) for i in best]
        _write(self.folder / "poses.sdf", self._poses(wanted))
        return {
            "records": len(score) + len(failures),
            "docked": len(score),
            "failed": len(failures),
            "best_score": float(score[order[0]]) if len(order) else None,
            "warnings": [f"{count} x {text}" for text, count in warnings.most_common(20)],
            "first_failures": [" ".join(row[1:]) for row in failures[:5]],
        }

    def _poses(self, wanted: list[tuple[int, int, int]]) -> Iterator[bytes]:
        """SDF records of some rows: shard, number of the first pose in it, number of poses."""
        ends: dict[int, list[int]] = {}
        for number in {number for number, _, _ in wanted}:
            text = self._table(number).with_suffix(".sdf").read_bytes()
            found, at = [0], text.find(_END)
            while at >= 0:
                found.append(at + len(_END))
                at = text.find(_END, found[-1])
            ends[number] = found
        files: dict[int, BinaryIO] = {}
        try:
            for number, first, count in wanted:
                if number not in files:
                    if len(files) >= _OPEN_FILES:
                        files.pop(next(iter(files))).close()
                    files[number] = self._table(number).with_suffix(".sdf").open("rb")
                start, stop = ends[number][first], ends[number][first + count]
                files[number].seek(start)
                yield files[number].read(stop - start)
        finally:
            for file in files.values():
                file.close()


def _csv(rows: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _write(file: Path, parts: Any) -> None:
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("wb") as out:
        for part in parts:
            out.write(part)
    partial.replace(file)
