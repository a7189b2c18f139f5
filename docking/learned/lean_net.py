"""Lean networks of the hybrid score: a pocket in space, and a molecule as its graph alone.

The weight of an edge is a radial function times a gate of its source, so no network is run for
every edge; this is what makes them cheap (the reference's edge network costs forty times its tensor
product). The pocket's coefficients are equivariant, degrees 0 to ``degree``; the ligand's are
scalars of its bonds, so they hold for every pose and every torsion.

What can be pruned whole, and taken out, is named in ``lean_paths.py``.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from docking.learned.edge_table import EdgeTable, edge_tables
from docking.learned.lean_parts import (
    Categories,
    at_least_one,
    by_degree,
    by_round,
    hidden_sizes,
    update_net,
)
from docking.learned.lean_paths import (
    compact_molecule,
    compact_pocket,
    molecule_paths,
    pocket_paths,
)
from docking.learned.pocket_graph import MOLECULE_SIZES, POCKET_SIZES, MoleculeGraph, PocketGraph
from docking.learned.reference_graph import BONDS
from docking.learned.splines import RadialSplines
from overparam.path_family import PathFamily

_CROWD = 4.0  # root of the usual number of neighbours


class MoleculeNet(nn.Module):
    """Scalar coefficients ``A`` of a ligand's heavy atoms from its bonds.

    Args:
        channels: Coefficients of each atom.
        width: Features of a node.
        layers: Rounds of messages along bonds.
        dropout: Probability of dropping a feature between layers.
        messages: Message channels of each round; None for ``width``.
        hidden: Hidden units of each round's update; None for ``width``.

    Raises:
        ValueError: If a size is below 1, or a list has not one for each round.
    """

    def __init__(
        self,
        channels: int = 24,
        width: int = 64,
        layers: int = 3,
        dropout: float = 0.1,
        *,
        messages: list[int] | None = None,
        hidden: list[int] | None = None,
    ) -> None:
        super().__init__()
        at_least_one(channels=channels, width=width, layers=layers)
        self.channels, self.width, self.layers, self.dropout = channels, width, layers, dropout
        self.messages = messages
        spoken = by_round("messages", messages, width, layers)
        units = by_round("hidden", hidden, width, layers)
        self.atom = Categories(MOLECULE_SIZES, width)
        self.bond = nn.ModuleList(nn.Linear(len(BONDS), m, bias=False) for m in spoken)
        self.send = nn.ModuleList(nn.Linear(width, m) for m in spoken)
        self.update = nn.ModuleList(
            update_net(width + m, u, width, dropout) for m, u in zip(spoken, units, strict=True)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers + 1))
        self.readout = nn.Linear(width, channels)

    @property
    def hidden(self) -> list[int] | None:
        """Hidden units of each round's update; None if each has ``width``."""
        return hidden_sizes(self.update, self.width)

    def forward(self, graph: MoleculeGraph) -> Float[Tensor, "n channels"]:
        """Coefficients of every atom of the graph."""
        source, target = graph.edges
        h = self.atom(graph.features)
        for bond, send, update, norm in zip(
            self.bond, self.send, self.update, self.norms, strict=False
        ):
            g = norm(h)
            message = silu(send(g).index_select(0, source) + bond(graph.bonds))
            heard = message.new_zeros(len(h), message.shape[1]).index_add(0, target, message)
            h = h + update(torch.cat([g, heard], -1))
        return self.readout(self.norms[-1](h))

    def path_families(self) -> list[PathFamily]:
        """What can be pruned whole: message channels and hidden units."""
        return molecule_paths(self)

    def compacted(self) -> "MoleculeNet":
        """A smaller network of the same outputs: paths that own nothing but zeros left out."""
        return compact_molecule(self)


class PocketNet(nn.Module):
    """Coefficients ``B`` of a pocket's emitting atoms, equivariant, zero when new.

    Args:
        channels: Channels ``q`` of the field.
        radial: Its radial functions.
        degree: Largest degree of its harmonics, 0 to 3.
        width: Scalar features of a node.
        vectors: Features of a node in each degree above 0; or, for each round, a list of their
            number in each degree.
        layers: Rounds of messages between neighbours.
        cutoff: Longest edge, angstrom.
        neighbours: Most edges to an atom.
        dropout: Probability of dropping a feature between layers.
        messages: Scalar message channels of each round; None for ``width``.
        hidden: Hidden units of each round's update; None for ``width``.

    Raises:
        ValueError: If a size is out of range, or a list has not one for each round.
    """

    def __init__(
        self,
        channels: int = 24,
        radial: int = 7,
        degree: int = 2,
        width: int = 64,
        vectors: int | list[list[int]] = 16,
        layers: int = 2,
        cutoff: float = 4.5,
        neighbours: int = 16,
        dropout: float = 0.1,
        *,
        messages: list[int] | None = None,
        hidden: list[int] | None = None,
    ) -> None:
        super().__init__()
        at_least_one(channels=channels, radial=radial, width=width, layers=layers)
        at_least_one(neighbours=neighbours)
        if not 0 <= degree <= 3:
            raise ValueError(f"degree must be 0 to 3, got {degree}")
        self.channels, self.radial, self.degree = channels, radial, degree
        self.width, self.vectors, self.layers = width, vectors, layers
        self.cutoff, self.neighbours, self.dropout = cutoff, neighbours, dropout
        self.messages = messages
        turning = by_degree(vectors, layers, degree)
        self.atom = Categories(POCKET_SIZES, width)
        self.splines = RadialSplines(8, 0.8, cutoff)
        self.rounds = nn.ModuleList(
            PocketLayer(m, now, before, u, width, self.splines.count, dropout)
            for m, now, before, u in zip(
                by_round("messages", messages, width, layers),
                turning,
                [turning[0], *turning],
                by_round("hidden", hidden, width, layers),
                strict=False,
            )
        )
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, channels * radial)
        self.gates = nn.ModuleList(nn.Linear(width, n) for n in turning[-1])
        self.mix = nn.ModuleList(nn.Linear(n, channels * radial, bias=False) for n in turning[-1])
        for last in (self.readout, *self.mix):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    @property
    def hidden(self) -> list[int] | None:
        """Hidden units of each round's update; None if each has ``width``."""
        return hidden_sizes([layer.update for layer in self.rounds], self.width)

    def forward(self, graph: PocketGraph) -> Float[Tensor, "m q k lm"]:
        """Coefficients of every emitting atom, in their order."""
        h = self.atom(graph.features)
        v: Tensor | None = None
        if self.training:  # processes that train together miss weights that take no part
            first: Any = self.rounds[0]
            v = h.new_zeros(len(h), (self.degree + 1) ** 2 - 1, sum(first.vectors))
        for layer, table in zip(
            self.rounds, edge_tables(graph, self.splines, self.degree), strict=True
        ):
            h, v = layer(h, v, table)
        assert v is not None
        return self._coefficients(self.norm(h), v).unflatten(1, (self.channels, self.radial))

    def _coefficients(
        self, h: Float[Tensor, "m width"], v: Float[Tensor, "m directed vectors"]
    ) -> Float[Tensor, "m qk lm"]:
        last: PocketLayer = self.rounds[-1]  # type: ignore[assignment]
        blocks = zip(last.blocks(), self.gates, self.mix, strict=True)
        parts = (mix(gate(h)[:, None] * v[:, r, c]).mT for (r, c), gate, mix in blocks)
        if torch.is_grad_enabled():
            return torch.cat([self.readout(h)[..., None], *parts], -1)
        # The largest tensor of all: made once.
        made = h.new_empty(len(h), self.channels * self.radial, (self.degree + 1) ** 2)
        made[..., 0], start = self.readout(h), 1
        for part in parts:
            made[..., start : start + part.shape[-1]] = part
            start += part.shape[-1]
        return made

    def path_families(self) -> list[PathFamily]:
        """What can be pruned whole: message channels of every degree and hidden units."""
        return pocket_paths(self)

    def compacted(self) -> "PocketNet":
        """A smaller network of the same outputs: paths that own nothing but zeros left out."""
        return compact_pocket(self)


class PocketLayer(nn.Module):
    """One round: scalars and directions of the neighbours, each by radial function times gate.

    Args:
        messages: Scalar message channels.
        vectors: Features in each degree above 0.
        before: The same in the round before.
        hidden: Hidden units of the update.
        width: Scalar features.
        radial: Radial functions of an edge.
        dropout: Probability of dropping a feature.
    """

    def __init__(
        self,
        messages: int,
        vectors: Sequence[int],
        before: Sequence[int],
        hidden: int,
        width: int,
        radial: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.messages, self.vectors = messages, list(vectors)
        sent = messages + sum(vectors)
        self.norm = nn.LayerNorm(width)
        self.send = nn.Linear(width, sent)
        self.weigh = nn.Linear(radial, sent, bias=False)
        self.turn = nn.ModuleList(
            nn.Linear(old, new, bias=False) for old, new in zip(before, vectors, strict=True)
        )
        self.update = update_net(width + sent, hidden, width, dropout)
        share = torch.zeros((len(self.vectors) + 1) ** 2 - 1, sum(vectors))
        for rows, columns in self.blocks():
            share[rows, columns] = 1 / (rows.stop - rows.start)
        self.register_buffer("share", share, persistent=False)

    def blocks(self) -> list[tuple[slice, slice]]:
        """Rows and columns of each degree in the directions of a node; the rest means nothing."""
        found, row, column = [], 0, 0
        for degree, count in enumerate(self.vectors, start=1):
            rows, columns = slice(row, row + 2 * degree + 1), slice(column, column + count)
            row, column = rows.stop, columns.stop
            found.append((rows, columns))
        return found

    def forward(
        self,
        h: Float[Tensor, "n width"],
        v: Float[Tensor, "n lm old"] | None,
        table: EdgeTable,
    ) -> tuple[Float[Tensor, "t width"], Float[Tensor, "t lm vectors"]]:
        """New scalars and directions of every hearing atom; None if there are no directions yet."""
        near, slots = table.sources.flatten(), table.sources.shape[1]
        send, bias, weigh = self.send.weight, self.send.bias, self.weigh.weight
        n = self.messages
        g = self.norm(h)
        said = linear(g, send[:n], bias[:n]).index_select(0, near).unflatten(0, (-1, slots))
        # The sum over neighbours comes first, for each radial function: fewer numbers to weigh.
        heard = (torch.bmm(table.radial.mT, said) * weigh[:n].T.contiguous()).sum(1) / _CROWD
        turned = linear(g, send[n:], bias[n:]).index_select(0, near)
        turned = turned.unflatten(0, (-1, slots)) * linear(table.radial, weigh[n:])
        # All degrees at once, those that do not belong together too: faster than one by one.
        felt = torch.bmm(table.harmonics, turned) / _CROWD
        if v is not None and self.vectors:
            mixing = torch.block_diag(*(turn.weight for turn in self.turn))
            felt = felt + linear(v.index_select(0, table.own), mixing)
        share: Tensor = self.share  # type: ignore[assignment]
        sizes = ((felt.square() * share).sum(1) + 1e-4).sqrt()
        told = torch.cat([g.index_select(0, table.own), heard, sizes], -1)
        return h.index_select(0, table.own) + self.update(told), felt
