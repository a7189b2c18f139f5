"""Who takes part: a method, the files it reads and how hard it searches."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from overparam.errors import InputError

VINA, ENGINE = "vina", "docking"
PHYSICS = "physics"
"""The model that is not named in its contestants."""
SHAPE = "shape"
"""The baseline of ``docking.benchmark.shape``."""
DEFAULT = "default"
EFFORTS = (0.25, 0.5, 1.0, 2.0, 4.0)
SEARCHES = ("8:2000", "8:5000", "8:20000", "8:100000", "8")
"""Vina's exhaustiveness and ``max_evals``; the last is its default."""


@dataclass(frozen=True)
class Contestant:
    """One method at one setting; a row of the table.

    Attributes:
        method: ``vina`` or ``docking``, with the model if it is not physics: ``docking-shape``.
        inputs: ``pdbqt``, the files both methods read, or ``own``, PDB and SDF as a user types.
        setting: How hard it searches: ``effort=1``, ``exhaustiveness=8 max_evals=20000``.
        job: What the setting means to the task.
    """

    method: str
    inputs: str
    setting: str
    job: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """Unique, and short enough for a table and a file."""
        words = {f"max_evals={DEFAULT}": DEFAULT, "max_evals=": "evals", "exhaustiveness=": "exh"}
        short = self.setting
        for long, brief in words.items():
            short = short.replace(long, brief)
        return f"{self.method}-{self.inputs}-{short.replace('=', '').replace(' ', '-')}"

    @property
    def curve(self) -> str:
        """The curve it is a point of."""
        return f"{self.method}, {self.inputs} inputs"

    @property
    def is_default(self) -> bool:
        """Whether this is the setting its method uses when not told otherwise."""
        return self.setting in ("effort=1", f"exhaustiveness=8 max_evals={DEFAULT}")


def engine(effort: float, inputs: str, scoring: str = PHYSICS) -> Contestant:
    """Our engine with a scoring model, by its name or path.

    Raises:
        InputError: If the effort is not positive.
    """
    if not (math.isfinite(effort) and effort > 0):
        raise InputError(f"effort must be positive, got {effort}")
    word = re.sub(r"[^A-Za-z0-9.]+", "_", scoring).strip("_")
    method = ENGINE if scoring == PHYSICS else f"{ENGINE}-{word}"
    job = (("effort", float(effort)), ("scoring", scoring))
    return Contestant(method, inputs, f"effort={effort:g}", job)


def vina(search: str) -> Contestant:
    """Vina at ``EXHAUSTIVENESS`` or ``EXHAUSTIVENESS:MAX_EVALS``.

    Raises:
        InputError: If these are not positive whole numbers.
    """
    parts = search.split(":")
    if len(parts) > 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise InputError(
            f"a Vina search must be EXHAUSTIVENESS or EXHAUSTIVENESS:MAX_EVALS, got {search!r}"
        )
    exhaustiveness, evals = int(parts[0]), int(parts[1]) if len(parts) == 2 else 0
    setting = f"exhaustiveness={exhaustiveness} max_evals={evals or DEFAULT}"
    job = (("exhaustiveness", exhaustiveness), ("max_evals", evals))
    return Contestant(VINA, "pdbqt", setting, job)


def field_of(
    *,
    against: str | None,
    efforts: Sequence[float],
    searches: Sequence[str],
    scoring: Sequence[str] = (PHYSICS,),
    baseline: str | None = None,
) -> list[Contestant]:
    """Everybody who takes part, without repetition.

    Args:
        against: ``vina``, or None for our engine alone.
        efforts: Of our engine; with an opponent on shared inputs and on its own.
        searches: Of Vina.
        scoring: Models of our engine, each at all efforts.
        baseline: A model that takes part in one row: own inputs, effort 1 if that is among the
            efforts and the largest of them otherwise.

    Raises:
        InputError: If a setting makes no sense or there is none.
    """
    inputs = ["pdbqt", "own"] if against else ["own"]
    chosen = [
        engine(effort, kind, name) for name in scoring for kind in inputs for effort in efforts
    ]
    if baseline and efforts:
        chosen.append(engine(1.0 if 1.0 in efforts else max(efforts), "own", baseline))
    if against:
        chosen = [vina(search) for search in searches] + chosen
    if not chosen:
        raise InputError("a benchmark needs at least one setting")
    return list(dict.fromkeys(chosen))


def in_turn(contestants: Sequence[Contestant], place: int) -> list[Contestant]:
    """The order for the complex at a place of the data set: everybody is first equally often."""
    start = place % len(contestants)
    return [*contestants[start:], *contestants[:start]]
