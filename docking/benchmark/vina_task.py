"""One docking by the ``vina`` package, with its stages timed apart."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from docking.benchmark.stem import limit_cpu

ALL = 1000.0  # kcal/mol: report all poses kept, not only those within 3 of the best


def warm_up(settings: dict[str, Any]) -> None:
    """Import the package."""
    import vina  # type: ignore[import-not-found,import-untyped,unused-ignore]

    assert vina.__version__


def run(job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Dock a ligand's PDBQT into a receptor's.

    Returns:
        CPU seconds of each stage it can be asked for (search and final scoring are one call),
        ``coords`` of the poses in the order of the PDBQT, best first,
        and their ``scores``, higher better.
    """
    from vina import Vina  # type: ignore[import-not-found,import-untyped,unused-ignore]

    started = time.process_time()
    # Seed 0 would let the package choose one.
    peer = Vina(sf_name="vina", cpu=1, seed=job["seed"] + 1, verbosity=0)
    peer.set_receptor(job["receptor_pdbqt"])
    between = time.process_time()
    peer.set_ligand_from_file(job["ligand_pdbqt"])
    read = time.process_time()
    # With the ligand set, only the maps of its atom types are computed.
    peer.compute_vina_maps(center=job["center"].tolist(), box_size=job["size"].tolist())
    ready = time.process_time()
    say({
        "receptor_cpu_s": between - started, "read_cpu_s": read - started,
        "maps_cpu_s": ready - read,
    })  # fmt: skip
    limit_cpu(job["cap"])
    wall, ready = time.perf_counter(), time.process_time()
    peer.dock(
        exhaustiveness=job["exhaustiveness"], n_poses=job["num_poses"], max_evals=job["max_evals"]
    )
    dock, wall = time.process_time() - ready, time.perf_counter() - wall
    text = peer.poses(n_poses=job["num_poses"], energy_range=ALL)
    coords, energies = read_poses(text)
    return {
        "dock_cpu_s": dock, "dock_wall_s": wall, "coords": coords, "scores": -energies,
    }  # fmt: skip


def read_poses(pdbqt: str) -> tuple[Float[ndarray, "p n 3"], Float[ndarray, " p"]]:
    """Coordinates and energies (kcal/mol) of the models of a text Vina wrote, rows as given it."""
    models = [part for part in pdbqt.split("MODEL") if "VINA RESULT:" in part]
    energies = [float(part.split("VINA RESULT:")[1].split()[0]) for part in models]
    coords = [
        [[float(row[i : i + 8]) for i in (30, 38, 46)] for row in part.splitlines() if _atom(row)]
        for part in models
    ]
    shape = (len(models), -1 if models else 0, 3)
    return np.array(coords, dtype=np.float64).reshape(shape), np.array(energies, dtype=np.float64)


def _atom(row: str) -> bool:
    return row.startswith(("ATOM", "HETATM"))
