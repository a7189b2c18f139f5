"""Channels of physics maps: how receptor atoms emit, and how a ligand atom reads them.

A map ``V_q(x)`` sums a radial function of channel ``q`` over the receptor, and a ligand atom of
type ``t`` reads ``sum_q A[t, q] V_q(x)``. Two sets of channels give the same energy:

* one map per kind of ligand atom, with fixed weights (16 for the types of organic molecules);
* the terms kept apart, so that the energy stays linear in the five weights: three steric maps for
  each radius, one hydrophobic map for each hydrophobic radius, and one hydrogen-bond map for each
  radius and role; 32 for the types of organic molecules.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from docking.terms import TERMS, VINA, ScoringFunction, pair_terms
from docking.typing import ACCEPTOR, DONOR, HYDROPHOBIC, RADIUS, VinaType

ALL_TYPES = tuple(int(t) for t in VinaType)
ORGANIC_TYPES = tuple(int(t) for t in VinaType if t < VinaType.SI)
# All kinks of the terms lie on multiples of 0.1 angstrom, hence on nodes: linear interpolation
# between nodes then errs by at most 1e-5 kcal/mol a pair.
NODES_PER_ANGSTROM = 160


@dataclass(frozen=True)
class Channels:
    """A set of radial channels.

    Args:
        names: One name per channel.
        probes: Ligand type whose pair function each channel is.
        terms: Which terms each channel holds, ``(q, 5)``.
        member: Which types read each channel, ``(types, q)``.
        function: Constants.
    """

    names: tuple[str, ...]
    probes: tuple[int, ...]
    terms: Bool[np.ndarray, "q terms"]
    member: Bool[np.ndarray, "types q"]
    function: ScoringFunction = VINA

    @classmethod
    def by_type(
        cls, types: Iterable[int] = ALL_TYPES, *, function: ScoringFunction = VINA
    ) -> "Channels":
        """One channel per kind of ligand atom; types that no term tells apart share one."""
        every = np.ones(len(TERMS), dtype=bool)
        groups = [(VinaType(g[0]).name, g, every) for g in _groups(types, "all", function)]
        return cls._of(groups, function)

    @classmethod
    def by_term(
        cls, types: Iterable[int] = ALL_TYPES, *, function: ScoringFunction = VINA
    ) -> "Channels":
        """Terms apart: steric and hydrophobic by radius, hydrogen bonds by radius and role."""
        types = tuple(types)
        groups = [
            (f"{term}:{VinaType(group[0]).name}", group, np.arange(len(TERMS)) == k)
            for k, term in enumerate(TERMS)
            for group in _groups(types, term, function)
        ]
        # A type that shares its radius with a wanted one may still lack another term's map.
        met = [{_trait(t, term, function) for t in types} | {None} for term in TERMS]
        whole = {
            t
            for t in ALL_TYPES
            if all(_trait(t, term, function) in seen for term, seen in zip(TERMS, met, strict=True))
        }
        return cls._of([(n, [t for t in g if t in whole], k) for n, g, k in groups], function)

    @classmethod
    def _of(
        cls, groups: list[tuple[str, list[int], np.ndarray]], function: ScoringFunction
    ) -> "Channels":
        if not groups:
            raise ValueError("types must name at least one atom type, got none")
        member = np.zeros((len(RADIUS), len(groups)), dtype=bool)
        for q, (_, group, _) in enumerate(groups):
            member[group, q] = True
        names, readers, terms = zip(*groups, strict=True)
        return cls(names, tuple(g[0] for g in readers), np.array(terms), member, function)

    def __len__(self) -> int:
        return len(self.names)

    def readout(self, weights: Float[Tensor, " terms"] | None = None) -> Float[Tensor, "types q"]:
        """Coefficients ``A[t, q]``; terms kept apart are weighted here, differentiably."""
        member = torch.as_tensor(self.member)
        if self.terms.all():
            return member.to(torch.get_default_dtype())
        if weights is None:
            weights = torch.tensor(self.function.weights)
        return member * (torch.as_tensor(self.terms).to(weights) @ weights)

    def profile(
        self, r: Float[Tensor, " nodes"], emitter: Int[Tensor, " emitters"]
    ) -> Float[Tensor, "emitters nodes q"]:
        """What an atom of each type in ``emitter`` adds to each channel at distance ``r``."""
        probe = torch.tensor(self.probes)
        grid = torch.broadcast_tensors(r[:, None], probe, emitter[:, None, None])
        terms = pair_terms(*grid, function=self.function)
        pick = torch.as_tensor(self.terms).to(r.dtype)
        if self.terms.all():
            pick = pick * torch.tensor(self.function.weights, dtype=r.dtype)
        return (terms * pick).sum(-1)

    def table(
        self, emitter: Int[Tensor, " emitters"]
    ) -> tuple[Float[Tensor, "emitters nodes q"], Float[Tensor, "emitters nodes q"]]:
        """Profiles at both ends of the cells of a fine radial mesh, and one empty cell after them.

        Two tables rather than one, because the functions jump to zero at the cut-off: the last
        cell ends on the value just inside, and the empty cell holds all that lies beyond.
        """
        cells = round(self.function.cutoff * NODES_PER_ANGSTROM)
        r = torch.arange(cells + 1, dtype=torch.float64) / NODES_PER_ANGSTROM
        uncut = replace(self, function=replace(self.function, cutoff=self.function.cutoff + 1))
        profile = uncut.profile(r, emitter)
        empty = torch.zeros_like(profile[:, :1])
        return torch.cat((profile[:, :-1], empty), 1), torch.cat((profile[:, 1:], empty), 1)


def _trait(t: int, term: str, function: ScoringFunction) -> tuple[float | bool, ...] | None:
    """What a term sees of a type; None if the type never takes part in it."""
    radius, greasy = function.radii[t], bool(HYDROPHOBIC[t])
    role = bool(DONOR[t]), bool(ACCEPTOR[t])
    if term == "all":
        return (radius, greasy, *role)
    if term == "hydrophobic":
        return (radius,) if greasy else None
    if term == "hydrogen_bond":
        return (radius, *role) if any(role) else None
    return (radius,)


def _groups(types: Iterable[int], term: str, function: ScoringFunction) -> list[list[int]]:
    """All types that a term cannot tell from one of ``types``, a list for each."""
    kinds = {t: _trait(t, term, function) for t in ALL_TYPES}
    wanted = dict.fromkeys(kinds[t] for t in sorted(types) if kinds[t] is not None)
    return [[t for t in ALL_TYPES if kinds[t] == kind] for kind in wanted]
