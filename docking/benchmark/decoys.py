"""Telling the true pose from decoys: a task, and the figures of one complex.

Source: Jing et al., arXiv:2312.04323, section 4.1 and table 2: 32 conformers x 32 rotations x 32
shifts, the truth left out of every figure, symmetric heavy-atom RMSD without superposition.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from docking.benchmark import engine_task
from docking.benchmark.contest import PREPARE_CAP
from docking.benchmark.dataset import Complex
from docking.benchmark.lanes import Lane, share
from docking.benchmark.protocols import PADDING, decoy_poses, generator, read_ligand
from docking.benchmark.rows import Rows
from docking.benchmark.statistics import bootstrap, mcnemar, wilson
from docking.box import Box
from docking.molecule import Receptor
from docking.symmetry import Symmetry

NEAR = 2.0
"""RMSD, angstrom, below which a decoy counts as right."""
_SAME = 1e-6  # angstrom
TEXT = ("id", "contestant", "status", "reason")
NUMBERS = (
    "poses", "near", "auroc", "top_rmsd", "rank_of_nearest", "read_cpu_s", "maps_cpu_s",
    "score_cpu_s", "peak_mb", "receptor_cpu_s", "heavy_atoms", "torsions",
)  # fmt: skip
KEPT = 2000
"""Poses of each complex whose scores stay on disk, drawn at random."""


def warm_up(settings: dict[str, Any]) -> None:
    """Load the model."""
    import torch

    torch.set_num_threads(1)
    engine_task.model(settings["scoring"])


def run(job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Score the decoys of one complex.

    Returns:
        The columns ``NUMBERS``, and ``kept``: score and RMSD of some of the decoys.
    """
    started = time.process_time()
    receptor = Receptor.from_file(job["receptor"])
    between = time.process_time()
    ligand = read_ligand(job["ligand"])
    poses = decoy_poses(job["id"], ligand, job["decoys"], job["seed"])
    read = time.process_time()
    model = engine_task.model(job["scoring"])
    pocket = model.prepare(receptor, Box.from_ligand(ligand, job["padding"]))
    ready = time.process_time()
    scores = np.asarray(model.score(pocket, ligand, poses), dtype=np.float64)
    seconds = time.process_time() - ready
    rmsd = Symmetry.of(ligand.mol).rmsd(poses, poses[:1])[:, 0]
    # A ligand without torsions has only one conformer, so the truth comes more than once.
    false = rmsd > _SAME
    some = generator(job["seed"], job["id"], 2).permutation(np.flatnonzero(false))[:KEPT]
    return {
        **figures(scores[false], rmsd[false]),
        "receptor_cpu_s": between - started, "read_cpu_s": read - started,
        "maps_cpu_s": ready - read, "score_cpu_s": seconds,
        "heavy_atoms": len(ligand), "torsions": len(ligand.torsions),
        "kept": np.stack([scores[some], rmsd[some]]).astype(np.float32),
    }  # fmt: skip


def figures(scores: Float[ndarray, " p"], rmsd: Float[ndarray, " p"]) -> dict[str, float]:
    """How well scores (higher is better) tell near decoys from far ones."""
    near = rmsd < NEAR
    nearest = int(rmsd.argmin())
    # Ties with the nearest count against it: a constant score must not rank it first.
    rank = int((scores >= scores[nearest]).sum())
    return {
        "poses": float(len(scores)), "near": float(near.sum()), "auroc": auroc(scores, near),
        "top_rmsd": float(rmsd[scores.argmax()]), "rank_of_nearest": float(rank),
    }  # fmt: skip


def auroc(scores: Float[ndarray, " p"], positive: Bool[ndarray, " p"]) -> float:
    """Probability that a positive scores above a negative, ties half; NaN without both."""
    from scipy.stats import rankdata

    right, wrong = int(positive.sum()), int((~positive).sum())
    if not right or not wrong:
        return math.nan
    above = rankdata(scores)[positive].sum() - right * (right + 1) / 2
    return float(above / (right * wrong))


def contend(
    complexes: Sequence[Complex],
    rows: Rows,
    *,
    scoring: str,
    count: int,
    seed: int,
    jobs: int,
    tell: Callable[[str], None],
    keep: Callable[[str, str], Path] | None = None,
) -> None:
    """Score the decoys of every complex that has no row yet.

    Args:
        complexes: The complexes.
        rows: Where their figures go.
        scoring: The model.
        count: Conformers, rotations and shifts.
        seed: Of the decoys.
        jobs: Complexes at a time.
        tell: Called with a line of progress after each.
        keep: File for the scores of some decoys, by id and model; None keeps none.
    """

    def work(lane: Lane, one: Complex) -> None:
        job = {
            "id": one.id, "receptor": one.receptor, "ligand": one.ligand, "decoys": count,
            "seed": seed, "padding": PADDING, "scoring": scoring, "cap": PREPARE_CAP,
        }  # fmt: skip
        outcome = lane.run("decoys", job, scoring)
        row = {"id": one.id, "contestant": scoring, "status": outcome.status}
        facts = dict(outcome.facts) if outcome.status == "ok" else {}
        kept = facts.pop("kept", None)
        if keep is not None and kept is not None:
            file = keep(one.id, scoring)
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, score=kept[0], rmsd=kept[1])
        rows.add({**row, "reason": outcome.reason, "peak_mb": outcome.peak_mb, **facts})
        shown = f"AUROC {facts['auroc']:.3f}" if facts else f"{outcome.status} ({outcome.reason})"
        tell(f"{one.id} {scoring}: {shown}")

    left = [one for one in complexes if (one.id, scoring) not in rows]
    share(left, work, jobs, {"peer": False})


def summary(complexes: Sequence[Complex], rows: Rows, scoring: str) -> dict[str, Any]:
    """Medians over the complexes and the share with a right pose on top; failures are misses."""
    found = [rows.get((one.id, scoring)) for one in complexes]
    tried = [row for row in found if row is not None]
    good = [row for row in tried if row["status"] == "ok"]
    hits = sum(row["top_rmsd"] < NEAR for row in good)
    out: dict[str, Any] = {
        "contestant": scoring, "n": len(tried), "failed": len(tried) - len(good),
        "top_below_2": {"hits": hits, **wilson(hits, len(tried))._asdict()},
    }  # fmt: skip
    # A failure is the worst there can be in each column.
    for name, worst in (("auroc", 0.0), ("top_rmsd", math.inf), ("rank_of_nearest", math.inf)):
        values = [row[name] if row["status"] == "ok" else worst for row in tried]
        # Without a near or a far decoy there is no AUROC.
        known = [value for value in values if not math.isnan(value)]
        out[name] = {"n": len(known), **bootstrap(known)._asdict()}
    spent = [row["score_cpu_s"] / row["poses"] for row in good]
    out["score_cpu_s_per_pose"] = bootstrap(spent)._asdict()
    once = [row["receptor_cpu_s"] + row["maps_cpu_s"] for row in good]
    out["pocket_cpu_s"] = bootstrap([value for value in once if not math.isnan(value)])._asdict()
    return out


def compare(complexes: Sequence[Complex], rows: Rows, scoring: str, other: str) -> dict[str, Any]:
    """One model against another on the same decoys, complex by complex.

    Returns:
        Median difference of the AUROC with its interval, on how many it is higher and lower, and
        who alone has a right decoy on top; a failure is an AUROC of 0 and a miss.
    """
    pairs = [(rows.get((one.id, scoring)), rows.get((one.id, other))) for one in complexes]
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    gaps = [_auroc_of(a) - _auroc_of(b) for a, b in both]
    gaps = [gap for gap in gaps if not math.isnan(gap)]
    first, second = (np.array([_is_hit(pair[k]) for pair in both], dtype=bool) for k in range(2))
    return {
        "contestant": scoring, "other": other, "n": len(gaps),
        "auroc_gap": bootstrap(gaps)._asdict(),
        "higher": sum(gap > 0 for gap in gaps), "lower": sum(gap < 0 for gap in gaps),
        "top": mcnemar(first, second)._asdict(),
    }  # fmt: skip


def _auroc_of(row: Mapping[str, Any]) -> float:
    return float(row["auroc"]) if row["status"] == "ok" else 0.0


def _is_hit(row: Mapping[str, Any]) -> bool:
    return row["status"] == "ok" and bool(row["top_rmsd"] < NEAR)
