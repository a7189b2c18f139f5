"""Radial functions of scalar fields and their Hankel transforms.

A basis gives, for degree l and index j, a function ``R_jl(r)`` that multiplies ``Y_lm``. Its
transform ``H_jl(k) = sqrt(2/pi) * integral of j_l(k r) R_jl(r) r**2 dr`` makes the unitary Fourier
transform of ``R_jl(|x|) Y_lm(x)`` equal ``(-i)**l H_jl(|k|) Y_lm(k)``.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import spherical_jn
from torch import Tensor


@runtime_checkable
class RadialBasis(Protocol):
    """What a scalar field asks of its radial functions."""

    @property
    def count(self) -> int:
        """Number J of radial functions per degree."""

    @property
    def reach(self) -> float:
        """Distance beyond which every function is below 1e-6 of its maximum, angstrom."""

    def values(self, r: Float[Tensor, "*batch"], lmax: int) -> Float[Tensor, "*batch J l"]:
        """``R_jl(r)`` for l = 0 ... lmax."""

    def transform(self, k: Float[Tensor, "*batch"], lmax: int) -> Float[Tensor, "*batch J l"]:
        """``H_jl(k)`` for l = 0 ... lmax."""


@dataclass(frozen=True)
class GaussianShells:
    """Gaussians around evenly spaced radii, ``R_j(r) = exp(-((r - mu_j) / delta)**2) / 1.12``.

    The same for every degree, hence not smooth at r = 0 for l > 0: a sizeable part of the spectrum
    lies beyond the Nyquist wave number of a 1 angstrom grid. Transforms by quadrature.

    Args:
        count: Number of shells, at least 2.
        cutoff: Largest radius mu, angstrom; shells are ``cutoff / (count - 1)`` apart and wide.

    Source: Jing, Jaakkola & Berger, "Equivariant Scalar Fields for Molecular Docking with Fast
    Fourier Transforms", ICLR 2024, arXiv:2312.04323.
    """

    count: int = 5
    cutoff: float = 5.0

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError(f"count must be at least 2, got {self.count}")
        if not self.cutoff > 0:
            raise ValueError(f"cutoff must be positive, got {self.cutoff}")

    @property
    def width(self) -> float:
        """Distance and width of the shells, angstrom."""
        return self.cutoff / (self.count - 1)

    @property
    def reach(self) -> float:
        """Distance beyond which every function is below 1e-6 of its maximum."""
        return self.cutoff + self.width * math.sqrt(6 * math.log(10))

    def values(self, r: Float[Tensor, "*batch"], lmax: int) -> Float[Tensor, "*batch J l"]:
        """``R_jl(r)``, equal for all l."""
        centers = torch.linspace(0, self.cutoff, self.count, dtype=r.dtype, device=r.device)
        shells = torch.exp(-(((r[..., None] - centers) / self.width) ** 2)) / 1.12
        return shells[..., None].expand(*shells.shape, lmax + 1)

    def transform(self, k: Float[Tensor, "*batch"], lmax: int) -> Float[Tensor, "*batch J l"]:
        """``H_jl(k)`` by Gauss-Legendre quadrature, to rounding for k up to 20 per angstrom."""
        end = self.cutoff + 6.5 * self.width
        nodes, weights = np.polynomial.legendre.leggauss(160 + int(10 * end))
        r = (nodes + 1) * end / 2
        radial = self.values(torch.from_numpy(r), 0)[..., 0].numpy()
        weighted = radial * (weights * end / 2 * r**2 * math.sqrt(2 / math.pi))[:, None]
        flat, back = np.unique(k.detach().cpu().double().numpy(), return_inverse=True)
        bessel = [spherical_jn(degree, flat[:, None] * r) @ weighted for degree in range(lmax + 1)]
        table = np.stack(bessel, axis=-1)[back.reshape(-1)]
        return torch.from_numpy(table).to(k).reshape(*k.shape, self.count, lmax + 1)


@dataclass(frozen=True)
class SolidGaussians:
    """Smooth functions ``R_jl(r) = c r**l exp(-r**2 / (2 width_j**2))`` of unit L2 norm.

    With Y_lm they are polynomials times Gaussians: smooth at the centre, analytic transforms, and
    with widths of 1.3 angstrom or more free of aliasing on a 1 angstrom grid up to l = 4.

    Args:
        widths: Standard deviations, angstrom, positive.
    """

    widths: tuple[float, ...] = (1.3, 2.0)

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) <= 0:
            raise ValueError(f"widths must be positive and at least one, got {self.widths}")

    @property
    def count(self) -> int:
        """Number of radial functions per degree."""
        return len(self.widths)

    @property
    def reach(self) -> float:
        """Distance beyond which functions up to l = 4 are below 1e-6 of their maximum."""
        return 7.0 * max(self.widths)

    def values(self, r: Float[Tensor, "*batch"], lmax: int) -> Float[Tensor, "*batch J l"]:
        """``R_jl(r)``."""
        width = r.new_tensor(self.widths)
        degree = torch.arange(lmax + 1, device=r.device)
        scale = self._scale(lmax).to(r) * width[:, None] ** -(degree + 1.5)
        power = r[..., None, None] ** degree
        return scale * power * torch.exp(-((r[..., None] / width) ** 2) / 2)[..., None]

    def transform(self, k: Float[Tensor, "*batch"], lmax: int) -> Float[Tensor, "*batch J l"]:
        """``H_jl(k)``: again such functions, of width ``1 / width_j``."""
        width = k.new_tensor(self.widths)
        degree = torch.arange(lmax + 1, device=k.device)
        scale = self._scale(lmax).to(k) * width[:, None] ** (degree + 1.5)
        power = k[..., None, None] ** degree
        return scale * power * torch.exp(-((k[..., None] * width) ** 2) / 2)[..., None]

    @staticmethod
    def _scale(lmax: int) -> Tensor:
        logs = [(math.log(2) - math.lgamma(degree + 1.5)) / 2 for degree in range(lmax + 1)]
        return torch.tensor(logs, dtype=torch.float64).exp()
