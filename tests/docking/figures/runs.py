"""Folders as a benchmark leaves them, with results that are made up and poses of a demo ligand."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from docking.benchmark.contestant import Contestant, engine
from docking.benchmark.rows import Rows
from docking.sdf import write_sdf
from overparam.run_folder import HEADER
from tests.docking import demo

Outcome = tuple[Sequence[float], Sequence[float], Sequence[float]]
"""RMSD, score and confidence (or none) of the poses of a complex; without poses it failed."""


def write_run(
    folder: Path,
    outcomes: Mapping[str, Mapping[str, Outcome]],
    *,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    poses: bool = True,
    **config: object,
) -> list[Contestant]:
    """Write a run: for every scoring model what became of every complex."""
    folder.mkdir(parents=True)
    settings = {
        "command": "docking benchmark", "protocol": "rigid", "split": "test",
        "scoring": list(outcomes), **config,
    }  # fmt: skip
    (folder / "config.yaml").write_text(HEADER + yaml.safe_dump(settings))
    rows, everybody = Rows(folder / "rows.csv"), []
    ligand = demo.ligand("1bju")
    for scoring, found in outcomes.items():
        who = engine(1.0, "own", scoring)
        everybody.append(who)
        for key, (rmsd, score, sure) in found.items():
            row = {"id": key, "contestant": who.name, "method": who.method, "inputs": who.inputs,
                   "setting": who.setting, "status": "failed", "reason": "made up"}  # fmt: skip
            heavy, torsions = (sizes or {}).get(key, (math.nan, math.nan))
            row |= {"heavy_atoms": heavy, "torsions": torsions}
            if len(rmsd):
                row |= {"status": "ok", "reason": "", "top1_rmsd": rmsd[0], "best_rmsd": min(rmsd)}
                row |= {"top1_score": score[0], "n_poses": len(rmsd)}
            rows.add(row)
            if not (len(rmsd) and poses):
                continue
            file = folder / "poses" / key / f"{who.name}.sdf.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            fields = [{"rmsd_to_crystal": f"{value:.3f}"} for value in rmsd]
            for line, value in zip(fields, sure, strict=False):
                line["confidence"] = f"{value:.6g}"
            coords = np.repeat(ligand.coords[None], len(rmsd), 0)
            write_sdf(file, ligand, coords, list(score), who.name, fields)
    return everybody
