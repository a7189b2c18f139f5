"""Graphs of a pocket and of a molecule as the lean networks see them: every heavy atom a node.

Ions, cofactors and residues with missing atoms are nodes like any other. A pocket is cropped to
what can reach a score: atoms that emit lie within the field's cutoff of the poses, and every layer
of the network hears one edge further; ``edges[k]`` are those of layer ``k``, so nothing is computed
that no emitter hears. The crop changes no coefficient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from rdkit import Chem
from scipy.spatial import cKDTree
from torch import Tensor

from docking.learned.features import (
    ATOM_NAMES,
    ELEMENTS,
    LIGAND_SIZES,
    RESIDUES,
    bare_molecule,
    ligand_features,
)
from docking.learned.reference_graph import BONDS, nearest
from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.typing import VinaType

KINDS = len(VinaType)
POCKET_SIZES = (len(RESIDUES) + 1, ELEMENTS, len(ATOM_NAMES) + 1, KINDS)
"""Categories of each pocket atom feature: residue type, element, name in it, Vina's atom type."""
MOLECULE_SIZES = (*(s for k, s in enumerate(LIGAND_SIZES) if k != 1), KINDS)
"""Categories of each ligand atom feature: the reference's without the chirality tag, which depends
on the order of bonds in a file, and Vina's atom type."""

_RESIDUE = {name: index for index, name in enumerate(RESIDUES)}
_NAME = {name: index for index, name in enumerate(ATOM_NAMES)}
_TABLE = Chem.GetPeriodicTable()


@dataclass(frozen=True, eq=False)
class PocketGraph:
    """Heavy atoms of one or several pockets.

    Attributes:
        features: Categories of each atom, ``(m, 4)``; sizes are ``POCKET_SIZES``.
        positions: ``(m, 3)``, angstrom.
        edges: Source and target of each layer's edges, ``(2, e)``, one tensor per layer.
        emits: Whether an atom can reach a pose, ``(m,)``.
        counts: Atoms of each pocket.
    """

    features: Tensor
    positions: Tensor
    edges: tuple[Tensor, ...]
    emits: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(
        cls,
        receptor: Receptor,
        places: Float[ndarray, "k 3"],
        *,
        reach: float,
        layers: int,
        cutoff: float,
        neighbours: int,
    ) -> "PocketGraph":
        """The graph of what can be felt at some places.

        Args:
            receptor: All of it, or at least what lies within ``reach + layers * cutoff``.
            places: Where ligand atoms may be, angstrom: atoms of poses, or points of a lattice.
            reach: Largest distance from an emitter to a place that matters.
            layers: Layers of the network.
            cutoff: Largest length of an edge.
            neighbours: Most edges to one atom, from its nearest.
        """
        heavy = np.flatnonzero(receptor.heavy)
        x = receptor.positions[heavy]
        gap = cKDTree(places).query(x, distance_upper_bound=reach + (layers + 1) * cutoff)[0]
        near = gap < reach + layers * cutoff
        heavy, x, gap = heavy[near], x[near], gap[near]
        edges = nearest(x, cutoff, neighbours)
        # Layer k feeds layers - 1 - k further ones.
        wide = [gap[edges[1]] < reach + (layers - 1 - k) * cutoff for k in range(layers)]
        return cls(
            torch.from_numpy(pocket_features(receptor)[heavy]),
            torch.from_numpy(x).float(),
            tuple(torch.from_numpy(edges[:, keep]) for keep in wide),
            torch.from_numpy(gap < reach),
            (len(heavy),),
        )

    @classmethod
    def joined(cls, graphs: Sequence["PocketGraph"]) -> "PocketGraph":
        """One graph of several."""
        starts = [0, *accumulate(len(g.positions) for g in graphs)]
        return cls(
            torch.cat([g.features for g in graphs]),
            torch.cat([g.positions for g in graphs]),
            tuple(
                torch.cat([e + s for e, s in zip(layer, starts, strict=False)], dim=1)
                for layer in zip(*(g.edges for g in graphs), strict=True)
            ),
            torch.cat([g.emits for g in graphs]),
            tuple(n for g in graphs for n in g.counts),
        )

    def to(self, device: Any) -> "PocketGraph":
        """The graph on a device."""
        return PocketGraph(
            self.features.to(device),
            self.positions.to(device),
            tuple(edges.to(device) for edges in self.edges),
            self.emits.to(device),
            self.counts,
        )


@dataclass(frozen=True, eq=False)
class MoleculeGraph:
    """Heavy atoms and bonds of one or several ligands; no coordinates.

    Attributes:
        features: Categories of each atom, ``(n, 16)``; sizes are ``MOLECULE_SIZES``.
        edges: Source and target of each bond, both ways, ``(2, e)``.
        bonds: Bond type, one-hot, ``(e, 4)``.
        counts: Atoms of each ligand.
    """

    features: Tensor
    edges: Tensor
    bonds: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(cls, ligand: Ligand) -> "MoleculeGraph":
        """The graph of one ligand, its heavy atoms in their order."""
        found = [
            (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondType())
            for bond in bare_molecule(ligand).GetBonds()
        ]
        ends = np.array([(i, j) for i, j, _ in found], dtype=np.int64).reshape(-1, 2).T
        kinds = np.array([[kind == known for known in BONDS] for *_, kind in found], dtype=float)
        kinds = kinds.reshape(-1, len(BONDS))
        features = np.delete(ligand_features(ligand), 1, axis=1)
        types = ligand.vina_type[ligand.heavy]
        return cls(
            torch.from_numpy(np.column_stack([features, types])),
            torch.from_numpy(np.concatenate([ends, ends[::-1]], axis=1)),
            torch.from_numpy(np.concatenate([kinds, kinds])).float(),
            (len(features),),
        )

    @classmethod
    def joined(cls, graphs: Sequence["MoleculeGraph"]) -> "MoleculeGraph":
        """One graph of several."""
        starts = [0, *accumulate(len(g.features) for g in graphs)]
        return cls(
            torch.cat([g.features for g in graphs]),
            torch.cat([g.edges + s for g, s in zip(graphs, starts, strict=False)], dim=1),
            torch.cat([g.bonds for g in graphs]),
            tuple(n for g in graphs for n in g.counts),
        )

    def to(self, device: Any) -> "MoleculeGraph":
        """The graph on a device."""
        features, edges, bonds = (x.to(device) for x in (self.features, self.edges, self.bonds))
        return MoleculeGraph(features, edges, bonds, self.counts)


def pocket_features(receptor: Receptor) -> Int[ndarray, "n 4"]:
    """The four features of every atom; those of hydrogens mean nothing."""
    residues = [_RESIDUE.get(residue.name, len(RESIDUES)) for residue in receptor.residues]
    numbers = {e: _element(e) for e in set(receptor.elements)}
    types: Bool[ndarray, " n"] = np.where(
        receptor.vina_type >= 0, receptor.vina_type, int(VinaType.MISC)
    )
    return np.column_stack(
        [
            np.array(residues, dtype=np.int64)[receptor.residue_index],
            [numbers[e] for e in receptor.elements],
            [_NAME.get(name, len(ATOM_NAMES)) for name in receptor.names],
            types,
        ]
    ).astype(np.int64)


def _element(symbol: str) -> int:
    try:
        number = int(_TABLE.GetAtomicNumber(symbol))
    except RuntimeError:  # not an element
        return ELEMENTS - 1
    return number - 1 if 1 <= number < ELEMENTS else ELEMENTS - 1
