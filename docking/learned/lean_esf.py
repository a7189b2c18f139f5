"""Lean equivariant networks whose atoms emit scalar fields.

Every heavy atom of the pocket emits, metals and cofactors too, and every heavy atom of the ligand
in its present conformer. The networks are equivariant under rotations but not under reflections, so
that mirror images are told apart.

Source: Jing, Jaakkola & Berger, ICLR 2024, arXiv:2312.04323, for the fields.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from docking.harmonics import solid_harmonics
from docking.learned.lean_net import Categories
from docking.learned.neighbourhood import Neighbourhood
from docking.learned.pocket_graph import MOLECULE_SIZES, POCKET_SIZES, MoleculeGraph
from docking.learned.reference_graph import BONDS
from docking.learned.splines import RadialSplines
from docking.learned.steer_layer import SteerLayer, by_degree, sized
from docking.ligand import Ligand
from docking.molecule import Receptor

_RADIAL = 6  # functions of an edge's length


class LeanNet(nn.Module):
    """From a ``Neighbourhood`` to the coefficients of its emitters.

    Args:
        sizes: Categories of each feature of an atom.
        kinds: Bond types.
        channels: Channels of the field.
        radial: Its radial functions.
        degree: Largest degree, 1 to 3.
        width: Scalar features of an atom.
        vectors: Features of an atom in each degree above 0.
        layers: Rounds of hearing neighbours.
        cutoff: Longest edge, angstrom.
        neighbours: Most neighbours of an atom.
        dropout: Probability of dropping a hidden feature.

    Raises:
        ValueError: If a size is out of range.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        kinds: int,
        channels: int,
        radial: int,
        degree: int,
        width: int,
        vectors: int,
        layers: int,
        cutoff: float,
        neighbours: int,
        dropout: float,
    ) -> None:
        super().__init__()
        whole = {"channels": channels, "radial": radial, "width": width, "vectors": vectors}
        for name, value in (whole | {"layers": layers, "neighbours": neighbours}).items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 1 <= degree <= 3:
            raise ValueError(f"degree must be 1 to 3, got {degree}")
        self.sizes, self.kinds = list(sizes), kinds
        self.channels, self.radial, self.degree = channels, radial, degree
        self.width, self.vectors, self.layers = width, vectors, layers
        self.cutoff, self.neighbours, self.dropout = cutoff, neighbours, dropout
        self.atom = Categories(sizes, width)
        self.splines = RadialSplines(_RADIAL, 0.8, cutoff)
        self.rounds = nn.ModuleList(
            SteerLayer(width, vectors, degree, _RADIAL + kinds, k == 0, dropout=dropout)
            for k in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, channels * radial)
        self.gates = nn.Linear(width, vectors * degree)
        self.mix = nn.ModuleList(
            nn.Linear(vectors, channels * radial, bias=False) for _ in range(degree)
        )

    def forward(self, graph: Neighbourhood) -> Float[Tensor, "e c j lm"]:
        """Coefficients of every emitter."""
        edges, shapes = self._edges(graph)
        h = self.atom(graph.features)
        v: Tensor | None = None
        for k, layer in enumerate(self.rounds):
            own = graph.own[k]
            if k:  # the same edges as before, of the atoms that go on
                edges, shapes = edges.index_select(0, own), shapes.index_select(0, own)
            h, v = layer(h, v, own, graph.neighbours[k], edges, shapes)
        h = self.norm(h)
        gates = self.gates(h).unflatten(-1, (self.degree, 1, self.vectors)).unbind(1)
        parts = [self.readout(h)[..., None]]
        assert v is not None
        for mix, gate, part in zip(self.mix, gates, by_degree(sized(v)), strict=True):
            parts.append(mix((1 + gate) * part).mT)
        return torch.cat(parts, -1).unflatten(1, (self.channels, self.radial))

    def _edges(self, graph: Neighbourhood) -> tuple[Tensor, Tensor]:
        """Functions of every edge, (t, e, k), and the same times its harmonics, (t, lm * e, k)."""
        x, own, heard = graph.positions, graph.own[0], graph.neighbours[0]
        offset = x.index_select(0, heard.flatten()).view(*heard.shape, 3)
        offset = offset - x.index_select(0, own)[:, None]
        there = graph.present[..., None]
        # A missing neighbour, and one in the same place, has no direction.
        r = torch.where(there, offset, 1.0).norm(dim=-1, keepdim=True).clamp(min=1e-3)
        radial = self.splines(r[..., 0]) * there
        edges = torch.cat([radial, graph.bonds.to(radial)], -1).mT
        harmonics = solid_harmonics(offset / r, self.degree)[..., 1:].mT * math.sqrt(4 * math.pi)
        return edges, (harmonics[:, :, None] * edges[:, None]).flatten(1, 2)


class LeanReceptorNet(LeanNet):
    """Coefficients of the heavy atoms of a pocket that can reach a pose.

    Args:
        channels: Channels of the field.
        radial: Its radial functions.
        degree: Largest degree, 1 to 3.
        width: Scalar features of an atom.
        vectors: Features of an atom in each degree above 0.
        layers: Rounds of hearing neighbours.
        cutoff: Longest edge, angstrom.
        neighbours: Most neighbours of an atom.
        dropout: Probability of dropping a hidden feature.

    Raises:
        ValueError: If a size is out of range.
    """

    def __init__(
        self,
        channels: int = 8,
        radial: int = 2,
        degree: int = 3,
        width: int = 64,
        vectors: int = 16,
        layers: int = 2,
        cutoff: float = 4.5,
        neighbours: int = 12,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(
            POCKET_SIZES, 0, channels, radial, degree, width, vectors, layers, cutoff, neighbours,
            dropout,
        )  # fmt: skip

    def around(
        self, receptor: Receptor, places: Float[ndarray, "p 3"], reach: float
    ) -> Neighbourhood:
        """The part of a receptor that is felt at some places, ready for this network."""
        return Neighbourhood.of_pocket(
            receptor,
            places,
            reach=reach,
            layers=self.layers,
            cutoff=self.cutoff,
            neighbours=self.neighbours,
        )


class LeanLigandNet(LeanNet):
    """Coefficients of all heavy atoms of a ligand in its conformer.

    Args:
        channels: Channels of the field.
        radial: Its radial functions.
        degree: Largest degree, 1 to 3.
        width: Scalar features of an atom.
        vectors: Features of an atom in each degree above 0.
        layers: Rounds of hearing neighbours.
        cutoff: Longest edge, angstrom.
        neighbours: Most neighbours of an atom.
        dropout: Probability of dropping a hidden feature.

    Raises:
        ValueError: If a size is out of range.
    """

    def __init__(
        self,
        channels: int = 8,
        radial: int = 1,
        degree: int = 3,
        width: int = 64,
        vectors: int = 16,
        layers: int = 3,
        cutoff: float = 5.0,
        neighbours: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(
            MOLECULE_SIZES, len(BONDS), channels, radial, degree, width, vectors, layers, cutoff,
            neighbours, dropout,
        )  # fmt: skip

    def around(
        self, features: Tensor, bonds: Tensor, positions: Float[ndarray, "n 3"]
    ) -> Neighbourhood:
        """A ligand in some pose, ready for this network; see ``ligand_tables``."""
        return Neighbourhood.of_molecule(
            features,
            positions,
            bonds,
            layers=self.layers,
            cutoff=self.cutoff,
            neighbours=self.neighbours,
        )


def ligand_tables(ligand: Ligand) -> tuple[Tensor, Tensor]:
    """Categories of a ligand's heavy atoms, ``(n, f)``, and bonds of all pairs, ``(n, n, 4)``."""
    graph = MoleculeGraph.of(ligand)
    n = len(graph.features)
    bonds = torch.zeros(n, n, len(BONDS))
    bonds[graph.edges[1], graph.edges[0]] = graph.bonds
    return graph.features, bonds
