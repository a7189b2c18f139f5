"""Graphs of ligand and receptor as the reference network of scalar fields sees them.

Who is joined to whom is found once, by a tree; edge vectors come from the positions at every call,
so gradients reach the positions. Several graphs are one graph whose parts do not touch: ``batch``
names the part of every node.

Source: Jing, Jaakkola & Berger, ICLR 2024, arXiv:2312.04323. One thing differs: an atom's eight
neighbours are the eight nearest, where the authors' code keeps the first eight found, so that its
result depends on the order of the atoms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from rdkit import Chem
from scipy.spatial import cKDTree
from torch import Tensor

from docking.learned.features import bare_molecule, ligand_features, receptor_features
from docking.ligand import Ligand
from docking.molecule import Receptor
from overparam.errors import InputError

LIGAND_REACH = 50.0
"""Distance below which two ligand atoms are joined, angstrom: in effect a complete graph."""
RESIDUE_REACH, RESIDUE_NEIGHBOURS = 30.0, 10
"""Largest distance of CA atoms that are joined, angstrom, and most neighbours of a residue."""
ATOM_REACH, ATOM_NEIGHBOURS = 5.0, 8
"""Largest distance of receptor atoms that are joined, angstrom, and most neighbours of each."""
BONDS = (
    Chem.BondType.SINGLE,
    Chem.BondType.DOUBLE,
    Chem.BondType.TRIPLE,
    Chem.BondType.AROMATIC,
)
"""Bond types that are told apart; a bond of another type is marked as none of them."""

G = TypeVar("G", "LigandGraph", "ReceptorGraph")


@runtime_checkable
class Complex(Protocol):
    """A receptor, a ligand in its place, and a name no other complex has."""

    id: str
    receptor: Receptor
    ligand: Ligand


@dataclass(frozen=True, eq=False)
class LigandGraph:
    """Heavy atoms of ligands, their bonds and all their pairs.

    Args:
        features: Categories of each atom (``docking.learned.features``), ``(n, 16)``.
        positions: Coordinates, angstrom, ``(n, 3)``.
        edges: Source and target of every edge, ``(2, e)``: each bond both ways, and every ordered
            pair of atoms closer than 50 angstrom, so that bonded pairs are joined twice.
        bonds: Bond type, one-hot; zeros for pairs, ``(e, 4)``.
        bonded: Whether the edge is a bond, ``(e,)``.
        batch: Ligand of each atom, ``(n,)``, ascending from 0.
    """

    features: Tensor
    positions: Tensor
    edges: Tensor
    bonds: Tensor
    bonded: Tensor
    batch: Tensor

    @classmethod
    def of(cls, ligand: Ligand) -> "LigandGraph":
        """The graph of one ligand in its pose, coordinates in single precision.

        Raises:
            InputError: If the ligand has no coordinates.
        """
        if ligand.coords is None:
            raise InputError(f"{ligand.name}: a ligand without coordinates has no field")
        positions = ligand.coords[ligand.heavy]
        found = [
            (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondType())
            for bond in bare_molecule(ligand).GetBonds()
        ]
        ends = np.array([(i, j) for i, j, _ in found], dtype=np.int64).reshape(-1, 2).T
        kinds = np.array([[kind == known for known in BONDS] for *_, kind in found], dtype=float)
        kinds = kinds.reshape(-1, len(BONDS))
        near = cKDTree(positions).query_pairs(LIGAND_REACH, output_type="ndarray").T
        edges = np.concatenate([ends, ends[::-1], near, near[::-1]], axis=1)
        bonds = np.concatenate([kinds, kinds, np.zeros((2 * near.shape[1], len(BONDS)))])
        return cls(
            torch.from_numpy(ligand_features(ligand)),
            torch.from_numpy(positions).float(),
            torch.from_numpy(edges),
            torch.from_numpy(bonds).float(),
            torch.arange(edges.shape[1]) < 2 * len(found),
            torch.zeros(len(positions), dtype=torch.int64),
        )

    @classmethod
    def joined(cls, graphs: Sequence["LigandGraph"]) -> "LigandGraph":
        """One graph of several; its ``batch`` counts them on."""
        nodes, parts = _offsets([len(g.batch) for g in graphs]), _offsets(_parts(graphs))
        return _concatenated(
            [
                replace(g, edges=g.edges + node, batch=g.batch + part)
                for g, node, part in zip(graphs, nodes, parts, strict=True)
            ]
        )

    def to(self, target: Any) -> "LigandGraph":
        """The graph on a device, or with its real numbers in another precision."""
        return _moved(self, target)


@dataclass(frozen=True, eq=False)
class ReceptorGraph:
    """Residues at their CA and heavy atoms of receptors.

    Args:
        residues: Category of each residue, ``(r, 1)``.
        atoms: Categories of each atom, ``(n, 4)``.
        positions: Coordinates of the atoms, angstrom, ``(n, 3)``.
        alpha: The atom that is each residue's CA, ``(r,)``.
        residue_of: Residue of each atom, ``(n,)``.
        atom_edges: Source and target, ``(2, e)``: the at most 8 nearest atoms within 5 angstrom of
            each target.
        residue_edges: Source and target, ``(2, f)``: the 10 nearest residues within 30 angstrom of
            each target, or the one nearest if none is so near.
        batch: Receptor of each residue, ``(r,)``, ascending from 0.
    """

    residues: Tensor
    atoms: Tensor
    positions: Tensor
    alpha: Tensor
    residue_of: Tensor
    atom_edges: Tensor
    residue_edges: Tensor
    batch: Tensor

    @classmethod
    def of(cls, receptor: Receptor) -> "ReceptorGraph":
        """The graph of the residues that have N, CA and C, coordinates in single precision.

        Raises:
            InputError: If there is no such residue.
        """
        known = receptor_features(receptor)
        positions = receptor.positions[known.kept]
        atoms = nearest(positions, ATOM_REACH, ATOM_NEIGHBOURS)
        centers = positions[known.alpha]
        residues = nearest(centers, RESIDUE_REACH, RESIDUE_NEIGHBOURS, at_least_one=True)
        return cls(
            torch.from_numpy(known.residues),
            torch.from_numpy(known.atoms),
            torch.from_numpy(positions).float(),
            torch.from_numpy(known.alpha),
            torch.from_numpy(known.residue_of),
            torch.from_numpy(atoms),
            torch.from_numpy(residues),
            torch.zeros(len(centers), dtype=torch.int64),
        )

    @classmethod
    def joined(cls, graphs: Sequence["ReceptorGraph"]) -> "ReceptorGraph":
        """One graph of several; its ``batch`` counts them on."""
        atoms = _offsets([len(g.atoms) for g in graphs])
        residues = _offsets([len(g.residues) for g in graphs])
        return _concatenated(
            [
                replace(
                    g,
                    alpha=g.alpha + atom,
                    residue_of=g.residue_of + residue,
                    atom_edges=g.atom_edges + atom,
                    residue_edges=g.residue_edges + residue,
                    batch=g.batch + part,
                )
                for g, atom, residue, part in zip(
                    graphs, atoms, residues, _offsets(_parts(graphs)), strict=True
                )
            ]
        )

    def to(self, target: Any) -> "ReceptorGraph":
        """The graph on a device, or with its real numbers in another precision."""
        return _moved(self, target)

    @property
    def centers(self) -> Float[Tensor, "r 3"]:
        """Positions of the residues' CA atoms, angstrom."""
        return self.positions.index_select(0, self.alpha)


class ComplexGraph(NamedTuple):
    """The two graphs of one or several complexes."""

    receptor: ReceptorGraph
    ligand: LigandGraph

    @classmethod
    def of(cls, example: Complex) -> "ComplexGraph":
        """The graphs of one complex.

        Raises:
            InputError: If the ligand has no coordinates or no residue has N, CA and C.
        """
        return cls(ReceptorGraph.of(example.receptor), LigandGraph.of(example.ligand))

    @classmethod
    def joined(cls, graphs: Sequence["ComplexGraph"]) -> "ComplexGraph":
        """One pair of graphs of several complexes."""
        return cls(
            ReceptorGraph.joined([graph.receptor for graph in graphs]),
            LigandGraph.joined([graph.ligand for graph in graphs]),
        )

    def to(self, target: Any) -> "ComplexGraph":
        """Both graphs on a device, or in another precision."""
        return ComplexGraph(self.receptor.to(target), self.ligand.to(target))


def nearest(
    positions: Float[ndarray, "n 3"], reach: float, count: int, *, at_least_one: bool = False
) -> Int[ndarray, "2 e"]:
    """Edges to every point from the ``count`` nearest others within ``reach``.

    Args:
        positions: Points, angstrom.
        reach: Largest distance.
        count: Largest number of neighbours.
        at_least_one: Whether a point with none in reach is joined to the nearest all the same.

    Returns:
        Sources, then targets; the targets ascend, and for each the sources go from near to far.
    """
    n = len(positions)
    if n < 2:
        return np.zeros((2, 0), dtype=np.int64)
    # Two points may share a place: the point itself need not come first.
    distance, source = cKDTree(positions).query(positions, k=min(count + 1, n))
    other = source != np.arange(n)[:, None]
    rank = np.cumsum(other, axis=1)
    keep = other & (rank <= count) & (distance <= reach)
    if at_least_one:
        keep |= other & (rank == 1)
    target = np.broadcast_to(np.arange(n)[:, None], source.shape)
    return np.stack([source[keep], target[keep]]).astype(np.int64)


def edge_vectors(
    source: Float[Tensor, "n 3"], target: Float[Tensor, "m 3"], edges: Int[Tensor, "2 e"]
) -> Float[Tensor, "e 3"]:
    """From the source to the target of each edge, angstrom; differentiable."""
    return target.index_select(0, edges[1]) - source.index_select(0, edges[0])


def _parts(graphs: Sequence[LigandGraph] | Sequence[ReceptorGraph]) -> list[int]:
    if not graphs:
        raise ValueError("graphs must be at least one, got none")
    return [int(graph.batch[-1]) + 1 for graph in graphs]


def _offsets(sizes: list[int]) -> list[int]:
    return [0, *accumulate(sizes)][:-1]


def _concatenated(graphs: list[G]) -> G:
    kind = type(graphs[0])
    values: dict[str, Tensor] = {}
    for field in fields(kind):
        axis = 1 if field.name.endswith("edges") else 0
        values[field.name] = torch.cat([getattr(graph, field.name) for graph in graphs], axis)
    return kind(**values)


def _moved(graph: G, target: Any) -> G:
    values: dict[str, Tensor] = {}
    for field in fields(graph):
        value = getattr(graph, field.name)
        counts = isinstance(target, torch.dtype) and not value.is_floating_point()
        values[field.name] = value if counts else value.to(target)
    return replace(graph, **values)
