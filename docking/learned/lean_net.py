"""Lean networks of the hybrid score: a pocket in space, and a molecule as its graph alone.

The weight of an edge is a radial function times a gate of its source, so no network is run for
every edge; this is what makes them cheap (the reference's edge network costs forty times its tensor
product). The pocket's coefficients are equivariant, degrees 0 to ``degree``; the ligand's are
scalars of its bonds, so they hold for every pose and every torsion.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from docking.harmonics import solid_harmonics
from docking.learned.pocket_graph import MOLECULE_SIZES, POCKET_SIZES, MoleculeGraph, PocketGraph
from docking.learned.reference_graph import BONDS
from docking.learned.splines import RadialSplines

_CROWD = 4.0  # root of the usual number of neighbours


class Categories(nn.Module):
    """Sum of one embedding per categorical feature.

    Args:
        sizes: Number of categories of each feature.
        width: Length of the embeddings.
    """

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.sizes, self.width = list(sizes), width
        tables = [nn.Embedding(size, width) for size in sizes]
        for table in tables:
            nn.init.normal_(table.weight, std=len(tables) ** -0.5)
        self.tables = nn.ModuleList(tables)

    def forward(self, features: Int[Tensor, "n f"]) -> Float[Tensor, "n width"]:
        """Embed."""
        columns = zip(self.tables, features.unbind(1), strict=True)
        return torch.stack([table(column) for table, column in columns]).sum(0)


class MoleculeNet(nn.Module):
    """Scalar coefficients ``A`` of a ligand's heavy atoms from its bonds.

    Args:
        channels: Coefficients of each atom.
        width: Features of a node.
        layers: Rounds of messages along bonds.
        dropout: Probability of dropping a feature between layers.

    Raises:
        ValueError: If a size is below 1.
    """

    def __init__(
        self, channels: int = 24, width: int = 64, layers: int = 3, dropout: float = 0.1
    ) -> None:
        super().__init__()
        _check(channels=channels, width=width, layers=layers)
        self.channels, self.width, self.layers, self.dropout = channels, width, layers, dropout
        self.atom = Categories(MOLECULE_SIZES, width)
        self.bond = nn.ModuleList(nn.Linear(len(BONDS), width, bias=False) for _ in range(layers))
        self.send = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.update = nn.ModuleList(_update(2 * width, width, dropout) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers + 1))
        self.readout = nn.Linear(width, channels)

    def forward(self, graph: MoleculeGraph) -> Float[Tensor, "n channels"]:
        """Coefficients of every atom of the graph."""
        source, target = graph.edges
        h = self.atom(graph.features)
        for bond, send, update, norm in zip(
            self.bond, self.send, self.update, self.norms, strict=False
        ):
            g = norm(h)
            message = nn.functional.silu(send(g).index_select(0, source) + bond(graph.bonds))
            h = h + update(torch.cat([g, torch.zeros_like(h).index_add(0, target, message)], -1))
        return self.readout(self.norms[-1](h))


class PocketNet(nn.Module):
    """Coefficients ``B`` of a pocket's emitting atoms, equivariant, zero when new.

    Args:
        channels: Channels ``q`` of the field.
        radial: Its radial functions.
        degree: Largest degree of its harmonics, 0 to 3.
        width: Scalar features of a node.
        vectors: Features of a node in each degree above 0.
        layers: Rounds of messages between neighbours.
        cutoff: Longest edge, angstrom.
        neighbours: Most edges to an atom.
        dropout: Probability of dropping a feature between layers.

    Raises:
        ValueError: If a size is out of range.
    """

    def __init__(
        self,
        channels: int = 24,
        radial: int = 7,
        degree: int = 2,
        width: int = 64,
        vectors: int = 16,
        layers: int = 2,
        cutoff: float = 4.5,
        neighbours: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _check(channels=channels, radial=radial, width=width, vectors=vectors, layers=layers)
        _check(neighbours=neighbours)
        if not 0 <= degree <= 3:
            raise ValueError(f"degree must be 0 to 3, got {degree}")
        self.channels, self.radial, self.degree = channels, radial, degree
        self.width, self.vectors, self.layers = width, vectors, layers
        self.cutoff, self.neighbours, self.dropout = cutoff, neighbours, dropout
        self.atom = Categories(POCKET_SIZES, width)
        self.splines = RadialSplines(8, 0.8, cutoff)
        self.rounds = nn.ModuleList(
            PocketLayer(width, vectors, degree, self.splines.count, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, channels * radial)
        self.gates = nn.ModuleList(nn.Linear(width, vectors) for _ in range(degree))
        self.mix = nn.ModuleList(
            nn.Linear(vectors, channels * radial, bias=False) for _ in range(degree)
        )
        for last in (self.readout, *self.mix):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, graph: PocketGraph) -> Float[Tensor, "m q k lm"]:
        """Coefficients of every emitting atom, in their order."""
        h = self.atom(graph.features)
        v = h.new_zeros(len(h), self.vectors, (self.degree + 1) ** 2 - 1)
        for layer, edges in zip(self.rounds, graph.edges, strict=True):
            source, target = edges
            offset = graph.positions.index_select(0, source)
            offset = offset - graph.positions.index_select(0, target)
            r = offset.norm(dim=-1)
            shape = solid_harmonics(offset / r.clamp(min=1e-6)[:, None], self.degree)[:, 1:]
            h, v = layer(h, v, edges, self.splines(r), shape * _SPHERE)
        h, v = self.norm(h[graph.emits]), v[graph.emits]
        parts = [self.readout(h)[..., None]]
        start = 0
        for degree, (gate, mix) in enumerate(zip(self.gates, self.mix, strict=True), start=1):
            block = v[..., start : start + 2 * degree + 1]
            start += 2 * degree + 1
            parts.append(mix((gate(h)[..., None] * block).mT).mT)
        return torch.cat(parts, -1).unflatten(1, (self.channels, self.radial))


class PocketLayer(nn.Module):
    """One round: scalars and directions of the neighbours, each by radial function times gate.

    Args:
        width: Scalar features.
        vectors: Features of each degree above 0.
        degree: Largest degree.
        radial: Radial functions of an edge.
        dropout: Probability of dropping a feature.
    """

    def __init__(
        self, width: int, vectors: int, degree: int, radial: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width, self.vectors, self.degree = width, vectors, degree
        self.radial, self.dropout = radial, dropout
        self.norm = nn.LayerNorm(width)
        self.send = nn.Linear(width, width + vectors * degree)
        self.weigh = nn.Linear(radial, width + vectors * degree, bias=False)
        self.turn = nn.ModuleList(nn.Linear(vectors, vectors, bias=False) for _ in range(degree))
        self.update = _update(2 * width + vectors * degree, width, dropout)

    def forward(
        self,
        h: Float[Tensor, "n width"],
        v: Float[Tensor, "n vectors lm"],
        edges: Int[Tensor, "2 e"],
        radial: Float[Tensor, "e k"],
        harmonics: Float[Tensor, "e lm"],
    ) -> tuple[Float[Tensor, "n width"], Float[Tensor, "n vectors lm"]]:
        """New scalars and directions of every node."""
        source, target = edges
        g = self.norm(h)
        sent = self.send(g).index_select(0, source) * self.weigh(radial)
        heard = torch.zeros_like(h).index_add(0, target, sent[:, : self.width]) / _CROWD
        gates = sent[:, self.width :].unflatten(1, (self.degree, self.vectors))
        blocks, sizes, start = [], [], 0
        for degree in range(1, self.degree + 1):
            span = slice(start, start + 2 * degree + 1)
            start = span.stop
            message = gates[:, degree - 1, :, None] * harmonics[:, None, span]
            block = torch.zeros_like(v[..., span]).index_add(0, target, message) / _CROWD
            block = block + self.turn[degree - 1](v[..., span].mT).mT
            blocks.append(block)
            sizes.append((block.square().mean(-1) + 1e-4).sqrt())
        h = h + self.update(torch.cat([g, heard, *sizes], -1))
        return h, torch.cat(blocks, -1) if blocks else v


_SPHERE = 12.566370614359172**0.5  # from integral to component normalisation


def _update(inputs: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width)
    )


def _check(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
