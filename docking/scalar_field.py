"""Scalar fields of molecules: coefficients at points, values anywhere, spectra on a grid.

``phi_c(x) = sum_n sum_jlm A[n, c, j, lm] R_jl(|x - x_n|) Y_lm(x - x_n)``.

Source: Jing, Jaakkola & Berger, "Equivariant Scalar Fields for Molecular Docking with Fast Fourier
Transforms", ICLR 2024, arXiv:2312.04323, section 3.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from docking.basis import RadialBasis
from docking.grid import Grid, HalfSphere
from docking.harmonics import degrees, real_harmonics, wigner_d
from docking.spectrum import Scratch, spectra


@dataclass(frozen=True, eq=False)
class ScalarField:
    """A field of ``channels`` components emitted by ``n`` points.

    Args:
        coefficients: ``(n, channels, basis.count, (lmax + 1)**2)``, harmonics in e3nn's order.
        positions: ``(n, 3)``, angstrom.
        basis: Radial functions.

    Raises:
        ValueError: If the shapes do not fit one another or the basis.
    """

    coefficients: Tensor
    positions: Tensor
    basis: RadialBasis

    def __post_init__(self) -> None:
        shape = tuple(self.coefficients.shape)
        if len(shape) != 4 or shape[2] != self.basis.count or math.isqrt(shape[3]) ** 2 != shape[3]:
            raise ValueError(
                f"coefficients must be (n, channels, {self.basis.count}, (lmax + 1)**2), "
                f"got {shape}"
            )
        if tuple(self.positions.shape) != (shape[0], 3):
            raise ValueError(
                f"positions must be ({shape[0]}, 3), got {tuple(self.positions.shape)}"
            )

    def __repr__(self) -> str:
        """Sizes only."""
        n, c, j, _ = self.coefficients.shape
        return f"ScalarField(points={n}, channels={c}, radial={j}, lmax={self.lmax})"

    @property
    def channels(self) -> int:
        """Number of components."""
        return self.coefficients.shape[1]

    @cached_property
    def lmax(self) -> int:
        """Largest degree."""
        return math.isqrt(self.coefficients.shape[3]) - 1

    @property
    def center(self) -> Float[Tensor, "3"]:
        """Mean of the positions."""
        return self.positions.mean(0)

    def rotated(
        self, rotation: Float[Tensor, "3 3"], *, about: Float[Tensor, "3"] | None = None
    ) -> "ScalarField":
        """The field turned by ``rotation`` about a point (default: the origin)."""
        origin = torch.zeros_like(self.positions[0]) if about is None else about
        parts = self.coefficients.split([2 * d + 1 for d in range(self.lmax + 1)], dim=-1)
        matrices = wigner_d(rotation, self.lmax)
        turned = torch.cat([a @ d.T for a, d in zip(parts, matrices, strict=True)], dim=-1)
        positions = (self.positions - origin) @ rotation.T + origin
        return replace(self, coefficients=turned, positions=positions)

    def translated(self, translation: Float[Tensor, "3"]) -> "ScalarField":
        """The field moved by ``translation``, angstrom."""
        return replace(self, positions=self.positions + translation)

    def values(self, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch channels"]:
        """Evaluate the field at points, one emitter at a time: exact and slow."""
        index = torch.tensor(degrees(self.lmax), device=x.device)
        total = x.new_zeros(*x.shape[:-1], self.channels)
        for position, coefficient in zip(self.positions, self.coefficients, strict=True):
            offset = x - position
            radial = self.basis.values(offset.norm(dim=-1), self.lmax)[..., index]
            shape = radial * real_harmonics(offset, self.lmax)[..., None, :]
            total = total + torch.einsum("...jm,cjm->...c", shape, coefficient)
        return total

    def on_grid(self, grid: Grid) -> Float[Tensor, "channels x y z"]:
        """Values on the points of a grid, without periodic images."""
        points = grid.positions(self.positions.dtype).to(self.positions.device)
        return self.values(points).movedim(-1, 0)

    def spectra(
        self,
        sphere: HalfSphere,
        rotations: Float[Tensor, "r 3 3"] | None = None,
        *,
        scratch: Scratch | None = None,
    ) -> Float[Tensor, "slots parts r"]:
        """Fourier transforms about the origin after each rotation; see ``docking.spectrum``."""
        return spectra(
            self.coefficients, self.positions, self.basis, sphere, rotations, scratch=scratch
        )

    def spectrum(self, sphere: HalfSphere) -> Complex[Tensor, "channels count"]:
        """Unitary Fourier transform about the grid's centre at ``sphere.index``."""
        about = self.translated(-self.positions.new_tensor(sphere.grid.center))
        real, imag = about.spectra(sphere)[..., 0].unflatten(1, (2, -1)).unbind(1)
        return torch.complex(real, imag)[sphere.slot_of.to(real.device)].T
