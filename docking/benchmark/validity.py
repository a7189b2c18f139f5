"""Physical plausibility of poses by PoseBusters, as a task of its own after the docking.

A pose is valid if it passes every check of the configuration ``dock``: chemistry, bond lengths and
angles, flat rings, internal clashes and energy, and distances to the receptor. RMSD is no part.

Source: Buttenschoen, Morris and Deane, Chem. Sci. 15 (2024) 3130.
"""

import importlib.util
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from docking.benchmark.protocols import read_ligand, with_conformer

NOT_INSTALLED = "not installed"


def installed() -> bool:
    """Whether the ``posebusters`` package is there."""
    return importlib.util.find_spec("posebusters") is not None


def warm_up(settings: dict[str, Any]) -> None:
    """Import the package."""
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    import posebusters  # type: ignore[import-not-found,import-untyped,unused-ignore]

    assert posebusters.__name__


def run(job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Check the ``coords`` of several poses of the job's ``ligand`` against its ``receptor``.

    Returns:
        ``results``: for each pose the number of checks and the names of those it fails.
    """
    from posebusters import PoseBusters  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from rdkit import Chem

    ligand = read_ligand(job["ligand"])
    receptor = Chem.MolFromPDBBlock(
        _pdb_text(job["receptor"]), sanitize=False, removeHs=False, proximityBonding=False
    )
    results = []
    for coords in job["coords"]:
        pose = with_conformer(ligand.mol, np.asarray(coords))
        table = PoseBusters(config="dock").bust([pose], None, receptor)
        checks = table.select_dtypes("bool").iloc[0]
        results.append((len(checks), [str(name) for name, fine in checks.items() if not fine]))
    return {"results": results}


def _pdb_text(path: Any) -> str:
    import gemmi

    structure = gemmi.read_structure(str(path))
    return str(structure.make_pdb_string(gemmi.PdbWriteOptions(minimal=True)))
