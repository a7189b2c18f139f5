"""What a docking run found: poses, best first, and where they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOBase
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from docking.ligand import Ligand
from docking.sdf import write_sdf


@dataclass(frozen=True, eq=False)
class Pose:
    """One placement of a ligand.

    Attributes:
        rank: 1 for the best.
        score: Score of the model, higher is better.
        coords: Coordinates of all atoms in the ligand's order, angstrom, ``(n, 3)``.
        rmsd_to_best: Heavy-atom RMSD to the pose of rank 1, equivalent atoms alike, angstrom.
        terms: Parts of the score; for ``physics`` energies in kcal/mol, lower is better.
        conformer: Which of the conformers searched from it came from.
        confidence: Probability that it lies within 2 angstrom of the truth, if the model tells.

    Raises:
        ValueError: If the rank is below 1, the score or a coordinate is not finite, or the
            confidence is no probability.
    """

    rank: int
    score: float
    coords: Float[ndarray, "n 3"]
    rmsd_to_best: float = 0.0
    terms: Mapping[str, float] = field(default_factory=dict)
    conformer: int = 0
    confidence: float | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}")
        if not np.isfinite(self.score):
            raise ValueError(f"score must be finite, got {self.score}")
        if not np.isfinite(self.coords).all():
            raise ValueError("coords must be finite, got NaN or infinity")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {self.confidence}")

    def fields(self) -> dict[str, float | int]:
        """Rank, score, RMSD to the best, conformer and terms, as one row of plain numbers."""
        return {
            "rank": self.rank,
            "score": float(self.score),
            "rmsd_to_best": float(self.rmsd_to_best),
            "conformer": self.conformer,
            **({} if self.confidence is None else {"confidence": float(self.confidence)}),
            **{name: float(value) for name, value in self.terms.items()},
        }

    def __repr__(self) -> str:
        return f"Pose(rank {self.rank}, score {self.score:.3f}, {self.rmsd_to_best:.2f} A to best)"


class DockingResult:
    """Poses of one ligand in one pocket.

    Attributes:
        ligand: The molecule that was docked.
        poses: Best first.
        model: Name of the model that scored them.
        seed: Seed of the search.
        seconds: Wall time of the search.
        warnings: The ligand's and the search's, one sentence each.

    Raises:
        ValueError: If a pose does not have the ligand's number of atoms, or the ranks are not
            1, 2, 3, ... with scores that never rise.
    """

    def __init__(
        self,
        ligand: Ligand,
        poses: Sequence[Pose],
        model: str = "",
        *,
        seed: int = 0,
        seconds: float | int = 0.0,
        warnings: Sequence[str] = (),
    ) -> None:
        self.ligand = ligand
        self.poses = list(poses)
        self.model = model
        self.seed = seed
        self.seconds = float(seconds)
        self.warnings = list(dict.fromkeys(warnings))
        for place, pose in enumerate(self.poses, start=1):
            if pose.coords.shape != (len(ligand), 3):
                raise ValueError(
                    f"pose {place} must have shape ({len(ligand)}, 3), got {pose.coords.shape}"
                )
            if pose.rank != place:
                raise ValueError(f"poses must come in order of rank, got {pose.rank} at {place}")
        scores = self.scores
        if (scores[1:] > scores[:-1]).any():
            raise ValueError("poses must come best first, got a score above its predecessor's")

    @property
    def scores(self) -> Float[ndarray, " p"]:
        """Score of every pose."""
        return np.array([pose.score for pose in self.poses], dtype=np.float64)

    @property
    def coords(self) -> Float[ndarray, "p n 3"]:
        """Coordinates of every pose, angstrom."""
        stacked = [pose.coords for pose in self.poses]
        return np.array(stacked, dtype=np.float64).reshape(-1, len(self.ligand), 3)

    def to_sdf(self, target: str | Path | TextIOBase) -> None:
        """Write the poses: the input molecule with new coordinates and the fields of each pose.

        Args:
            target: Path (compressed if it ends in ``.gz``) or an open text file.

        Raises:
            InputError: If the file cannot be written.
        """
        rows = [
            {name: value if name in _WHOLE else f"{value:.6g}" for name, value in row.items()}
            for row in (pose.fields() for pose in self.poses)
        ]
        write_sdf(target, self.ligand, self.coords, self.scores, self.model, rows)

    def to_dataframe(self) -> Any:
        """One row per pose, as a pandas ``DataFrame``.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            raise ImportError(
                "to_dataframe needs pandas: python -m pip install 'overparam[screen]'"
            ) from None
        columns = ["name", "model", "rank", "score", "rmsd_to_best", "conformer"]
        terms = [name for pose in self.poses for name in pose.terms]
        return pandas.DataFrame(
            [{"name": self.ligand.name, "model": self.model, **p.fields()} for p in self.poses],
            columns=[*columns, *dict.fromkeys(terms)],
        )

    def report(self) -> dict[str, Any]:
        """Plain data for ``report.json``; coordinates are left to the SDF."""
        return {
            "ligand": self.ligand.name,
            "record": self.ligand.record,
            "heavy_atoms": int(self.ligand.heavy.sum()),
            "torsions": len(self.ligand.torsions),
            "model": self.model,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "poses": [pose.fields() for pose in self.poses],
            "warnings": list(self.warnings),
        }

    def __len__(self) -> int:
        return len(self.poses)

    def __repr__(self) -> str:
        best = f", best score {self.poses[0].score:.3f}" if self.poses else ""
        return (
            f"DockingResult({self.ligand.name!r}: {len(self.poses)} poses by "
            f"{self.model or 'no model'}{best}, {len(self.warnings)} warnings)"
        )


_WHOLE = ("rank", "conformer")
