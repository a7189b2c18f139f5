"""Fourier transforms of scalar fields, for many rotations at once.

Wave vectors of one length share the radial transforms, so that a shell costs one matrix product:
harmonics x channels by emitters, times emitters by phases. The angular functions are evaluated at
the rotated wave vectors afterwards. Nothing is rotated but the wave vectors, and nothing is
interpolated: the spectra are exact.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from docking.basis import RadialBasis
from docking.grid import BLOCK, HalfSphere
from docking.harmonics import degrees, real_harmonics, wigner_d

if TYPE_CHECKING:
    from docking.scalar_field import ScalarField

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
    field: "ScalarField",
    sphere: HalfSphere,
    rotations: Float[Tensor, "r 3 3"] | None = None,
    *,
    scratch: Scratch | None = None,
) -> Float[Tensor, "slots parts r"]:
    """Unitary Fourier transforms of the field turned about the origin by each rotation.

    Differentiable in the coefficients, the positions and the rotations.

    Args:
        field: The field.
        sphere: Wave vectors.
        rotations: Rotations; default the identity alone.
        scratch: Work arrays to reuse between calls; they hold the result.

    Returns:
        For every slot of ``sphere`` the real parts of all channels, then the imaginary parts.
    """
    if rotations is None:
        rotations = torch.eye(3, dtype=field.positions.dtype, device=field.positions.device)[None]
    scratch = Scratch(field.positions) if scratch is None else scratch
    parts = _chunks(field, sphere, rotations, scratch)
    out = scratch("spectra", sphere.slots, 2 * field.channels, len(rotations))
    if out is None:
        return torch.cat(list(parts))
    for start, part in zip(range(0, sphere.slots, BLOCK * _step(field, rotations)), parts, strict=True):
        out[start : start + len(part)] = part
    return out


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


def _step(field: "ScalarField", rotations: Tensor) -> int:
    """Blocks of wave vectors per chunk."""
    n, channels, _, width = field.coefficients.shape
    return max(1, CHUNK // (BLOCK * len(rotations) * (2 * n + 2 * width * channels)))


def _chunks(
    field: "ScalarField", sphere: HalfSphere, rotations: Tensor, scratch: Scratch
) -> Iterator[Tensor]:
    x, channels, turns = field.positions, field.channels, len(rotations)
    order, even = _even_first(field.lmax)
    radial, angular = (t.to(x) for t in _tables(sphere, field.basis, field.lmax))
    weights = torch.einsum("sjm,ncjm->smcn", radial, field.coefficients[..., order.to(x.device)])
    weights = weights.flatten(1, 2)
    block_shell = sphere.shells[1].to(x.device)
    vectors = sphere.vectors.to(x).unflatten(0, (-1, BLOCK)).mT.contiguous()
    back = rotations.permute(2, 0, 1).flatten(0, 1)
    back_angular = _turns(rotations, field.lmax)
    rows, columns, width = weights.shape[1], turns * BLOCK, weights.shape[1] // channels
    step = _step(field, rotations)
    for start in range(0, len(block_shell), step):
        part = slice(start, start + step)
        weight = weights[block_shell[part]]
        b = len(weight)
        k = torch.bmm(back.expand(b, -1, -1), vectors[part], out=scratch("k", b, 3 * turns, BLOCK))
        k = k.view(b, 3, columns)
        angle = torch.bmm(x.expand(b, -1, -1), k, out=scratch("angle", b, len(x), columns))
        wave = torch.cos(angle, out=scratch("wave", b, len(x), columns))
        cos = torch.bmm(weight, wave, out=scratch("cos", b, rows, columns))
        wave = torch.sin(angle, out=scratch("wave", b, len(x), columns))
        sin = torch.bmm(weight, wave, out=scratch("sin", b, rows, columns))
        shape = torch.bmm(
            back_angular.expand(b, -1, -1), angular[part],
            out=scratch("shape", b, width * turns, BLOCK),
        ).view(b, width, 1, columns)  # fmt: skip
        split = (b, width, channels, columns)
        cos = torch.mul(cos.view(split), shape, out=_view(scratch, "cos", split))
        sin = torch.mul(sin.view(split), shape, out=_view(scratch, "sin", split))
        real = cos[:, :even].sum(1) - sin[:, even:].sum(1)
        imag = -(sin[:, :even].sum(1) + cos[:, even:].sum(1))
        both = torch.cat([real, imag], dim=1).view(b, 2 * channels, turns, BLOCK)
        yield both.permute(0, 3, 1, 2).reshape(b * BLOCK, 2 * channels, turns)


def _view(scratch: Scratch, name: str, shape: tuple[int, ...]) -> Tensor | None:
    return scratch(name, *shape)
