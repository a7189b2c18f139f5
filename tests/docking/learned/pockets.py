"""Small complexes cut from the demo files, and what is done to them: turning, permuting, moving."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from scipy.spatial import cKDTree

from docking.learned.reference_graph import ComplexGraph
from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.rotation import uniform_rotations
from tests.docking import demo


@dataclass(eq=False)
class Pocket:
    """A complex as training reads it."""

    id: str
    receptor: Receptor
    ligand: Ligand


@cache
def pocket(key: str, reach: float = 3.5) -> Pocket:
    """Whole residues that come within ``reach`` angstrom of the ligand."""
    receptor, ligand = demo.receptor(key), demo.ligand(key)
    near = cKDTree(ligand.coords).query(receptor.positions)[0] <= reach
    inside = np.isin(receptor.residue_index, receptor.residue_index[near])
    return Pocket(key, receptor.take(inside), ligand)


@cache
def graph(key: str) -> ComplexGraph:
    """Graphs of a pocket in double precision."""
    return ComplexGraph.of(pocket(key)).to(torch.float64)


def moved(part, rotation, translation=None):
    """A graph with its positions turned about the origin and then shifted."""
    shift = 0.0 if translation is None else translation
    return replace(part, positions=part.positions @ rotation.T + shift)


def both(pair: ComplexGraph, rotation, translation=None) -> ComplexGraph:
    """Receptor and ligand moved together."""
    return ComplexGraph(*(moved(part, rotation, translation) for part in pair))


def rotation(seed: int) -> torch.Tensor:
    return uniform_rotations(1, generator=torch.Generator().manual_seed(seed))[0]


def reordered(receptor: Receptor, order: np.ndarray) -> Receptor:
    """The same receptor, its atoms listed in another order."""
    return Receptor(
        receptor.positions[order],
        [receptor.elements[i] for i in order],
        [receptor.names[i] for i in order],
        receptor.residue_index[order],
        receptor.residues,
        vina_type=receptor.vina_type[order],
    )
