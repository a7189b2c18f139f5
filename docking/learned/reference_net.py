"""The reference network: from the graph of a molecule to the coefficients of its scalar field.

Two independent stacks of six tensor layers, one for ligands, one for receptors. All affine maps of
the small networks have biases, the equivariant readout has none, and one embedding of distances
serves the three kinds of edges of a receptor: with these the numbers of parameters are the
authors', 564,376 and 1,680,952.

Source: Jing, Jaakkola & Berger, "Equivariant Scalar Fields for Molecular Docking with Fast Fourier
Transforms", ICLR 2024, arXiv:2312.04323.
"""

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from docking.learned.features import ATOM_SIZES, LIGAND_SIZES, RESIDUE_SIZES
from docking.learned.reference_graph import BONDS, LigandGraph, ReceptorGraph, edge_vectors
from docking.learned.tensor_layer import (
    DEGREE,
    EDGE,
    IRREPS,
    SCALARS,
    CategoryEmbedding,
    DistanceEmbedding,
    TensorLayer,
    edge_harmonics,
    two_layers,
)


class NodeEmbedding(nn.Module):
    """First features of nodes: embedded categories through a network 16 -> 16 -> 16; l > 0 zero.

    Args:
        sizes: Number of categories of each feature.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.categories = CategoryEmbedding(sizes)
        self.network = two_layers(SCALARS, SCALARS, SCALARS)

    def forward(self, features: Tensor) -> Float[Tensor, "n d"]:
        """Embed ``(n, features)`` categories."""
        scalars = self.network(self.categories(features))
        return nn.functional.pad(scalars, (0, IRREPS.dim - SCALARS))


class Readout(nn.Module):
    """Equivariant linear map to the coefficients, ``channels * radial`` of each degree 0, 1, 2.

    Args:
        channels: Channels of the field.
        radial: Radial functions.
    """

    def __init__(self, channels: int = 5, radial: int = 5) -> None:
        super().__init__()
        self.channels, self.radial = channels, radial
        each = channels * radial
        degrees = range(DEGREE + 1)
        self.linear = o3.Linear(IRREPS, o3.Irreps([(each, (degree, 1)) for degree in degrees]))

    def forward(self, nodes: Float[Tensor, "n d"]) -> Float[Tensor, "n c j lm"]:
        """Coefficients ``A[node, channel, radial, lm]``, harmonics in e3nn's order."""
        widths = [2 * degree + 1 for degree in range(DEGREE + 1)]
        parts = self.linear(nodes).split([self.channels * self.radial * w for w in widths], dim=-1)
        shape = (self.channels, self.radial)
        return torch.cat(
            [p.unflatten(-1, (*shape, w)) for p, w in zip(parts, widths, strict=True)], dim=-1
        )


class LigandNet(nn.Module):
    """Coefficients at every heavy atom of a ligand; 564,376 parameters as published.

    Args:
        channels: Channels of the field.
        radial: Radial functions of the field.
        layers: Tensor layers.
        hidden: Width of the network that makes an edge's weights.

    Raises:
        ValueError: If an argument is below 1.
    """

    def __init__(
        self, channels: int = 5, radial: int = 5, layers: int = 6, hidden: int = 128
    ) -> None:
        super().__init__()
        _check(channels, radial, layers, hidden)
        self.channels, self.radial, self.layers, self.hidden = channels, radial, layers, hidden
        self.atom = NodeEmbedding(LIGAND_SIZES)
        self.bond = two_layers(len(BONDS), EDGE, EDGE)
        self.distance = DistanceEmbedding()
        self.between = nn.ModuleList(TensorLayer(hidden) for _ in range(layers))
        self.readout = Readout(channels, radial)

    def forward(self, graph: LigandGraph) -> Float[Tensor, "n c j lm"]:
        """Coefficients of every atom of the graph."""
        vectors = edge_vectors(graph.positions, graph.positions, graph.edges)
        scalars = self.distance(vectors) + self.bond(graph.bonds) * graph.bonded[:, None]
        harmonics = edge_harmonics(vectors)
        atoms = self.atom(graph.features)
        for layer in self.between:
            atoms = atoms + layer(atoms, atoms, graph.edges, scalars, harmonics)
        return self.readout(atoms)


class ReceptorNet(nn.Module):
    """Coefficients at every residue's CA; 1,680,952 parameters as published.

    In every layer atoms hear atoms, residues hear residues, and then residues hear their own,
    updated atoms; each time the mean of what is heard is added. Atoms never hear residues.

    Args:
        channels: Channels of the field.
        radial: Radial functions of the field.
        layers: Tensor layers of each kind.
        hidden: Width of the network that makes an edge's weights.

    Raises:
        ValueError: If an argument is below 1.
    """

    def __init__(
        self, channels: int = 5, radial: int = 5, layers: int = 6, hidden: int = 128
    ) -> None:
        super().__init__()
        _check(channels, radial, layers, hidden)
        self.channels, self.radial, self.layers, self.hidden = channels, radial, layers, hidden
        self.atom = NodeEmbedding(ATOM_SIZES)
        self.residue = NodeEmbedding(RESIDUE_SIZES)
        self.distance = DistanceEmbedding()
        self.atoms = nn.ModuleList(TensorLayer(hidden) for _ in range(layers))
        self.residues = nn.ModuleList(TensorLayer(hidden) for _ in range(layers))
        self.across = nn.ModuleList(TensorLayer(hidden) for _ in range(layers))
        self.readout = Readout(channels, radial)

    def forward(self, graph: ReceptorGraph) -> Float[Tensor, "n c j lm"]:
        """Coefficients of every residue of the graph."""
        every = torch.arange(len(graph.atoms), device=graph.atoms.device)
        own = torch.stack([every, graph.residue_of])
        places = (
            (graph.positions, graph.positions, graph.atom_edges),
            (graph.centers, graph.centers, graph.residue_edges),
            (graph.positions, graph.centers, own),
        )
        near, far, inside = (self._edge(*place) for place in places)
        atoms, residues = self.atom(graph.atoms), self.residue(graph.residues)
        for first, second, third in zip(self.atoms, self.residues, self.across, strict=True):
            atoms = atoms + first(atoms, atoms, *near)
            residues = residues + second(residues, residues, *far)
            residues = residues + third(atoms, residues, *inside)
        return self.readout(residues)

    def _edge(self, source: Tensor, target: Tensor, edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        vectors = edge_vectors(source, target, edges)
        return edges, self.distance(vectors), edge_harmonics(vectors)


def _check(channels: int, radial: int, layers: int, hidden: int) -> None:
    sizes = (("channels", channels), ("radial", radial), ("layers", layers), ("hidden", hidden))
    for name, value in sizes:
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
