"""Every rotation of a ligand's field against a receptor's, at many placements of its centre.

Overlaps ``I_l = sum_ck b_P b_L'`` in spherical waves give the score of rotation
``R = R_y(alpha) R_x(beta) R_y(gamma)`` as ``sum_lmn I_lmn exp(-i m alpha) d_lmn(beta)
exp(-i n gamma)``: a short sum over l for every beta, then one real two-dimensional FFT. Channels
and wave numbers are summed before it, and beta runs over half a turn, so nothing is computed twice.

Sources: Kovacs & Wriggers, Acta Cryst. D58 (2002) 1282, for fast rotational matching; Kostelec &
Rockmore, J. Fourier Anal. Appl. 14 (2008) 145, section 4, for the transform with separate beta.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor

from docking.expansion import SphericalWaves, expand
from docking.harmonics import euler_matrix, quarter_turn, real_from_complex, turn_about_pole
from docking.rotation import RigidMotion
from docking.scalar_field import ScalarField

CENTERS = 8  # maps over SO(3) held at once


@dataclass(frozen=True)
class EulerGrid:
    """Rotations ``R_y(alpha) R_x(beta) R_y(gamma)`` on a regular grid of angles.

    Args:
        turns: Steps of alpha and gamma over a full turn, even; beta has half as many over half a
            turn, between the poles.
    """

    turns: int = 36

    def __post_init__(self) -> None:
        if self.turns < 2 or self.turns % 2:
            raise ValueError(f"turns must be even and at least 2, got {self.turns}")

    @classmethod
    def resolving(cls, lmax: int) -> "EulerGrid":
        """The smallest grid of a size FFTs like that resolves degree ``lmax``."""
        return cls(2 * next_fast_len(lmax + 1, real=True))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Steps of beta, alpha and gamma."""
        return self.turns // 2, self.turns, self.turns

    @property
    def angles(self) -> tuple[Tensor, Tensor, Tensor]:
        """The values of beta, alpha and gamma, radians."""
        about = torch.arange(self.turns, dtype=torch.float64) * (2 * math.pi / self.turns)
        beta = (torch.arange(self.turns // 2, dtype=torch.float64) + 0.5) * (
            2 * math.pi / self.turns
        )
        return beta, about, about

    def rotation(self, index: Tensor) -> Float[Tensor, "*batch 3 3"]:
        """Rotation matrices of flat indices into ``shape``."""
        beta, alpha, gamma = self.angles
        index = index.cpu()
        b, a, c = index // self.turns**2, index // self.turns % self.turns, index % self.turns
        return euler_matrix(alpha[a], beta[b], gamma[c])

    def log_weight(self) -> Float[Tensor, "beta 1 1"]:
        """Logarithm of the Haar weight of the grid's cells, up to a constant."""
        return torch.log(torch.sin(self.angles[0]))[:, None, None]


@dataclass(frozen=True, eq=False)
class RotationScores:
    """The best rotation at every centre.

    Attributes:
        centers: Where the ligand's centre was put, ``(t, 3)``.
        scores: Best score at each, ``(t,)``.
        motions: Rigid motions of the ligand's coordinates that have these scores.
    """

    centers: Tensor
    scores: Tensor
    motions: RigidMotion

    @property
    def best(self) -> int:
        """Index of the best centre."""
        return int(self.scores.argmax())


@lru_cache(maxsize=4)
def _small_d(lmax: int, grid: EulerGrid) -> Tensor:
    """``d_lmn(beta)`` as (m, n >= 0, l, beta), zero where l is below m or n."""
    beta = grid.angles[0]
    out = torch.zeros(2 * lmax + 1, lmax + 1, lmax + 1, len(beta), dtype=torch.float64)
    for degree in range(lmax + 1):
        quarter = quarter_turn(degree)
        real = quarter.T @ turn_about_pole(beta, degree) @ quarter
        change = torch.from_numpy(real_from_complex(degree))
        values = (change.T @ real.to(change.dtype) @ change.conj()).real
        part = slice(lmax - degree, lmax + degree + 1)
        out[part, : degree + 1, degree] = values[:, :, degree:].permute(1, 2, 0)
    return out


@lru_cache(maxsize=4)
def _changes(lmax: int) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(real_from_complex(degree)) for degree in range(lmax + 1))


def synthesize(
    receptor: Float[Tensor, "t channels k d"],
    ligand: Float[Tensor, "channels k d"],
    grid: EulerGrid,
) -> Float[Tensor, "t beta alpha gamma"]:
    """Scores of all rotations of a grid from two expansions; differentiable in both."""
    lmax = math.isqrt(ligand.shape[-1]) - 1
    if grid.turns <= 2 * lmax:
        raise ValueError(f"turns must exceed twice lmax = {lmax}, got {grid.turns}")
    t, complex_dtype = len(receptor), torch.complex(ligand[0, 0, 0], ligand[0, 0, 0]).dtype
    overlap = ligand.new_zeros(2 * lmax + 1, lmax + 1, lmax + 1, t, dtype=complex_dtype)
    for degree, change in enumerate(_changes(lmax)):
        part = slice(degree**2, (degree + 1) ** 2)
        product = torch.tensordot(receptor[..., part], ligand[..., part], ([1, 2], [0, 1]))
        change = change.to(overlap)
        # Indexed (m, n, t); negative n follow from the score being real.
        waves = torch.einsum("tab,am,bn->mnt", product.to(change.dtype), change.conj(), change)
        overlap[lmax - degree : lmax + degree + 1, : degree + 1, degree] = waves[:, degree:]
    table = _small_d(lmax, grid).to(ligand).flatten(0, 1).mT
    parts = torch.view_as_real(overlap.conj().resolve_conj()).flatten(3).flatten(0, 1)
    summed = torch.bmm(table, parts).unflatten(2, (t, 2)).contiguous()
    harmonics = torch.view_as_complex(summed).unflatten(0, (2 * lmax + 1, lmax + 1))
    n = grid.turns
    spectrum = harmonics.new_zeros(t, n // 2, n, n // 2 + 1)
    order = torch.arange(-lmax, lmax + 1, device=ligand.device).remainder(n)
    spectrum[:, :, order, : lmax + 1] = harmonics.permute(3, 2, 0, 1)
    return torch.fft.irfft2(spectrum, s=(n, n), norm="forward")


def rotation_maps(
    receptor: ScalarField,
    ligand: ScalarField,
    centers: Float[Tensor, "t 3"],
    *,
    waves: SphericalWaves | None = None,
    grid: EulerGrid | None = None,
) -> Float[Tensor, "t beta alpha gamma"]:
    """Scores of all rotations of ``grid`` with the ligand's centre at each of ``centers``.

    Differentiable in the coefficients of both fields. ``softmax(maps + grid.log_weight())`` over
    the last three axes is the distribution of the rotation given the place.
    """
    waves, grid, reach = _defaults(receptor, ligand, centers, waves, grid)
    about = expand(ligand, ligand.center[None], waves)[0]
    return synthesize(expand(receptor, centers, waves, reach=reach), about, grid)


@torch.no_grad()
def correlate_rotations(
    receptor: ScalarField | Float[Tensor, "t channels k d"],
    ligand: ScalarField,
    centers: Float[Tensor, "t 3"],
    *,
    waves: SphericalWaves | None = None,
    grid: EulerGrid | None = None,
) -> RotationScores:
    """Find the best rotation at every placement of the ligand's centre.

    Args:
        receptor: The receptor's field, or its expansion by ``expand`` about the same centres.
        ligand: The ligand's field; it turns about its centre.
        centers: Where to put that centre, angstrom.
        waves: Spherical waves; default: degree 12 to the wave number 2.5. Must be given with, and
            be those of, an expansion.
        grid: Angles; default: the smallest that resolves the waves.

    Raises:
        ValueError: If the fields have different channels, or an expansion comes without waves.
    """
    if isinstance(receptor, ScalarField):
        waves, grid, reach = _defaults(receptor, ligand, centers, waves, grid)
        expanded = None
    elif waves is None:
        raise ValueError("waves must be given with an expansion, got None")
    else:
        grid = EulerGrid.resolving(waves.lmax) if grid is None else grid
        expanded, reach = receptor, None
    about = expand(ligand, ligand.center[None], waves)[0]
    if expanded is not None and expanded.shape[1:] != about.shape:
        raise ValueError(
            f"expansion must be (t, {', '.join(map(str, about.shape))}), "
            f"got {tuple(expanded.shape)}"
        )
    scores, index = [], []
    for start in range(0, len(centers), CENTERS):
        some = slice(start, start + CENTERS)
        if isinstance(receptor, ScalarField):
            part = expand(receptor, centers[some], waves, reach=reach)
        else:
            part = receptor[some]
        value, place = synthesize(part, about, grid).flatten(1).max(1)
        scores.append(value)
        index.append(place)
    rotation = grid.rotation(torch.cat(index)).to(centers)
    moved = centers - (rotation @ ligand.center.to(centers)[:, None])[..., 0]
    return RotationScores(centers, torch.cat(scores), RigidMotion(rotation, moved))


def _defaults(
    receptor: ScalarField,
    ligand: ScalarField,
    centers: Tensor,
    waves: SphericalWaves | None,
    grid: EulerGrid | None,
) -> tuple[SphericalWaves, EulerGrid, float]:
    if receptor.channels != ligand.channels:
        raise ValueError(f"channels must agree, got {receptor.channels} and {ligand.channels}")
    radius = float((ligand.positions - ligand.center).norm(dim=-1).max())
    # Emitters farther away cannot overlap the ligand, however it is turned.
    reach = radius + receptor.basis.reach + ligand.basis.reach
    if waves is None:
        far = float(torch.cdist(centers, receptor.positions).max())
        waves = SphericalWaves.covering(2.5, min(far, reach) + radius + 5.0, 12)
    grid = EulerGrid.resolving(waves.lmax) if grid is None else grid
    return waves, grid, reach
