"""Tables of nearest neighbours of a pocket's or a ligand's heavy atoms, one per network layer.

Every atom hears the same number of neighbours (missing ones are marked), so that a layer's sums are
small matrix products and no scattering. A pocket is cropped to what can reach an emitter: layer
``k`` maps the atoms whose number is ``len(own[k - 1])`` to the fewer ones further layers still
need, down to the emitters. The crop changes no coefficient.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree
from torch import Tensor

from docking.learned.pocket_graph import pocket_features
from docking.learned.reference_graph import nearest
from docking.molecule import Receptor


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Heavy atoms of one or several molecules.

    Attributes:
        features: Categories of each atom, ``(m, f)``.
        positions: ``(m, 3)``, angstrom.
        own: For each layer the atoms that go on, places among those that came in, ``(t,)``.
        neighbours: Whom each of them hears, places among those that came in, ``(t, k)``.
        present: Which neighbours of the first layer exist, ``(t, k)``.
        bonds: Kind of the bond to each neighbour of the first layer, one-hot, ``(t, k, b)``; b is
            0 for pockets, whose bonds follow from names and distances.
        counts: Emitters of each molecule.
    """

    features: Tensor
    positions: Tensor
    own: tuple[Tensor, ...]
    neighbours: tuple[Tensor, ...]
    present: Tensor
    bonds: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of_pocket(
        cls,
        receptor: Receptor,
        places: Float[ndarray, "p 3"],
        *,
        reach: float,
        layers: int,
        cutoff: float,
        neighbours: int,
    ) -> "Neighbourhood":
        """What is felt at some places of a receptor; metals and cofactors are atoms like others.

        Args:
            receptor: All of it, or what lies within ``reach + layers * cutoff`` of the places.
            places: Where ligand atoms may be, angstrom.
            reach: Atoms nearer than this to a place emit, angstrom.
            layers: Layers of the network.
            cutoff: Longest edge, angstrom.
            neighbours: Most neighbours of an atom, the nearest.
        """
        heavy = np.flatnonzero(receptor.heavy)
        x = receptor.positions[heavy]
        gap = cKDTree(places).query(x)[0]
        edges = nearest(x, cutoff, neighbours)
        table, present = _table(edges, len(x), neighbours)
        inside = np.flatnonzero(gap < reach + layers * cutoff)
        first, own, heard = inside, [], []
        for layer in range(layers - 1, -1, -1):
            place = np.zeros(len(x), dtype=np.int64)
            place[inside] = np.arange(len(inside))
            inside = np.flatnonzero(gap < reach + layer * cutoff)
            own.append(torch.from_numpy(place[inside]))
            heard.append(torch.from_numpy(place[table[inside]] * present[inside]))
            if layer == layers - 1:
                exists = torch.from_numpy(present[inside])
        return cls(
            torch.from_numpy(pocket_features(receptor)[heavy[first]]),
            torch.from_numpy(x[first]).float(),
            tuple(own),
            tuple(heard),
            exists,
            torch.zeros(*exists.shape, 0),
            (len(inside),),
        )

    @classmethod
    def of_molecule(
        cls,
        features: Int[Tensor, "n f"],
        positions: Float[ndarray, "n 3"],
        bonds: Float[Tensor, "n n b"],
        *,
        layers: int,
        cutoff: float,
        neighbours: int,
    ) -> "Neighbourhood":
        """All atoms of a molecule in some pose; all of them emit.

        Args:
            features: Categories of each atom.
            positions: Coordinates, angstrom.
            bonds: Kind of the bond of every pair of atoms, zeros where there is none.
            layers: Layers of the network.
            cutoff: Longest edge, angstrom.
            neighbours: Most neighbours of an atom, the nearest.
        """
        n = len(positions)
        table, present = _table(nearest(positions, cutoff, neighbours), n, neighbours)
        every = torch.arange(n)
        heard, exists = torch.from_numpy(table), torch.from_numpy(present)
        return cls(
            features,
            torch.from_numpy(positions).float(),
            (every,) * layers,
            (heard,) * layers,
            exists,
            bonds[every[:, None], heard] * exists[..., None],
            (n,),
        )

    @classmethod
    def joined(cls, parts: Sequence["Neighbourhood"]) -> "Neighbourhood":
        """One table of several molecules that do not hear each other."""
        if len(parts) == 1:
            return parts[0]
        own, heard = [], []
        starts = _starts([len(part.features) for part in parts])
        for layer in range(len(parts[0].own)):
            own.append(torch.cat([p.own[layer] + s for p, s in zip(parts, starts, strict=True)]))
            heard.append(
                torch.cat([p.neighbours[layer] + s for p, s in zip(parts, starts, strict=True)])
            )
            starts = _starts([len(part.own[layer]) for part in parts])
        return cls(
            torch.cat([p.features for p in parts]),
            torch.cat([p.positions for p in parts]),
            tuple(own),
            tuple(heard),
            torch.cat([p.present for p in parts]),
            torch.cat([p.bonds for p in parts]),
            tuple(count for p in parts for count in p.counts),
        )

    def to(self, target: Any) -> "Neighbourhood":
        """On a device, or with its real numbers in another precision."""
        real = {name: getattr(self, name).to(target) for name in ("positions", "bonds")}
        if isinstance(target, torch.dtype):
            return replace(self, **real)
        whole = {name: getattr(self, name).to(target) for name in ("features", "present")}
        own = tuple(t.to(target) for t in self.own)
        heard = tuple(t.to(target) for t in self.neighbours)
        return replace(self, **real, **whole, own=own, neighbours=heard)

    def shifted(self, offset: Float[Tensor, "m 3"]) -> "Neighbourhood":
        """The same neighbours, every atom moved a little, angstrom."""
        return replace(self, positions=self.positions + offset)

    @property
    def emitters(self) -> Int[Tensor, " e"]:
        """Places of the emitters among all atoms."""
        place = torch.arange(len(self.features), device=self.features.device)
        for own in self.own:
            place = place[own]
        return place


def _table(edges: Int[ndarray, "2 e"], n: int, width: int) -> tuple[Int[ndarray, "n k"], ndarray]:
    """Sources of each target side by side, and which of the places are taken."""
    source, target = edges
    first = np.searchsorted(target, np.arange(n))
    column = np.arange(len(target)) - first[target]
    table = np.zeros((n, width), dtype=np.int64)
    present = np.zeros((n, width), dtype=bool)
    table[target, column], present[target, column] = source, True
    return table, present


def _starts(sizes: Sequence[int]) -> list[int]:
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int).tolist()
