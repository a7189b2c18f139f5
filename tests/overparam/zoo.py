"""The module families every mask law is tested on: small, seeded, one of each kind.

Run as a script it is one process of the distributed test: it wraps every masked family in
``DistributedDataParallel`` and writes what it found to ``<folder>/<rank>.json``.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from overparam.masks import Masks


class SineMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.hidden, self.last = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.sin(3 * self.hidden(torch.sin(3 * self.first(x)))))


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x))).mean((-1, -2))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.attention(x, x, x, need_weights=False)[0])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 6, batch_first=True)
        self.last = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.gru(x)[0])


class Graph(nn.Module):
    """Two message-passing layers of one PyG kind."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        from torch_geometric.nn import GATConv, GCNConv, GINConv

        def mlp(d_in: int, d_out: int) -> nn.Module:
            return nn.Sequential(nn.Linear(d_in, 8), nn.Tanh(), nn.Linear(8, d_out))

        make: dict[str, Callable[[], tuple[nn.Module, nn.Module]]] = {
            "gcn": lambda: (GCNConv(4, 8), GCNConv(8, 2)),
            "gin": lambda: (GINConv(mlp(4, 8)), GINConv(mlp(8, 2))),
            "gat": lambda: (GATConv(4, 4, heads=2), GATConv(8, 2)),
        }
        self.first, self.last = make[kind]()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x, edge_index)), edge_index)


class EquivariantLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from e3nn import o3

        self.irreps_in, self.irreps_out = "4x0e+3x1o", "2x0e+2x1o"
        self.first = o3.Linear(self.irreps_in, "4x0e+4x1o")
        self.last = o3.Linear("4x0e+4x1o", self.irreps_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x))


class TensorProduct(nn.Module):
    """Features times the direction of a vector, learned path weights."""

    def __init__(self) -> None:
        super().__init__()
        from e3nn import o3

        self.irreps_in, self.irreps_out = "4x0e+2x1o+1x1o", "3x0e+2x1o+1x2e"
        self.product = o3.FullyConnectedTensorProduct("4x0e+2x1o", "1x0e+1x1o", self.irreps_out)
        self.harmonics = o3.SphericalHarmonics("1x0e+1x1o", normalize=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x[..., :10], self.harmonics(x[..., 10:]))


class Radial(nn.Module):
    """The same product with weights computed from the length of the vector."""

    def __init__(self) -> None:
        super().__init__()
        from e3nn import nn as enn
        from e3nn import o3

        self.irreps_in, self.irreps_out = "4x0e+2x1o+1x1o", "3x0e+2x1o"
        self.product = o3.FullyConnectedTensorProduct(
            "4x0e+2x1o", "1x0e+1x1o", self.irreps_out, shared_weights=False
        )
        self.harmonics = o3.SphericalHarmonics("1x0e+1x1o", normalize=False)
        self.radial = enn.FullyConnectedNet([4, 8, 8, self.product.weight_numel], torch.tanh)
        self.register_buffer("centres", torch.linspace(0.0, 2.0, 4))

    def forward(self, x: Tensor) -> Tensor:
        vector = x[..., 10:]
        length = (vector.square().sum(-1, keepdim=True) + 1e-6).sqrt()
        weight = self.radial(torch.exp(-((length - self.centres) ** 2)))
        return self.product(x[..., :10], self.harmonics(vector), weight)


def ring(nodes: int = 6) -> Tensor:
    """Edges of a ring, both directions."""
    i = torch.arange(nodes)
    return torch.stack([torch.cat([i, (i + 1) % nodes]), torch.cat([(i + 1) % nodes, i])])


@dataclass(frozen=True)
class Family:
    """A module, an input shape and the weights to mask; ``graph`` adds the ring of edges."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    names: tuple[str, ...]
    graph: bool = False

    def inputs(self, seed: int = 1) -> tuple[Tensor, ...]:
        x = torch.randn(self.shape, generator=torch.Generator().manual_seed(seed))
        return (x, ring(self.shape[0])) if self.graph else (x,)

    def plain(self, seed: int = 0) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.build()

    def masked(self, seed: int = 0) -> nn.Module:
        """Build with a random half of every named weight masked."""
        module = self.plain(seed)
        coin = torch.Generator().manual_seed(seed + 7)
        masks = Masks(module)
        masks.install(self.names)
        for name in self.names:
            mask = torch.rand(masks[name].shape, generator=coin) > 0.5
            mask.view(-1)[0], mask.view(-1)[-1] = True, False
            masks.set(name, mask)
        return module


FAMILIES = {
    "mlp": Family(SineMLP, (5, 3), ("first.weight", "hidden.weight")),
    "conv": Family(Convolutions, (2, 2, 6, 6), ("first.weight", "last.weight")),
    "attention": Family(
        Attention, (2, 4, 8), ("attention.in_proj_weight", "attention.out_proj.weight")
    ),
    "gru": Family(Recurrent, (2, 4, 3), ("gru.weight_ih_l0", "gru.weight_hh_l0")),
    "gcn": Family(
        lambda: Graph("gcn"), (6, 4), ("first.lin.weight", "last.lin.weight"), graph=True
    ),
    "gin": Family(
        lambda: Graph("gin"), (6, 4), ("first.nn.0.weight", "last.nn.0.weight"), graph=True
    ),
    "gat": Family(
        lambda: Graph("gat"), (6, 4), ("first.lin.weight", "last.lin.weight"), graph=True
    ),
    "e3nn_linear": Family(EquivariantLinear, (5, 13), ("first.weight", "last.weight")),
    "e3nn_product": Family(TensorProduct, (5, 13), ("product.weight",)),
    "e3nn_radial": Family(
        Radial,
        (5, 13),
        ("radial.layer0.weight", "radial.layer1.weight", "radial.layer2.weight"),
    ),
}


if __name__ == "__main__":
    from overparam.testing.ranks import join, report_rank

    with join() as rank:
        found = {
            name: report_rank(family.masked(), family.inputs(seed=10 + rank))
            for name, family in FAMILIES.items()
        }
        Path(sys.argv[1], f"{rank}.json").write_text(json.dumps(found))
