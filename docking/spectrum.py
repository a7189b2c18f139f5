"""Fourier transforms of scalar fields, for many rotations at once.

Wave vectors of one length share the radial transforms, so that a shell costs one matrix product:
harmonics x channels by emitters, times emitters by phases. The angular functions are evaluated at
the rotated wave vectors afterwards. Nothing is rotated but the wave vectors, and nothing is
interpolated: the spectra are exact.

``spectra`` is differentiable and runs anywhere; ``LaneSpectra`` is compiled for the processor, sums
over the harmonics first, which are real, and takes phases from products of three.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from docking.basis import RadialBasis
from docking.grid import BLOCK, HalfSphere
from docking.harmonics import degrees, real_harmonics, wigner_d
from docking.search.compiled import compiled

LANES = 16  # rotations whose spectra lie side by side: two vector registers, one cache line
BUNCH = 8  # wave vectors of equal length handled at once by compiled code
SPAN = BUNCH * LANES  # scalars in a row of its work arrays: all of them fit the first-level cache
CHUNK = 1 << 19  # scalars of all work arrays: what a core's second-level cache holds


class Scratch:
    """Work arrays that are reused, or None where autograd must keep every result.

    Fresh arrays of this size cost more in page faults than the arithmetic done on them.
    """

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.arrays: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor | None:
        """An uninitialised array for ``out=``; the same name gives the same memory."""
        if torch.is_grad_enabled():
            return None
        size = torch.Size(shape).numel()
        if name not in self.arrays or self.arrays[name].numel() < size:
            self.arrays[name] = self.like.new_empty(size)
        return self.arrays[name][:size].view(shape)


def spectra(
    coefficients: Float[Tensor, "n c j d"],
    positions: Float[Tensor, "n 3"],
    basis: RadialBasis,
    sphere: HalfSphere,
    rotations: Float[Tensor, "r 3 3"] | None = None,
    *,
    scratch: Scratch | None = None,
) -> Float[Tensor, "slots parts r"]:
    """Unitary Fourier transforms of the field turned about the origin by each rotation.

    Differentiable in the coefficients, the positions and the rotations.

    Args:
        coefficients: The field's coefficients.
        positions: Its emitters' positions, angstrom.
        basis: Its radial functions.
        sphere: Wave vectors.
        rotations: Rotations; default the identity alone.
        scratch: Work arrays to reuse between calls; they hold the result.

    Returns:
        For every slot of ``sphere`` the real parts of all channels, then the imaginary parts.
    """
    if rotations is None:
        rotations = torch.eye(3, dtype=positions.dtype, device=positions.device)[None]
    scratch = Scratch(positions) if scratch is None else scratch
    out = scratch("spectra", sphere.slots, 2 * coefficients.shape[1], len(rotations))
    lmax = math.isqrt(coefficients.shape[3]) - 1
    order, even = _even_first(lmax)
    radial, angular = (t.to(positions) for t in _tables(sphere, basis, lmax))  # type: ignore[arg-type]
    ordered = coefficients[..., order.to(positions.device)]
    weights = torch.einsum("sjm,ncjm->smcn", radial, ordered)
    parts = list(_chunks(weights, positions, angular, even, sphere, rotations, scratch, out))
    return torch.cat(parts) if out is None else out


def _even_first(lmax: int) -> tuple[Tensor, int]:
    """Order of the harmonics with those of even degree first, and how many they are."""
    odd = torch.tensor(degrees(lmax)) % 2
    return torch.argsort(odd, stable=True), int((1 - odd).sum())


@lru_cache(maxsize=8)
def _tables(sphere: HalfSphere, basis: RadialBasis, lmax: int) -> tuple[Tensor, Tensor]:
    """Signed radial transforms per shell, and harmonics per block of wave vectors."""
    order, _ = _even_first(lmax)
    degree = torch.tensor(degrees(lmax))[order]
    # (-i)**l is real for even l; for odd l it is -i times the sign kept here.
    sign = torch.where(degree // 2 % 2 == 1, -1.0, 1.0)
    radial = basis.transform(sphere.shells[0], lmax)[..., degree] * sign
    # At k = 0 only l = 0 has a transform: any direction will do.
    angular = real_harmonics(sphere.vectors, lmax)[:, order]
    return radial, angular.unflatten(0, (-1, BLOCK)).mT.contiguous()


def _turns(rotations: Tensor, lmax: int) -> Tensor:
    """Matrices that turn wave vectors back, (harmonics * r, harmonics), even degrees first."""
    order, _ = _even_first(lmax)
    width = (lmax + 1) ** 2
    matrix = rotations.new_zeros(len(rotations), width, width)
    for degree, block in enumerate(wigner_d(rotations, lmax)):
        part = slice(degree**2, (degree + 1) ** 2)
        matrix[:, part, part] = block
    return matrix[:, order][:, :, order].permute(2, 0, 1).flatten(0, 1)


def _chunks(
    weights: Float[Tensor, "shells d c n"],
    positions: Float[Tensor, "n 3"],
    angular: Float[Tensor, "blocks d size"],
    even: int,
    sphere: HalfSphere,
    rotations: Float[Tensor, "r 3 3"],
    scratch: Scratch,
    out: Tensor | None,
) -> Iterator[Tensor]:
    """Yield the spectra of consecutive slots, or write them into ``out``."""
    _, width, channels, n = weights.shape
    turns, rows = len(rotations), width * channels
    columns = turns * BLOCK
    weights = weights.flatten(1, 2)
    block_shell = sphere.shells[1].to(positions.device)
    vectors = sphere.vectors.to(positions).unflatten(0, (-1, BLOCK)).mT.contiguous()
    back = rotations.permute(2, 0, 1).flatten(0, 1)
    back_angular = _turns(rotations, math.isqrt(width) - 1)
    step = max(1, CHUNK // (2 * columns * (n + rows)))
    for start in range(0, len(block_shell), step):
        weight = weights[block_shell[start : start + step]]
        part, b = slice(start, start + step), len(weight)
        k = torch.bmm(back.expand(b, -1, -1), vectors[part], out=scratch("k", b, 3 * turns, BLOCK))
        k = k.view(b, 3, columns)
        angle = torch.bmm(-positions.expand(b, -1, -1), k, out=scratch("angle", b, n, columns))
        split = (b, width, channels, columns)
        cos = torch.cos(angle, out=scratch("wave", b, n, columns))
        cos = torch.bmm(weight, cos, out=scratch("cos", b, rows, columns)).view(split)
        sin = torch.sin(angle, out=scratch("wave", b, n, columns))
        sin = torch.bmm(weight, sin, out=scratch("sin", b, rows, columns)).view(split)
        shape = torch.bmm(
            back_angular.expand(b, -1, -1),
            angular[part],
            out=scratch("shape", b, width * turns, BLOCK),
        ).view(b, width, 1, columns)
        cos = torch.mul(cos, shape, out=scratch("cos", *split))
        sin = torch.mul(sin, shape, out=scratch("sin", *split))
        terms = [t.sum(1) for wave in (cos, sin) for t in (wave[:, :even], wave[:, even:])]
        cos_even, cos_odd, sin_even, sin_odd = (t.view(b, channels, turns, BLOCK) for t in terms)
        if out is None:
            both = torch.cat([cos_even + sin_odd, sin_even - cos_odd], dim=1)
            yield both.permute(0, 3, 1, 2).reshape(b * BLOCK, 2 * channels, turns)
        else:
            place = out[start * BLOCK :][: b * BLOCK].unflatten(0, (b, BLOCK)).permute(0, 2, 3, 1)
            torch.add(cos_even, sin_odd, out=place[:, :channels])
            torch.sub(sin_even, cos_odd, out=place[:, channels:])


class LaneSpectra:
    """Spectra of one field at up to ``LANES`` rotations at once, without gradients.

    Args:
        coefficients: The field's coefficients, ``(n, c, j, d)``.
        positions: Its emitters' positions, angstrom, ``(n, 3)``.
        basis: Its radial functions.
        sphere: Wave vectors.
    """

    def __init__(
        self, coefficients: Tensor, positions: Tensor, basis: RadialBasis, sphere: HalfSphere
    ) -> None:
        self.lmax = math.isqrt(coefficients.shape[3]) - 1
        self.sphere, self.positions = sphere, positions.detach()
        order, self.even = _even_first(self.lmax)
        radial, angular = _tables(sphere, basis, self.lmax)  # type: ignore[arg-type]
        self.angular = angular.mT.flatten(0, 1)[sphere.slot_of].to(self.positions)
        ordered = coefficients.detach()[..., order]
        weights = torch.einsum("sjm,ncjm->msnc", radial.to(ordered), ordered)
        self.weights = _by_threes(weights, self.even).permute(1, 2, 3, 0).contiguous().numpy()
        squares = (sphere.index**2).sum(1).numpy()
        self.starts = np.searchsorted(squares, np.r_[np.unique(squares), squares[-1] + 1])
        self.index = (sphere.index + sphere.reach).numpy()

    def __call__(self, rotations: Float[Tensor, "r 3 3"]) -> Float[ndarray, " scalars"]:
        """Spectra at no more than ``LANES`` rotations about the origin.

        Returns:
            For every vector in the order of ``sphere.rows``, channel (padded to an even number),
            real and imaginary part: ``LANES`` scalars.
        """
        count, channels = len(rotations), self.weights.shape[2]
        full = torch.cat([rotations, rotations[-1:].expand(LANES - count, -1, -1)])
        full = full.to(self.positions)
        back = _turns(full, self.lmax).unflatten(0, (-1, LANES))
        shape = torch.mm(self.angular, _by_threes(back, self.even).flatten(0, 1).T)
        steps = torch.arange(-self.sphere.reach, self.sphere.reach + 1, dtype=torch.float64)
        places = torch.einsum("rab,nb->anr", full.double(), self.positions.double())
        angle = steps[:, None, None] * places[:, None] * -self.sphere.grid.k_step
        waves = torch.stack([torch.cos(angle), torch.sin(angle)], dim=3).to(self.positions)
        parts = 2 * (channels + channels % 2)
        out = self.angular.new_zeros(len(self.index) * parts * LANES).numpy()
        even, place = -(-self.even // 3) * 3, self.sphere.rank.numpy()
        tables = (shape.flatten().numpy(), waves.flatten().numpy())
        _fill(self.weights, even, self.starts, self.index, place, *tables, count, out)
        return out


def _by_threes(t: Tensor, even: int) -> Tensor:
    """Pad even harmonics and odd ones by zeros: sums take three at a time."""
    groups = t[:even], t[even:]
    return torch.cat([torch.cat([g, g.new_zeros(-len(g) % 3, *g.shape[1:])]) for g in groups])


@compiled
def _blend(weights, first, last, rows, out, width):
    """The sum of rows ``first ... last - 1``, three at a time, times their weights."""
    for m in range(first, last, 3):
        a, b, c = weights[m], weights[m + 1], weights[m + 2]
        source = rows[m * SPAN :]
        if m == first:
            for i in range(width):
                out[i] = a * source[i] + b * source[i + SPAN] + c * source[i + 2 * SPAN]
        else:
            for i in range(width):
                out[i] += a * source[i] + b * source[i + SPAN] + c * source[i + 2 * SPAN]


@compiled
def _fill(weights, even, starts, index, place, turned, waves, lanes, out):
    """Spectra of all wave vectors, from harmonics by vector and phases by axis and step."""
    _, atoms, channels, width = weights.shape
    side = waves.size // (6 * atoms * LANES)
    parts = out.size // (index.shape[0] * LANES)
    rows = np.zeros(width * SPAN, weights.dtype)
    sums = np.zeros((channels, 2 * SPAN), weights.dtype)
    both = np.zeros(2 * SPAN, weights.dtype)
    phase = np.zeros(2 * SPAN, weights.dtype)
    for shell in range(starts.shape[0] - 1):
        for first in range(starts[shell], starts[shell + 1], BUNCH):
            bunch = min(BUNCH, starts[shell + 1] - first)
            span = bunch * lanes
            for m in range(width):
                for v in range(bunch):
                    source = turned[((first + v) * width + m) * LANES :]
                    target = rows[m * SPAN + v * lanes :]
                    for i in range(lanes):
                        target[i] = source[i]
            sums[:] = 0
            for n in range(atoms):
                for v in range(bunch):
                    k = index[first + v]
                    x = waves[(k[0] * atoms + n) * 2 * LANES :]
                    y = waves[((k[1] + side) * atoms + n) * 2 * LANES :]
                    z = waves[((k[2] + 2 * side) * atoms + n) * 2 * LANES :]
                    target = phase[v * lanes :]
                    for i in range(lanes):
                        a, b = x[i], x[i + LANES]
                        c, d = y[i], y[i + LANES]
                        e, f = z[i], z[i + LANES]
                        g, h = a * c - b * d, a * d + b * c
                        target[i], target[i + SPAN] = g * e - h * f, g * f + h * e
                for c in range(channels):
                    scale, total = weights[shell, n, c], sums[c]
                    _blend(scale, 0, even, rows, both, span)
                    _blend(scale, even, width, rows, both[SPAN:], span)
                    for i in range(span):
                        t, u, p, q = both[i], both[i + SPAN], phase[i], phase[i + SPAN]
                        total[i] += t * p + u * q
                        total[i + SPAN] += t * q - u * p
            for v in range(bunch):
                for c in range(channels):
                    target = out[(place[first + v] * parts + 2 * c) * LANES :]
                    total = sums[c, v * lanes :]
                    for i in range(lanes):
                        target[i], target[i + LANES] = total[i], total[i + SPAN]
