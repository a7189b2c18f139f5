"""The equivariant convolution of the reference network, and the embeddings that feed it.

Irreps are ``16x0e + 4x1e + 4x2e``, all declared even: equivariant under rotations but not under
reflections, so that mirror images are told apart.

Source: Jing, Jaakkola & Berger, ICLR 2024, arXiv:2312.04323, whose layers follow Thomas et al.,
"Tensor field networks", arXiv:1802.08219.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from docking.harmonics import solid_harmonics

SCALARS, VECTORS = 16, 4
"""Multiplicity of l = 0, and of l = 1 and l = 2, in a node's features."""
IRREPS = o3.Irreps(f"{SCALARS}x0e + {VECTORS}x1e + {VECTORS}x2e")
"""Features of a node."""
EDGE = 16
"""Scalars of an edge."""
DEGREE = 2
"""Largest degree of features and of the edges' harmonics."""
_HARMONICS = o3.Irreps.spherical_harmonics(DEGREE, p=1)


def two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Affine, ReLU, affine, both with a bias."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class TensorLayer(nn.Module):
    """Messages ``h_j x Y(r_ij)`` through a fully connected tensor product, averaged at the target.

    The weights of the product, 672 on 15 paths, are made for every edge from its scalars and the
    scalars of its two ends by a network 48 -> 128 -> 672. A path whose rows of its last affine map
    and whose biases are masked is gone, and ``overparam.compact`` takes it out.

    Args:
        hidden: Width of the network that makes the weights, at least 1.
    """

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        self.hidden = hidden
        self.product = o3.FullyConnectedTensorProduct(
            IRREPS, _HARMONICS, IRREPS, internal_weights=False, shared_weights=False
        )
        self.weights = two_layers(EDGE + 2 * SCALARS, hidden, self.product.weight_numel)
        # The product holds constants only, and e3nn gives a deep copy of it more of them.
        self.register_state_dict_post_hook(_leave_constants_out)
        self.register_load_state_dict_pre_hook(_keep_constants)

    def forward(
        self,
        source: Float[Tensor, "n d"],
        target: Float[Tensor, "m d"],
        edges: Int[Tensor, "2 e"],
        scalars: Float[Tensor, "e s"],
        harmonics: Float[Tensor, "e y"],
    ) -> Float[Tensor, "m d"]:
        """Mean message at every target; zero where no edge ends.

        Args:
            source: Features of the nodes that speak.
            target: Features of the nodes that hear.
            edges: Index into ``source``, index into ``target``.
            scalars: Embedding of each edge.
            harmonics: ``edge_harmonics`` of each edge's vector.
        """
        sent, heard = edges
        # Unlike indexing, this has a gradient that is the same on every run, and a faster one.
        spoken = source.index_select(0, sent)
        listening = target[:, :SCALARS].index_select(0, heard)
        weights = self.weights(torch.cat([scalars, listening, spoken[:, :SCALARS]], dim=-1))
        message = self.product(spoken, harmonics, weights)
        total = torch.zeros_like(target).index_add(0, heard, message)
        count = torch.bincount(heard, minlength=len(target)).clamp(min=1)
        return total / count[:, None]


def _leave_constants_out(layer: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for key in [key for key in state if key.startswith(f"{prefix}product.")]:
        del state[key]


def _keep_constants(layer: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    _leave_constants_out(layer, state, prefix, None)
    state |= layer.get_submodule("product").state_dict(prefix=f"{prefix}product.")


def edge_harmonics(vectors: Float[Tensor, "e 3"]) -> Float[Tensor, "e 9"]:
    """Harmonics up to l = 2 of the directions, each degree of squared norm 2l + 1.

    e3nn's "component" normalisation. A vector of length zero has no direction: only its l = 0 is
    not zero, and its gradient is zero.
    """
    square = vectors.square().sum(-1, keepdim=True)
    there = square > 0
    unit = torch.where(there, vectors * torch.where(there, square, 1.0).rsqrt(), 0.0)
    return solid_harmonics(unit, DEGREE) * math.sqrt(4 * math.pi)


class CategoryEmbedding(nn.Module):
    """Sum of one embedding per categorical feature, of size 16.

    Args:
        sizes: Number of categories of each feature, each at least 1.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        if not sizes or min(sizes) < 1:
            raise ValueError(f"sizes must be at least one and positive, got {tuple(sizes)}")
        self.sizes = list(sizes)
        tables = [nn.Embedding(size, SCALARS) for size in sizes]
        for table in tables:
            nn.init.xavier_uniform_(table.weight)
        self.tables = nn.ModuleList(tables)

    def forward(self, features: Int[Tensor, "n f"]) -> Float[Tensor, "n s"]:
        """Embed."""
        columns = zip(self.tables, features.unbind(1), strict=True)
        return torch.stack([table(column) for table, column in columns]).sum(0)


class DistanceEmbedding(nn.Module):
    """A distance through 100 Gaussians on 0 to 50 angstrom and a network 100 -> 16 -> 16.

    Centres are evenly spaced, and their spacing is the standard deviation.

    Args:
        count: Number of Gaussians, at least 2.
        end: Largest centre, angstrom.
    """

    def __init__(self, count: int = 100, end: float = 50.0) -> None:
        super().__init__()
        if count < 2:
            raise ValueError(f"count must be at least 2, got {count}")
        if not end > 0:
            raise ValueError(f"end must be positive, got {end}")
        self.count, self.end = count, end
        self.network = two_layers(count, EDGE, EDGE)

    def forward(self, vectors: Float[Tensor, "e 3"]) -> Float[Tensor, "e s"]:
        """Embed the lengths of the vectors, angstrom."""
        centers = torch.linspace(
            0, self.end, self.count, dtype=vectors.dtype, device=vectors.device
        )
        offset = (vectors.norm(dim=-1, keepdim=True) - centers) * ((self.count - 1) / self.end)
        return self.network(torch.exp(-offset.square() / 2))
