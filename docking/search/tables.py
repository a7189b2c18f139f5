"""Pair energies by squared distance, for compiled code: linear between the nodes of a fine mesh.

Read as straight lines between nodes, energies and their slopes agree with each other, which a
quasi-Newton search needs. Final scores never come from here.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from docking.terms import VINA, ScoringFunction, pair_energy
from docking.typing import RADIUS

BINS = 32
"""Nodes per square angstrom."""


@lru_cache(maxsize=4)
def pair_table(function: ScoringFunction = VINA) -> Float[ndarray, "types types nodes"]:
    """Energy of two atoms by type, type and node ``k`` at ``r = sqrt(k / BINS)``, kcal/mol.

    The last two nodes lie at the cut-off and beyond it and are zero.
    """
    types = torch.arange(len(RADIUS))
    nodes = round(BINS * function.cutoff**2)
    r = (torch.arange(nodes + 2, dtype=torch.float64) / BINS).sqrt()
    grid = torch.broadcast_tensors(r, types[:, None, None], types[None, :, None])
    return np.ascontiguousarray(pair_energy(*grid, function=function).float().numpy())
