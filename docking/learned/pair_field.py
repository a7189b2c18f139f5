"""A field emitted by receptor atoms and read by ligand atoms: the learned part of a score.

``S(pose) = sum_n sum_q A[n, q] V_q(x_n)`` with
``V_q(x) = sum_m sum_klm B[m, q, k, lm] R_k(|x - y_m|) Y_lm(x - y_m)``.

With the channels summed first this is a sum over pairs of atoms, exact and cheap for given poses;
summed over the atoms first it is one map per ligand atom, what a search reads.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.harmonics import solid_harmonics
from docking.lattice import Lattice
from docking.learned.splines import RadialSplines
from docking.search.exact import RadialRange, field_sums, monomials

_PAIRS = 1 << 18  # rows of a map's matrix held at once


@dataclass(frozen=True, eq=False)
class PairField:
    """Coefficients at receptor atoms.

    Attributes:
        coefficients: ``(m, channels, radial, (lmax + 1)**2)``.
        positions: ``(m, 3)``, angstrom.
        basis: Radial functions.
    """

    coefficients: Tensor
    positions: Tensor
    basis: RadialSplines

    @cached_property
    def lmax(self) -> int:
        """Largest degree."""
        return math.isqrt(self.coefficients.shape[3]) - 1

    @cached_property
    def _polynomials(self) -> Float[Tensor, "q m k mono"]:
        """The coefficients with harmonics as polynomials, channels first."""
        harmonics = torch.as_tensor(monomials(self.lmax)[0]).to(self.coefficients)
        return (self.coefficients.detach() @ harmonics).transpose(0, 1).contiguous()

    def scores(self, A: Float[Tensor, "n q"], x: Float[Tensor, "p n 3"]) -> Float[Tensor, " p"]:
        """Score of each pose, an exact sum over pairs; differentiable in everything."""
        wanted = any(t.requires_grad for t in (A, x, self.coefficients, self.positions))
        if x.device.type == "cpu" and not (wanted and torch.is_grad_enabled()):
            return self._compiled(A, x)
        poses, atoms = x.shape[:2]
        flat = x.reshape(-1, 3)
        i, m, offset, r = self._pairs(flat)
        weights = self._weights(A).flatten(0, 1)
        values = self._values(weights, i % atoms * len(self.positions) + m, offset, r)
        return values.new_zeros(poses).index_add(0, i // atoms, values)

    def _compiled(self, A: Float[Tensor, "n q"], x: Float[Tensor, "p n 3"]) -> Float[Tensor, " p"]:
        """The same numbers without a graph."""
        basis = self.basis
        poses = x.detach().double().contiguous().numpy()
        y = self.positions.detach().double().numpy()
        near = (y > poses.min((0, 1)) - basis.cutoff) & (y < poses.max((0, 1)) + basis.cutoff)
        chosen = np.flatnonzero(near.all(1))
        some = self._polynomials[:, chosen]
        exponents = monomials(self.lmax)[1]
        weights = (A.detach().to(some) @ some.flatten(1)).view(len(A), *some.shape[1:]).numpy()
        width = (basis.cutoff - basis.start) / (basis.count + 1)
        radial = RadialRange(basis.count, basis.start, width, basis.cutoff)
        out = np.zeros(len(poses))
        field_sums(poses, y[chosen], weights, exponents, radial, out)
        return torch.as_tensor(out).to(x.dtype)

    def atom_maps(self, A: Float[Tensor, "n q"], lattice: Lattice) -> Float[Tensor, "n x y z"]:
        """What each ligand atom would score at every point of a lattice."""
        points = torch.as_tensor(lattice.points()).to(self.positions).reshape(-1, 3)
        weights = self._weights(A)  # (n, m, k, lm)
        out = points.new_zeros(len(A), len(points))
        step = max(1, _PAIRS // 64)
        for start in range(0, len(points), step):
            i, m, offset, r = self._pairs(points[start : start + step])
            radial = self.basis(r)
            shape = _harmonics(offset, r, self.lmax)
            # What an emitter spreads over its points serves all atoms.
            out[:, start : start + step] = self._spread(weights, i, m, radial, shape, step)[
                :, : len(points) - start
            ]
        return out.reshape(len(A), *lattice.shape)

    def _spread(
        self,
        weights: Float[Tensor, "n m k lm"],
        i: Int[Tensor, " pairs"],
        m: Int[Tensor, " pairs"],
        radial: Float[Tensor, "pairs k"],
        shape: Float[Tensor, "pairs lm"],
        points: int,
    ) -> Float[Tensor, "n points"]:
        atoms, _, k, lm = weights.shape
        near, place = torch.unique(m, return_inverse=True)
        features = (radial[:, :, None] * shape[:, None, :]).flatten(1)
        out = weights.new_zeros(points, atoms)
        # One emitter at a time: a dense matrix of all emitters and points would be mostly zeros.
        order = torch.argsort(place, stable=True)
        bounds = torch.searchsorted(place[order], torch.arange(len(near) + 1, device=m.device))
        ends = bounds.tolist()
        flat = weights.permute(1, 2, 3, 0).reshape(len(self.positions), k * lm, atoms)
        for e, emitter in enumerate(near.tolist()):
            rows = order[ends[e] : ends[e + 1]]
            out.index_add_(0, i[rows], features[rows] @ flat[emitter])
        return out.T

    def _weights(self, A: Float[Tensor, "n q"]) -> Float[Tensor, "n m k lm"]:
        return torch.einsum("nq,mqkl->nmkl", A, self.coefficients)

    def _pairs(self, x: Float[Tensor, "p 3"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y = self.positions
        with torch.no_grad():
            square = (x[:, None, 0] - y[:, 0]).square_()
            for axis in (1, 2):
                square += (x[:, None, axis] - y[:, axis]).square_()
            i, m = (square < self.basis.cutoff**2).nonzero(as_tuple=True)
        offset = x.index_select(0, i) - y.index_select(0, m)
        # The floor keeps the gradient finite for an atom on top of another.
        return i, m, offset, offset.square().sum(-1).clamp(min=1e-6).sqrt()

    def _values(
        self,
        weights: Float[Tensor, "nm k lm"],
        pair: Int[Tensor, " pairs"],
        offset: Float[Tensor, "pairs 3"],
        r: Float[Tensor, " pairs"],
    ) -> Float[Tensor, " pairs"]:
        chosen = weights.flatten(1).index_select(0, pair).unflatten(1, weights.shape[1:])
        by_degree = (chosen * self.basis(r)[..., None]).sum(1)
        return (by_degree * _harmonics(offset, r, self.lmax)).sum(-1)


def _harmonics(
    offset: Float[Tensor, "pairs 3"], r: Float[Tensor, " pairs"], lmax: int
) -> Float[Tensor, "pairs lm"]:
    """Harmonics of the direction, the first of them one."""
    return solid_harmonics(offset / r[:, None], lmax) * (4 * math.pi) ** 0.5
