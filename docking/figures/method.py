"""A method of a finished benchmark run: what became of every complex, and the poses kept."""

import csv
import gzip
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from docking.benchmark.contestant import Contestant
from docking.benchmark.folder import ROWS
from docking.benchmark.table import HIT
from overparam.errors import InputError
from overparam.run_folder import CONFIG

SCORES = "scores"
"""Folder of a decoy run with some of the poses of each complex, an npz each."""
_DECOYS = "decoys"


class Poses(NamedTuple):
    """Poses of one complex, best score first.

    Attributes:
        id: The complex.
        score: Score, higher is better.
        rmsd: Symmetric RMSD to the crystal pose, angstrom.
        confidence: Probability of being right as the model told it; NaN if it did not.
    """

    id: str
    score: Float[ndarray, " p"]
    rmsd: Float[ndarray, " p"]
    confidence: Float[ndarray, " p"]


@dataclass(frozen=True, eq=False)
class Method:
    """One method at one setting, over the complexes that all methods of its run have tried.

    Attributes:
        name: Its name, with that of its run if there are several runs.
        contestant: Its name in the run.
        run: Folder of the run.
        protocol: ``rigid``, ``flexible``, ``cross`` or ``decoys``.
        is_default: Whether it searches as hard as it does when not told otherwise.
        ids: The complexes.
        rmsd: Of its first pose, angstrom; infinite where it failed.
        sizes: Heavy atoms and torsions of the ligands, NaN where nobody could read one.
    """

    name: str
    contestant: str
    run: Path
    protocol: str
    is_default: bool
    ids: tuple[str, ...]
    rmsd: Float[ndarray, " n"]
    sizes: dict[str, Float[ndarray, " n"]] = field(default_factory=dict)

    @property
    def hits(self) -> ndarray:
        """Whether each complex is solved; a failure is not."""
        found: ndarray = self.rmsd < HIT
        return found

    def poses(self) -> Iterator[Poses]:
        """Poses of every complex that has some on disk."""
        for key in self.ids:
            if self.protocol == _DECOYS:
                found = _sampled(scores_file(self.run, key, self.contestant), key)
            else:
                found = _docked(self.run / "poses" / key / f"{self.contestant}.sdf.gz", key)
            if found is not None and len(found.score):
                yield found


def read_config(run: Path) -> dict[str, Any]:
    """What a benchmark run was asked to do.

    Raises:
        InputError: If the folder holds none.
    """
    import yaml

    try:
        config = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        config = None
    if not isinstance(config, dict) or config.get("command") != "docking benchmark":
        raise InputError(f"{run} holds no run of python -m docking benchmark")
    return config


def methods_of(
    runs: Sequence[Path],
    *,
    contestants: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
) -> list[Method]:
    """The methods of some runs, in the order they first appear; nothing is written.

    Args:
        runs: Folders.
        contestants: Which of them, in this order; all if left out.
        ids: Which complexes; all that were tried if left out.

    Raises:
        InputError: If a folder holds no benchmark, or no complex has been tried by all its methods.
    """
    return [
        method
        for run in runs
        for method in _methods(run, f"{run.name}/" if len(runs) > 1 else "", contestants, ids)
    ]


def scores_file(run: Path, key: str, contestant: str) -> Path:
    """Where a decoy run keeps poses of a complex; a checkpoint's path is a contestant too."""
    word = "".join(c if c.isalnum() or c in "._-" else "_" for c in contestant).strip("_")
    return run / SCORES / key / f"{word}.npz"


def _methods(
    run: Path, prefix: str, contestants: Sequence[str] | None, some: Sequence[str] | None
) -> list[Method]:
    config = read_config(run)
    rows = _rows(run / ROWS)
    if contestants is not None:
        rows = {name: rows[name] for name in contestants if name in rows}
    decoys = config["protocol"] == _DECOYS
    top = "top_rmsd" if decoys else "top1_rmsd"
    tried = [set(lines) for lines in rows.values()]
    wanted = tried if some is None else [*tried, set(some)]
    ids = tuple(sorted(set.intersection(*wanted))) if tried else ()
    if not ids:
        raise InputError(f"{run}: no complex has been tried by all its methods yet")
    sizes = {name: _known(rows, ids, name) for name in ("heavy_atoms", "torsions")}
    made = []
    for contestant, lines in rows.items():
        first = next(iter(lines.values()))
        rmsd = [
            _number(lines[key], top, math.inf) if lines[key]["status"] == "ok" else math.inf
            for key in ids
        ]
        setting = first.get("setting", "")
        who = Contestant(first.get("method", ""), first.get("inputs", ""), setting)
        made.append(
            Method(
                f"{prefix}{contestant}",
                contestant,
                run,
                config["protocol"],
                decoys or who.is_default,
                ids,
                np.array(rmsd, dtype=np.float64),
                sizes,
            )
        )
    return made


def _rows(file: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Lines by contestant and complex; one that is being written is left out."""
    try:
        data = file.read_bytes()
        lines = list(csv.DictReader(data[: data.rfind(b"\n") + 1].decode("utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from None
    found: dict[str, dict[str, dict[str, str]]] = {}
    for line in lines:
        if not {"id", "contestant", "status"} <= set(line):
            raise InputError(f"{file}: not the rows of a benchmark")
        found.setdefault(line["contestant"], {})[line["id"]] = line
    if not found:
        raise InputError(f"{file}: no row in it yet")
    return found


def _known(rows: Any, ids: Sequence[str], name: str) -> Float[ndarray, " n"]:
    """A fact of every ligand, from whichever method could read it."""
    values = [
        next((v for lines in rows.values() if not math.isnan(v := _number(lines[key], name))),
             math.nan)
        for key in ids
    ]  # fmt: skip
    return np.array(values, dtype=np.float64)


def _number(line: dict[str, str], name: str, absent: float = math.nan) -> float:
    text = line.get(name) or ""
    return float(text) if text else absent


def _docked(file: Path, key: str) -> Poses | None:
    """Poses of a docking, from the data fields of its SDF."""
    try:
        with gzip.open(file, "rt", encoding="utf-8") as packed:
            records = packed.read().split("$$$$")[:-1]
    except (OSError, EOFError, UnicodeDecodeError):
        return None
    columns: dict[str, list[float]] = {"score": [], "rmsd_to_crystal": [], "confidence": []}
    for record in records:
        for name, values in columns.items():
            _, found, rest = record.partition(f">  <{name}>\n")
            values.append(float(rest.split("\n", 1)[0]) if found else math.nan)
    return _best_first(key, *(np.array(v, dtype=np.float64) for v in columns.values()))


def _sampled(file: Path, key: str) -> Poses | None:
    """Poses that a decoy run kept."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            score, rmsd = (kept[name].astype(np.float64) for name in ("score", "rmsd"))
    except (OSError, KeyError, ValueError):
        return None
    return _best_first(key, score, rmsd, np.full(len(score), math.nan))


def _best_first(key: str, score: ndarray, rmsd: ndarray, confidence: ndarray) -> Poses:
    there = ~(np.isnan(score) | np.isnan(rmsd))
    order = np.argsort(-score[there], kind="stable")
    return Poses(key, *(array[there][order] for array in (score, rmsd, confidence)))
