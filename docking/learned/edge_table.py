"""Edges of a pocket as tables: a row for each atom that hears, a slot for each of its neighbours.

With the neighbours of an atom side by side, a round of messages is a few small matrix products per
atom; a list of edges takes a pass through memory for every sum. Atoms that nothing later hears get
no row.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.learned.pocket_graph import PocketGraph
from docking.learned.splines import RadialSplines


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """Edges of one round.

    Attributes:
        own: Number of each hearing atom among those of the round before, ``(t,)``.
        sources: Number of each neighbour there, ``(t, s)``; any number in an empty slot.
        radial: Radial functions of the distances, ``(t, s, k)``; zeros in an empty slot.
        harmonics: Harmonics of the directions, degrees 1 and up, ``(t, lm, s)``.
    """

    own: Tensor
    sources: Tensor
    radial: Tensor
    harmonics: Tensor


def edge_tables(graph: PocketGraph, splines: RadialSplines, degree: int) -> list[EdgeTable]:
    """The tables of every round; the atoms of the last are those that emit.

    Args:
        graph: Pockets. Distances are computed once if the edges of later rounds are among those of
            the first, as ``PocketGraph.of`` makes them.
        splines: Radial functions of an edge; zero at their cutoff.
        degree: Largest degree of the harmonics, 0 to 3.
    """
    hearing = [graph.emits]
    for source, _ in reversed(graph.edges[1:]):
        hearing.insert(0, hearing[0].index_fill(0, source, True))
    tables: list[EdgeTable] = []
    number: Tensor | None = None
    first: _Slots | None = None
    for (source, target), flags in zip(graph.edges, hearing, strict=True):
        atoms = flags.nonzero()[:, 0]
        place = torch.full_like(flags, -1, dtype=torch.long)
        place = place.index_copy(0, atoms, torch.arange(len(atoms), device=atoms.device))
        heard = _heard(flags, source, target)
        slots = None if first is None else first.part(flags, atoms, heard[0])
        if slots is None:
            slots = _Slots.of(graph.positions, atoms, place, heard, splines, degree)
        first = slots if first is None else first
        own, sources = atoms, slots.sources
        if number is not None:
            own = number.index_select(0, atoms)
            sources = number.index_select(0, sources.flatten()).view(sources.shape).clamp_(min=0)
        tables.append(EdgeTable(own, sources, slots.radial, slots.harmonics))
        number = place
    return tables


def _heard(flags: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Edges to atoms that hear."""
    hear = flags.index_select(0, target)
    if bool(hear.all()):
        return source, target
    edges = hear.nonzero()[:, 0]
    return source.index_select(0, edges), target.index_select(0, edges)


@dataclass(frozen=True, eq=False)
class _Slots:
    """A table whose neighbours are numbered as in the graph.

    Attributes:
        place: Row of each atom of the graph, -1 without.
        edges: Sources and targets.
        sources: As in ``EdgeTable``.
        radial: As there.
        harmonics: As there.
    """

    place: Int[Tensor, " n"]
    edges: tuple[Tensor, Tensor]
    sources: Int[Tensor, "t s"]
    radial: Float[Tensor, "t s k"]
    harmonics: Float[Tensor, "t lm s"]

    @classmethod
    def of(
        cls,
        positions: Float[Tensor, "n 3"],
        atoms: Int[Tensor, " t"],
        place: Int[Tensor, " n"],
        edges: tuple[Tensor, Tensor],
        splines: RadialSplines,
        degree: int,
    ) -> "_Slots":
        source, target = edges
        row = place.index_select(0, target)
        if bool((row[1:] < row[:-1]).any()):
            row, order = row.sort(stable=True)
            source = source.index_select(0, order)
        count = torch.bincount(row, minlength=len(atoms))
        width = max(int(count.max()), 1) if len(count) else 1
        # Slots before those of an atom, less its edges before: what leads from edge to slot.
        gap = torch.arange(len(atoms), device=row.device) * width - (count.cumsum(0) - count)
        slot = torch.arange(len(row), device=row.device) + gap.index_select(0, row)
        flat = row.new_full((len(atoms) * width,), -1).index_copy_(0, slot, source)
        sources = flat.clamp(min=0)
        x = positions.T.contiguous()
        offset = x.index_select(1, sources).view(3, len(atoms), width)
        offset = offset - x.index_select(1, atoms)[..., None]
        # Two atoms at one place have no direction; the floor keeps the gradient finite there.
        r = offset.square().sum(0).clamp(min=1e-12).sqrt()
        shape = _directions(*(offset / r), degree=degree)
        radial = splines(r.masked_fill((flat < 0).view(r.shape), splines.cutoff))
        return cls(place, edges, sources.view(r.shape), radial, shape)

    def part(self, flags: Tensor, atoms: Int[Tensor, " t"], source: Tensor) -> "_Slots | None":
        """The rows of some atoms, if these are the sources they have here."""
        mine = _heard(flags, *self.edges)
        if not torch.equal(mine[0], source):
            return None
        rows = self.place.index_select(0, atoms)
        parts = (self.sources, self.radial, self.harmonics)
        return _Slots(self.place, mine, *(part.index_select(0, rows) for part in parts))


def _directions(x: Tensor, y: Tensor, z: Tensor, *, degree: int) -> Float[Tensor, "t lm s"]:
    """Harmonics of unit vectors, degrees 1 to ``degree``; the squares of one add up to 2l + 1.

    The polynomials of ``docking.harmonics.solid_harmonics``, written out.
    """
    rows: list[Tensor] = []
    if degree >= 1:
        rows = [3**0.5 * u for u in (x, y, z)]
    if degree >= 2:
        a, b = 15**0.5 * x * z, 15**0.5 / 2 * (z * z - x * x)
        flat = x * x + z * z
        rows += [a, 15**0.5 * x * y, 5**0.5 * (y * y - flat / 2), 15**0.5 * y * z, b]
    if degree >= 3:
        side, steep = (21 / 8) ** 0.5 * (4 * y * y - flat), 7**0.5 * y
        rows += [
            (7 / 6) ** 0.5 * (a * z + b * x),
            steep * a,
            side * x,
            steep * (y * y - 1.5 * flat),
            side * z,
            steep * b,
            (7 / 6) ** 0.5 * (b * z - a * x),
        ]
    return torch.stack(rows, 1) if rows else x.new_zeros(len(x), 0, x.shape[1])
