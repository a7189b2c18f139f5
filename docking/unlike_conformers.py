"""Conformers of a ligand that differ in torsions or rings, for searches that hold both."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from docking.conformers import generate
from docking.learned.field_fit import superposed
from docking.ligand import Ligand

APART = 0.5
"""Least RMSD over heavy atoms of two conformers kept, one laid over the other, angstrom."""


def unlike(ligand: Ligand, tries: int, seed: int) -> tuple[Float[ndarray, "c n 3"], list[str]]:
    """Embed a ligand many times and leave out what repeats an earlier conformer.

    Args:
        ligand: The molecule; its coordinates are used only if it cannot be embedded.
        tries: Embeddings made.
        seed: Of the embeddings.

    Returns:
        All atoms of each conformer, angstrom, and what went wrong and was done instead.

    Raises:
        InputError: If it cannot be embedded and has no coordinates.
    """
    kept: list[ndarray] = []
    warnings: list[str] = []
    heavy = ligand.heavy
    for number in range(1, tries + 1):
        made = generate(ligand, limit=1, seed=(seed + 1) * number)
        warnings += made.warnings
        x = made.coords[0]
        offsets = (superposed(x[heavy], y[heavy]) - y[heavy] for y in kept)
        if all(np.sqrt((offset**2).sum(-1).mean()) >= APART for offset in offsets):
            kept.append(x)
    return np.stack(kept), list(dict.fromkeys(warnings))
