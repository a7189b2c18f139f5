"""Maps of a receptor's field that a ligand's coefficients read: overlaps of whole poses.

``S(pose) = sum_n sum_q A[n, q] V_q(x_n)`` with ``V_q(x) = integral of receptor_c(y) R_jl(|y - x|)
Y_lm(y - x) dy`` for ``q = (c, j, lm)``: the overlap of the two fields, of the wave numbers that the
receptor's spectrum has. ``A`` turns with the pose, the maps do not.

The maps are cubic splines that pass through the exact values at the lattice points. Their
coefficients come straight from the spectrum, where a spline's filter is a factor of each wave.

Source: Unser, Aldroubi and Eden, IEEE Trans. Signal Process. 41 (1993) 821, for the filter.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from numpy import ndarray
from torch import Tensor

from docking.basis import RadialBasis
from docking.correlate import ReceptorSpectrum
from docking.harmonics import degrees, real_harmonics, wigner_d
from docking.interpolate import weights
from docking.lattice import Lattice
from docking.pocket_map import MAX_BYTES
from docking.radial_sums import check_size

SPACING = 0.5
"""Of the maps, angstrom: their interpolation errs by some 1e-4 of a score's spread."""
_POINTS = 4  # spline coefficients along an axis that a value depends on
_AT_ONCE = 256  # atoms read at once: what they gather fits a core's cache


class OverlapMaps:
    """The maps of one pocket.

    Args:
        spectrum: Of the receptor's field, about the middle of the maps.
        basis: Radial functions of the ligand's field.
        lmax: Its largest degree.
        low: Lower corner of where they are read, angstrom.
        high: Upper corner.
        spacing: Distance of the lattice's points, angstrom.
        max_bytes: Largest size of the maps.

    Raises:
        InputError: If the maps would be too large.
    """

    def __init__(
        self,
        spectrum: ReceptorSpectrum,
        basis: RadialBasis,
        lmax: int,
        low: Float[ndarray, " 3"],
        high: Float[ndarray, " 3"],
        *,
        spacing: float = SPACING,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        channels = spectrum.field.channels
        self.width = basis.count * (lmax + 1) ** 2
        self.low, self.high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        self.lattice = Lattice.cover(low, high, spacing)
        check_size(self.lattice, channels * self.width, max_bytes)
        self.shape = tuple(n + 2 for n in self.lattice.shape)
        self.grid = self._splines(spectrum, basis, lmax)

    def _splines(
        self, spectrum: ReceptorSpectrum, basis: RadialBasis, lmax: int
    ) -> Float[Tensor, "cells q"]:
        """Spline coefficients, all maps of a point side by side."""
        sphere, grid = spectrum.sphere, spectrum.grid
        index = sphere.index.double()
        real, imag = spectrum.slots.detach()[sphere.slot_of].T.unflatten(0, (2, -1)).unbind(0)
        receptor = torch.complex(real, imag)
        shape = _conjugate_shapes(index * grid.k_step, basis, lmax).to(receptor.dtype)
        twice = torch.where(sphere.index[:, 2] > 0, 2.0, 1.0) * grid.k_step**3
        waves = self._waves(spectrum)
        side, deep = 2 * sphere.reach + 1, sphere.reach + 1
        out = real.new_empty(*self.shape, len(receptor), self.width)
        for c, part in enumerate(receptor * twice.to(real)):
            box = receptor.new_zeros(self.width, deep * side * side)
            box[:, sphere.compact_index] = shape * part
            x, y, z = (w.to(receptor.dtype) for w in waves)
            lines = box.view(self.width, deep, side, side) @ x
            planes = lines.transpose(2, 3) @ y  # (q, kz, x, y)
            z = z[sphere.reach :]
            last = torch.cat([z.real, -z.imag])
            both = torch.cat([planes.real, planes.imag], 1).permute(2, 3, 0, 1)
            out[:, :, :, c] = (both @ last).transpose(2, 3)
        return out.flatten(3).flatten(0, 2)

    def _waves(self, spectrum: ReceptorSpectrum) -> list[Complex[Tensor, "k x"]]:
        """Waves along each axis at the lattice's points and one beyond each end."""
        reach = spectrum.sphere.reach
        k = torch.arange(-reach, reach + 1, dtype=torch.float64) * spectrum.grid.k_step
        step = self.lattice.spacing
        filtered = 3 / (2 + torch.cos(k * step))
        waves = []
        for a, n in enumerate(self.shape):
            start = self.lattice.origin[a] - step - spectrum.grid.center[a]
            x = start + step * torch.arange(n, dtype=torch.float64)
            waves.append(filtered[:, None] * torch.exp(1j * k[:, None] * x))
        return waves

    def overlaps(
        self, A: Float[Tensor, "p n q"], x: Float[Tensor, "p n 3"]
    ) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
        """Overlap of each pose, and how far its atoms are out of the maps, angstrom.

        Atoms outside are read at the nearest point inside; how far they are out is summed over
        atoms and axes. Differentiable once in both arguments.

        Args:
            A: Coefficients of every atom as it stands, channels, radial functions, harmonics.
            x: Where the atoms are, angstrom.
        """
        low, high = (torch.as_tensor(corner).to(x) for corner in (self.low, self.high))
        inside = torch.minimum(torch.maximum(x, low), high)
        u = self.lattice.to_lattice(inside).flatten(0, 1).to(self.grid)
        read: Tensor = _Read.apply(self.grid, self.shape, u, A.flatten(0, 1).to(self.grid))
        return read.view(x.shape[:2]).sum(1), (x - inside).abs().sum((1, 2))


class _Read(torch.autograd.Function):
    """Sum over all maps of a coefficient times the map's value at a point."""

    @staticmethod
    def forward(ctx, grid, shape, u, A):
        first = torch.minimum(u.floor().long().clamp(min=0), torch.tensor(shape) - _POINTS)
        steep, value, seen = torch.empty_like(u), torch.empty_like(u[:, 0]), torch.empty_like(A)
        near = _near(shape[1:])
        for start in range(0, len(u), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            place = (first[some, 0] * shape[1] + first[some, 1]) * shape[2] + first[some, 2]
            rows = grid[place[:, None] + near]
            (wx, wy, wz), (dx, dy, dz) = (
                w.unbind(1) for w in weights(u[some] - first[some], "cubic")
            )
            products = ((wx, wy, wz), (dx, wy, wz), (wx, dy, wz), (wx, wy, dz))
            corner = torch.stack([_outer(*three) for three in products], 1)
            maps = corner @ rows
            along = (maps * A[some, None]).sum(2)
            seen[some], value[some], steep[some] = maps[:, 0], along[:, 0], along[:, 1:]
        ctx.save_for_backward(steep, seen)
        return value

    @staticmethod
    def backward(ctx, upstream):
        steep, seen = ctx.saved_tensors
        return None, None, upstream[:, None] * steep, upstream[:, None] * seen


def turned(
    A: Float[Tensor, "p n c j lm"], rotations: Float[Tensor, "p 3 3"], lmax: int
) -> Float[Tensor, "p n q"]:
    """Coefficients of atoms after each pose has been turned; differentiable in both."""
    parts = A.flatten(1, 3).split([2 * degree + 1 for degree in range(lmax + 1)], dim=-1)
    matrices = wigner_d(rotations, lmax)
    made = [a @ d.to(a).mT for a, d in zip(parts, matrices, strict=True)]
    return torch.cat(made, -1).view(*A.shape[:2], -1)


def _outer(x: Tensor, y: Tensor, z: Tensor) -> Float[Tensor, "m w"]:
    return (x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :]).flatten(1)


@lru_cache(maxsize=64)
def _near(shape: tuple[int, int]) -> Int[Tensor, " w"]:
    """Steps from the first point of a cell to all that carry weight."""
    step = torch.arange(_POINTS)
    return ((step[:, None, None] * shape[0] + step[:, None]) * shape[1] + step).flatten()


def _conjugate_shapes(
    k: Float[Tensor, "k 3"], basis: RadialBasis, lmax: int
) -> Complex[Tensor, "q k"]:
    """Conjugate transforms of the ligand's functions, (j, lm) by wave vector."""
    degree = torch.tensor(degrees(lmax))
    radial = basis.transform(k.norm(dim=1), lmax)[..., degree]
    shape = (radial * real_harmonics(k, lmax)[:, None]).flatten(1).T
    phase = torch.tensor([1, 1j, -1, -1j], dtype=torch.complex128)[degree % 4]
    return shape * phase.repeat(basis.count)[:, None]
