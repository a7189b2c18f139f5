"""Runs every contestant on every complex, one after another in turn, and keeps what came of it."""

import gzip
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from docking.benchmark.contestant import PHYSICS, VINA, Contestant, in_turn
from docking.benchmark.dataset import Complex
from docking.benchmark.lanes import Lane, share
from docking.benchmark.protocols import PADDING, read_ligand
from docking.benchmark.rows import Rows
from docking.benchmark.stem import Outcome
from docking.ligand import Ligand
from docking.sdf import write_sdf
from docking.symmetry import Symmetry

CAP = 240.0
"""CPU seconds one docking may take."""
NUM_POSES = 9
PREPARE_CAP = 300.0
"""CPU seconds preparation may take; its failure is a miss for all who read what it makes."""


@dataclass(frozen=True)
class Settings:
    """What holds for the whole contest.

    Attributes:
        protocol: ``rigid``, ``flexible`` or ``cross``.
        seed: Of start poses, conformers and searches.
        cap: CPU seconds one docking may take.
        prepared: Folder of the PDBQT files; those of receptors are made once for all protocols.
        out: Folder of the run.
        peer: Whether an opponent takes part.
        validity: Whether poses are checked by PoseBusters.
        padding: Angstrom around the crystal ligand.
        num_poses: Poses asked of each method.
    """

    protocol: str
    seed: int
    cap: float
    prepared: Path
    out: Path
    peer: bool
    validity: bool
    padding: float = PADDING
    num_poses: int = NUM_POSES


class Contest:
    """The contest over a list of complexes.

    Args:
        complexes: In the order that fixes whose turn it is.
        contestants: Who takes part.
        settings: What holds for all.
        rows: Where results go; what is there already is not run again.
        validity: Where the verdicts of PoseBusters go.
        tell: Called with one line of progress after each docking.

    Attributes:
        startup: CPU seconds and memory of importing and warming up, by task and model.
    """

    def __init__(
        self,
        complexes: Sequence[Complex],
        contestants: Sequence[Contestant],
        settings: Settings,
        rows: Rows,
        validity: Rows,
        tell: Callable[[str], None] = print,
    ) -> None:
        self.complexes = list(complexes)
        self.contestants = list(contestants)
        self.settings = settings
        self.rows, self.validity, self.tell = rows, validity, tell
        self.startup: dict[str, dict[str, Any]] = {}

    def run(self, jobs: int = 1) -> None:
        """Run what is not there yet, ``jobs`` complexes at a time.

        Raises:
            StemError: If what a method needs cannot be imported.
        """
        settings = {"peer": self.settings.peer}
        places = list(enumerate(self.complexes))
        self.startup = share(places, lambda lane, item: self._complex(lane, *item), jobs, settings)

    def poses_file(self, one: Complex, contestant: Contestant) -> Path:
        """Where the poses of a docking are kept."""
        return self.settings.out / "poses" / one.id / f"{contestant.name}.sdf.gz"

    def _complex(self, lane: Lane, place: int, one: Complex) -> None:
        """Everybody's turn on one complex."""
        order = in_turn(self.contestants, place)
        todo = [who for who in order if (one.id, who.name) not in self.rows]
        if todo:
            job, prepared = self._prepare(lane, one)
            try:
                ligand: Ligand | None = read_ligand(one.ligand)
            except Exception:  # the preparation has failed for the same reason, and told it
                ligand = None
            for who in todo:
                row = self._docking(lane, one, who, job, prepared, ligand)
                self.rows.add(row | {"turn": order.index(who)})
                self.tell(_line(row))
        if self.settings.validity:
            self._check(lane, one)

    def _prepare(self, lane: Lane, one: Complex) -> tuple[dict[str, Any], Outcome]:
        """The job all contestants share, and how its preparation went."""
        s = self.settings
        job: dict[str, Any] = {
            "id": one.id, "receptor": one.receptor, "ligand": one.ligand, "protocol": s.protocol,
            "seed": s.seed, "padding": s.padding, "num_poses": s.num_poses,
        }  # fmt: skip
        if s.peer:
            files = s.prepared.resolve()
            place = f"{one.id}_in_{one.partner}" if one.partner else one.id
            job["receptor_pdbqt"] = str(files / f"{place}_receptor.pdbqt")
            job["ligand_pdbqt"] = str(files / f"{one.id}_{s.protocol}_seed{s.seed}.pdbqt")
        outcome = lane.run("preparation", job | {"cap": PREPARE_CAP})
        return job | outcome.facts | {"cap": s.cap}, outcome

    def _docking(
        self,
        lane: Lane,
        one: Complex,
        who: Contestant,
        job: dict[str, Any],
        prepared: Outcome,
        ligand: Ligand | None,
    ) -> dict[str, Any]:
        """One docking, and its line of the table."""
        row: dict[str, Any] = {
            "id": one.id, "contestant": who.name, "method": who.method, "inputs": who.inputs,
            "setting": who.setting, "status": "prepare_failed", "reason": prepared.reason,
        }  # fmt: skip
        row |= {name: job[name] for name in _FACTS if name in job}
        if ligand is None or "start" not in job or not (who.inputs == "own" or "order" in job):
            return row
        row |= dict(zip(("box_x", "box_y", "box_z"), job["size"], strict=True))
        assert ligand.coords is not None
        symmetry, truth = Symmetry.of(ligand.mol), ligand.coords[None]
        row["start_rmsd"] = symmetry.rmsd(job["start"][None], truth)[0, 0]
        task = "vina_task" if who.method == VINA else "engine_task"
        job = job | dict(who.job) | {"inputs": who.inputs}
        outcome = lane.run(task, job, job.get("scoring", PHYSICS))
        facts = outcome.facts
        row |= {name: facts[name] for name in _TIMES if name in facts}
        row |= {"status": outcome.status, "reason": outcome.reason, "peak_mb": outcome.peak_mb}
        if outcome.status == "cap" and "maps_cpu_s" in facts:
            row["dock_cpu_s"] = job["cap"]
        if outcome.status != "ok":
            return row
        coords = facts["coords"][: self.settings.num_poses]
        if who.inputs == "pdbqt":
            coords = coords[:, job["order"]]
        if len(coords) == 0 or not np.isfinite(coords).all():
            found = "no pose" if len(coords) == 0 else "a pose that is not finite"
            return row | {"status": "failed", "reason": found}
        rmsd = symmetry.rmsd(coords, truth)[:, 0]
        scores = np.asarray(facts["scores"])[: len(coords)]
        file = self.poses_file(one, who)
        file.parent.mkdir(parents=True, exist_ok=True)
        fields = [{"rmsd_to_crystal": f"{value:.3f}"} for value in rmsd]
        sure = np.asarray(facts.get("confidences", ()))[: len(coords)]
        for words, value in zip(fields, sure, strict=False):
            words["confidence"] = f"{value:.6g}"
        write_sdf(file, ligand, coords, scores, who.name, fields)
        row |= {"top1_confidence": sure[0]} if len(sure) else {}
        return row | {
            "n_poses": len(coords), "top1_score": scores[0],
            "top1_rmsd": rmsd[0], "best_rmsd": rmsd.min(),
        }  # fmt: skip

    def _check(self, lane: Lane, one: Complex) -> None:
        """PoseBusters on everybody's best pose of one complex."""
        todo = []
        for who in self.contestants:
            row = self.rows.get((one.id, who.name))
            done = (one.id, who.name) in self.validity
            if row is not None and row["status"] == "ok" and not done:
                todo.append(who)
        if not todo:
            return
        coords = [first_pose(self.poses_file(one, who)) for who in todo]
        job = {"receptor": one.receptor, "ligand": one.ligand, "coords": coords}
        outcome = lane.run("validity", job | {"cap": PREPARE_CAP})
        for index, who in enumerate(todo):
            row = {"id": one.id, "contestant": who.name, "status": outcome.status}
            row["reason"] = outcome.reason
            if outcome.status == "ok":
                checks, failed = outcome.facts["results"][index]
                row |= {"valid": float(not failed), "checks": checks, "reason": " ".join(failed)}
            self.validity.add(row)


_FACTS = ("heavy_atoms", "torsions", "fallback_residues")
_TIMES = (
    "receptor_cpu_s", "read_cpu_s", "maps_cpu_s", "dock_cpu_s", "dock_wall_s", "ligand_cpu_s",
    "rescore_cpu_s",
)  # fmt: skip


def first_pose(file: Path) -> Float[ndarray, "n 3"]:
    """Coordinates of the first record of an SDF, angstrom."""
    from rdkit import Chem

    with gzip.open(file) as records:
        mol = next(Chem.ForwardSDMolSupplier(records, sanitize=False, removeHs=False))
        return np.array(mol.GetConformer().GetPositions())


def _line(row: dict[str, Any]) -> str:
    """One docking in words."""
    head = f"{row['id']} {row['contestant']}: "
    if row["status"] != "ok":
        return f"{head}{row['status']} ({row['reason']})"
    seconds = row.get("dock_cpu_s", math.nan)
    return f"{head}top-1 {row['top1_rmsd']:.2f} A, best {row['best_rmsd']:.2f} A, {seconds:.2f} s"
