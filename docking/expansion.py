"""Fields expanded about a chosen centre, in spherical waves.

The Fourier transform of a field, sampled on spheres ``|k| = k_i``, is ``sum_lm (-i)**l b_ilm
Y_lm``. Gauss-Legendre nodes k_i with their weights make these waves orthonormal, so that the
overlap of two fields is the plain product of their coefficients: the inverse Gram matrix other
radial bases need is folded into the tables. About an axis through the centre and an emitter, order
m is conserved, which leaves 91 of the 1089 couplings between l <= 10 and l <= 2.

Source: Jing, Jaakkola & Berger, ICLR 2024, arXiv:2312.04323, section 3.4, for the use of one global
basis; Rose, "Elementary Theory of Angular Momentum" (1957), chapters 3-4, for the couplings.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import spherical_jn
from torch import Tensor

from docking.harmonics import (
    axial_products,
    degrees,
    euler_matrix,
    quarter_turn,
    turn_about_pole,
    wigner_d,
)
from docking.scalar_field import ScalarField

PAIRS = 2048  # pairs of centre and emitter expanded at once
STEP = 0.02  # of the Bessel table; its cubic interpolation is good to 1e-9


@dataclass(frozen=True)
class SphericalWaves:
    """Spheres in k-space and the largest degree kept on each.

    Args:
        k_max: Radius of the largest sphere, radians per angstrom.
        count: Number of spheres.
        lmax: Largest degree. A field that reaches r angstrom from the centre needs about
            ``k r + 5`` where it still has amplitude at k.

    Raises:
        ValueError: If an argument is out of range.
    """

    k_max: float = 2.5
    count: int = 40
    lmax: int = 12

    def __post_init__(self) -> None:
        if not self.k_max > 0:
            raise ValueError(f"k_max must be positive, got {self.k_max}")
        if self.count < 1 or self.lmax < 0:
            raise ValueError(
                f"count must be at least 1 and lmax 0, got {self.count} and {self.lmax}"
            )

    @classmethod
    def covering(cls, k_max: float, span: float, lmax: int) -> "SphericalWaves":
        """Enough spheres for products of fields up to ``span`` angstrom apart."""
        return cls(k_max, 10 + math.ceil(k_max * span / 4), lmax)

    @cached_property
    def nodes(self) -> tuple[Tensor, Tensor]:
        """Radii, and the square roots of the weights of ``integral of f k**2 dk``."""
        x, weight = np.polynomial.legendre.leggauss(self.count)
        k = (x + 1) * self.k_max / 2
        return torch.from_numpy(k), torch.from_numpy(np.sqrt(weight * self.k_max / 2) * k)


@lru_cache(maxsize=4)
def _bessel_table(lmax: int, end: int) -> Tensor:
    x = np.arange(-1, end / STEP + 3) * STEP
    sign = np.where(x < 0, -1.0, 1.0)
    rows = [spherical_jn(degree, np.abs(x)) * sign**degree for degree in range(lmax + 1)]
    return torch.from_numpy(np.stack(rows, axis=-1))


def bessel(x: Float[Tensor, "*batch"], lmax: int) -> Float[Tensor, "*batch l"]:
    """Spherical Bessel functions j_0 ... j_lmax of x >= 0 by cubic interpolation."""
    end = 8 * (1 + int(float(x.max()) / 8)) if x.numel() else 8
    table = _bessel_table(lmax, end).to(x)
    place = x / STEP
    low = place.long()
    f = (place - low)[..., None]
    corners = (
        -f * (f - 1) * (f - 2) / 6,
        (f + 1) * (f - 1) * (f - 2) / 2,
        -(f + 1) * f * (f - 2) / 2,
        (f + 1) * f * (f - 1) / 6,
    )
    return sum(weight * table[low + i] for i, weight in enumerate(corners))  # type: ignore[return-value]


@lru_cache(maxsize=4)
def _couplings(lmax: int, l_field: int) -> Tensor:
    """From j_p(k r) to the coupling of (l_field degree q, order m) to degree l: (p, m, q, l)."""
    product = axial_products(lmax, l_field)
    p = torch.arange(product.shape[0])[:, None, None, None]
    big = torch.arange(lmax + 1)[:, None, None]
    small = torch.arange(l_field + 1)[:, None]
    # (-i)**(p + q - l) is real wherever the product is not zero.
    phase = torch.where((p + small - big) % 4 == 2, -1.0, 1.0)
    return (product * phase * torch.sqrt(4 * math.pi * (2 * p + 1))).permute(0, 3, 2, 1)


@lru_cache(maxsize=64)
def _tilt(degree: int, orders: int) -> Tensor:
    """Fourier coefficients in b of columns -orders ... orders of ``D_l(R_x(b))``."""
    quarter = quarter_turn(degree)
    some = quarter[:, degree - orders : degree + orders + 1]
    # D = Q' Z(b) Q, where Z has cosines on its diagonal and sines across it.
    cosines = torch.einsum("ha,hm->ham", quarter, some)
    sines = torch.einsum("ha,hm->ham", quarter, some.flip(0))
    return torch.cat([cosines, -sines])


def expand(
    field: ScalarField,
    centers: Float[Tensor, "t 3"],
    waves: SphericalWaves,
    *,
    reach: float | None = None,
) -> Float[Tensor, "t channels k d"]:
    """Coefficients of the field in spherical waves about each centre.

    Differentiable in the field's coefficients.

    Args:
        field: The field.
        centers: Where to expand, angstrom.
        waves: What to expand in; d = (waves.lmax + 1)**2.
        reach: Leave out emitters farther than this from the centre; None keeps all.

    Returns:
        ``b`` with the square roots of the weights folded in: ``sum(b_P * b_L)`` is the overlap.
    """
    offset = field.positions[None] - centers[:, None]
    distance = offset.norm(dim=-1)
    near = distance <= (math.inf if reach is None else reach)
    center, emitter = near.nonzero(as_tuple=True)
    shape = (field.channels, waves.count, (waves.lmax + 1) ** 2)
    bounds = torch.cumsum(near.sum(1), 0).tolist()
    out, first = [], 0
    while first < len(centers):
        begin = bounds[first - 1] if first else 0
        last = first + 1
        while last < len(centers) and bounds[last] - begin <= PAIRS:
            last += 1
        pairs = slice(begin, bounds[last - 1])
        if pairs.start == pairs.stop:
            out.append(offset.new_zeros(last - first, *shape))
        else:
            out.append(
                _expand(field, offset[near][pairs], emitter[pairs], center[pairs] - first,
                        last - first, waves)
            )  # fmt: skip
        first = last
    return torch.cat(out)


def _expand(
    field: ScalarField,
    offset: Float[Tensor, "p 3"],
    emitter: Int[Tensor, " p"],
    center: Int[Tensor, " p"],
    centers: int,
    waves: SphericalWaves,
) -> Tensor:
    lmax, l_field = waves.lmax, field.lmax
    k, root = (t.to(offset) for t in waves.nodes)
    degree = torch.tensor(degrees(l_field))
    distance = offset.norm(dim=-1)
    beta = torch.atan2(torch.hypot(offset[:, 0], offset[:, 2]), offset[:, 1])
    alpha = torch.atan2(offset[:, 0], offset[:, 2])
    frames = euler_matrix(alpha, beta, torch.zeros_like(beta))
    coefficients = field.coefficients[emitter]
    parts = coefficients.split([2 * d + 1 for d in range(l_field + 1)], dim=-1)
    matrices = wigner_d(frames, l_field)
    axial = torch.cat([a @ d[:, None] for a, d in zip(parts, matrices, strict=True)], dim=-1)
    radial = field.basis.transform(waves.nodes[0], l_field)[..., degree].to(offset)
    # (pairs, channels, k, harmonics), then order m first: (pairs, m, q, channels, k)
    emitted = torch.einsum("kjh,pcjh,k->phck", radial, axial, root)
    wave = bessel(distance[:, None] * k, lmax + l_field)
    table = _couplings(lmax, l_field).to(offset)
    coupling = (wave @ table.flatten(1)).unflatten(2, table.shape[1:])
    moved = offset.new_zeros(len(offset), 2 * l_field + 1, lmax + 1, field.channels, len(k))
    for m in range(-l_field, l_field + 1):
        for q in range(abs(m), l_field + 1):
            strength = coupling[:, :, abs(m), q].mT[:, :, None]
            moved[:, m + l_field] += strength * emitted[:, q * q + q + m][:, None]
    # Bring every emitter's axis back from the pole and sum over the emitters of a centre.
    counts = torch.bincount(center, minlength=centers).tolist()
    blocks = []
    for big in range(lmax + 1):
        orders = min(big, l_field)
        angles = beta[:, None] * torch.arange(-big, big + 1, device=beta.device)
        phases = torch.cat([torch.cos(angles), torch.sin(angles)], 1)
        tilt = _tilt(big, orders).to(offset)
        tilted = (phases @ tilt.flatten(1)).unflatten(1, tilt.shape[1:])
        back = turn_about_pole(alpha, big) @ tilted
        source = moved[:, l_field - orders : l_field + orders + 1, big].flatten(2)
        rows = [
            d.permute(1, 0, 2).flatten(1) @ s.flatten(0, 1)
            for d, s in zip(back.split(counts), source.split(counts), strict=True)
        ]
        blocks.append(torch.stack(rows).unflatten(2, (field.channels, len(k))))
    return torch.cat(blocks, dim=1).permute(0, 2, 3, 1)
