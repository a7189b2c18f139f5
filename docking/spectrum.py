"""Fourier transforms of scalar fields, for many rotations at once.

Wave vectors of one length share the radial transforms, so that a shell costs one matrix product:
harmonics x channels by emitters, times emitters by phases. The angular functions are evaluated at
the rotated wave vectors afterwards. Nothing is rotated but the wave vectors, and nothing is
interpolated: the spectra are exact.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from docking.basis import RadialBasis
from docking.grid import BLOCK, HalfSphere
from docking.harmonics import degrees, real_harmonics, wigner_d

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
