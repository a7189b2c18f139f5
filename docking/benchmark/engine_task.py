"""One docking by our engine, with its stages timed apart."""

import functools
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from docking.benchmark.contestant import SHAPE
from docking.benchmark.protocols import PADDING, read_ligand
from docking.benchmark.stages import Stages
from docking.benchmark.stem import limit_cpu
from docking.box import Box
from docking.ligand import Ligand
from docking.molecule import Receptor

_WARM = "1bju"  # demo complex docked once, so that kernels are compiled or loaded before any clock


@functools.cache
def model(name: str) -> Any:
    """The scoring model, loaded once."""
    if name == SHAPE:
        from docking.benchmark.shape import ShapeModel

        return ShapeModel()
    from docking.models import load_model

    return load_model(name)


def warm_up(settings: dict[str, Any]) -> None:
    """Load the model and dock a demo complex, rigid and flexible."""
    import torch

    torch.set_num_threads(1)
    folder = Path(str(files("docking"))) / "demo"
    ligand = read_ligand(folder / f"{_WARM}_ligand.sdf")
    scorer = model(settings["scoring"])
    receptor = Receptor.from_file(folder / f"{_WARM}_protein.pdb.gz")
    pocket = scorer.prepare(receptor, Box.from_ligand(ligand, PADDING))
    for rigid in (True, False):
        scorer.dock(pocket, ligand, num_poses=1, rigid=rigid, seed=0, threads=1, effort=0.01)


def run(job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Dock a ligand from its start pose.

    Returns:
        As ``vina_task.run``; ``coords`` in the order of the PDBQT if the job's ``inputs`` are
        ``pdbqt``, in that of the ligand file otherwise. Beside it the stages of the docking, and
        ``confidences`` if the model tells them.
    """
    started = time.process_time()
    shared = job["inputs"] == "pdbqt"
    receptor = Receptor.from_file(job["receptor_pdbqt" if shared else "receptor"])
    between = time.process_time()
    if shared:
        # Without template: atoms, types and torsions are exactly those the peer reads.
        ligand = Ligand.from_pdbqt(job["ligand_pdbqt"])
    else:
        ligand = read_ligand(job["ligand"]).with_coords(job["start"])
    read = time.process_time()
    scorer = model(job["scoring"])
    pocket = scorer.prepare(receptor, Box(job["center"], job["size"]))
    ready = time.process_time()
    say({
        "receptor_cpu_s": between - started, "read_cpu_s": read - started,
        "maps_cpu_s": ready - read,
    })  # fmt: skip
    limit_cpu(job["cap"])
    rigid = job["protocol"] == "rigid"
    # A PDBQT has no bond orders to make conformers from, and the peer has only this one.
    own = {"conformers": 0} if shared and not rigid else {}
    wall, ready = time.perf_counter(), time.process_time()
    with Stages(scorer) as stages:
        result = scorer.dock(
            pocket, ligand, num_poses=job["num_poses"], rigid=rigid, seed=job["seed"],
            threads=1, effort=job["effort"], **own,
        )  # fmt: skip
    dock, wall = time.process_time() - ready, time.perf_counter() - wall
    coords = [np.asarray(pose.coords, dtype=np.float64) for pose in result.poses]
    sure = [pose.confidence for pose in result.poses]
    told = {} if None in sure else {"confidences": np.array(sure, dtype=np.float64)}
    return {
        "dock_cpu_s": dock, "dock_wall_s": wall, **stages.spent, **told,
        "coords": np.array(coords).reshape(-1, len(ligand), 3),
        "scores": np.array([float(pose.score) for pose in result.poses]),
    }  # fmt: skip
