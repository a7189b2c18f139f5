"""Conditional likelihoods of the crystal pose: over all translations, and over all rotations.

Each is a softmax over every cell of a grid of poses at once, so its gradient needs no samples.
ESF-N adds noise in the freedom the step does not search.

Source: Jing, Jaakkola & Berger, ICLR 2024, arXiv:2312.04323. What differs is where the
same integral is computed otherwise: the spectra stop at the sphere of the grid's Nyquist wave
number, without the corners of the cube; rotations are expanded in spherical waves rather than in 25
Gaussians on 0 to 20 angstrom; and the Euler grid covers every rotation once, not twice.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from docking.correlate import ReceptorSpectrum, translation_maps
from docking.expansion import SphericalWaves, expand
from docking.grid import Grid
from docking.rotational import EulerGrid, synthesize
from docking.scalar_field import ScalarField

TEMPERATURE = 100.0
"""What all scores are divided by."""


class Outcome(NamedTuple):
    """What a likelihood says of a complex.

    Attributes:
        loss: Negative logarithm of the probability of the true cell, nats.
        rmsd: Between the ligand in the most probable cell and in the true one, angstrom, without
            regard to symmetry.
    """

    loss: Float[Tensor, ""]
    rmsd: Float[Tensor, ""]


@dataclass(frozen=True)
class TranslationLikelihood:
    """Where the ligand's centre is, given how it is turned.

    The cells are all shifts of a periodic cube around the true centre, 64,000 for the defaults, and
    the truth is no shift at all. Emitters outside the cube are seen through its periodic images.

    Args:
        points: Points along an axis of the cube, at least 4.
        spacing: Their distance, angstrom.
        noise: Standard deviation of the components of the rotation vector by which a noisy step
            turns the ligand about its centre, radians.

    Raises:
        ValueError: If an argument is out of range.
    """

    points: int = 40
    spacing: float = 1.0
    noise: float = 0.2

    def __post_init__(self) -> None:
        _check_noise(self.noise)
        _ = self.grid

    @property
    def grid(self) -> Grid:
        """The cube, its centre at the origin."""
        return Grid(self.points, self.spacing)

    def logits(
        self, receptor: ScalarField, ligand: ScalarField, turn: Float[Tensor, "3 3"]
    ) -> Float[Tensor, "x y z"]:
        """Log-probabilities up to a constant; entry (0, 0, 0) leaves the centre where it is.

        Args:
            receptor: The receptor's field.
            ligand: The ligand's field in the true pose.
            turn: Rotation of the ligand about its centre.
        """
        about = receptor.translated(-ligand.center)
        maps = translation_maps(ReceptorSpectrum(about, self.grid), ligand, turn[None])
        return maps[0] / TEMPERATURE

    def __call__(
        self,
        receptor: ScalarField,
        ligand: ScalarField,
        *,
        noisy: bool = False,
        generator: Generator | None = None,
    ) -> Outcome:
        """Likelihood of the true place; the noise comes from the generator, default torch's."""
        vector = torch.zeros(3)
        if noisy:
            vector = torch.randn(3, generator=generator) * self.noise
        logits = self.logits(receptor, ligand, rotation_of(vector).to(ligand.positions))
        cells = logits.flatten()
        best = cells.argmax()
        place = torch.stack(torch.unravel_index(best, logits.shape))
        return Outcome(cells.logsumexp(0) - cells[0], self.grid.shift(place).norm().to(cells))


@dataclass(frozen=True)
class RotationLikelihood:
    """How the ligand is turned, given where its centre is.

    The ligand is first turned back from the pose of a cell of the Euler grid, so that the truth is
    exactly that cell: in training the one of a turn by pi / 4 about the axis that tilts the grid's
    pole (the authors' y beside their pole z; x beside ours, y), far from the poles, where cells
    crowd.

    Args:
        turns: Steps of the two angles about the pole over a full turn; the tilt has half as many
            over half a turn. For the true cell it must be 4 above a multiple of 8.
        lmax: Largest degree of the expansion about the ligand's centre.
        k_max: Largest wave number of the expansion, radians per angstrom.
        reach: Leave out emitters farther than this from the centre, angstrom.
        noise: Standard deviation of the components of the shift of the ligand in a noisy step,
            angstrom; the expansion is about the shifted centre.

    Raises:
        ValueError: If an argument is out of range.
    """

    turns: int = 100
    lmax: int = 10
    k_max: float = math.pi
    reach: float = 20.0
    noise: float = 0.7

    def __post_init__(self) -> None:
        _check_noise(self.noise)
        if self.turns % 8 != 4 or self.turns <= 2 * self.lmax:
            raise ValueError(
                "turns must exceed twice lmax and be 4 above a multiple of 8, "
                f"got {self.turns} with lmax = {self.lmax}"
            )
        if not self.reach > 0:
            raise ValueError(f"reach must be positive, got {self.reach}")
        _ = SphericalWaves(self.k_max, 1, self.lmax)

    @property
    def grid(self) -> EulerGrid:
        """The rotations."""
        return EulerGrid(self.turns)

    @property
    def cell(self) -> int:
        """Flat index of the turn by pi / 4 that tilts the pole."""
        return self.turns // 8 * self.turns**2

    @cached_property
    def _log_haar(self) -> Float[Tensor, "beta 1 1"]:
        return self.grid.log_weight()

    def draw(self, generator: Generator | None = None) -> int:
        """Draw a cell from the Haar measure."""
        weight = self._log_haar.flatten().exp()
        beta = int(torch.multinomial(weight, 1, generator=generator))
        return beta * self.turns**2 + int(torch.randint(self.turns**2, (), generator=generator))

    def logits(
        self, receptor: ScalarField, ligand: ScalarField, center: Float[Tensor, "3"]
    ) -> Float[Tensor, "beta alpha gamma"]:
        """Log-probabilities up to a constant, the Haar weight of the cells included.

        Args:
            receptor: The receptor's field.
            ligand: The ligand's field; it turns about its centre, which is put at ``center``.
            center: Where, angstrom.
        """
        radius = float((ligand.positions - ligand.center).norm(dim=-1).max())
        span = self.reach + radius + receptor.basis.reach
        waves = SphericalWaves.covering(self.k_max, span, self.lmax)
        about = expand(ligand, ligand.center[None], waves)[0]
        around = expand(receptor, center[None], waves, reach=self.reach)
        maps = synthesize(around, about, self.grid)[0]
        return maps / TEMPERATURE + self._log_haar.to(maps)

    def __call__(
        self,
        receptor: ScalarField,
        ligand: ScalarField,
        *,
        noisy: bool = False,
        cell: int | None = None,
        generator: Generator | None = None,
    ) -> Outcome:
        """Likelihood of the true rotation, after turning the ligand back from ``cell``.

        Args:
            receptor: The receptor's field.
            ligand: The ligand's field in the true pose.
            noisy: Whether to shift the ligand.
            cell: Flat index of the cell that will be the truth; default ``self.cell``.
            generator: Where the noise comes from; default torch's.
        """
        cell = self.cell if cell is None else cell
        shift = torch.zeros(3)
        if noisy:
            shift = torch.randn(3, generator=generator) * self.noise
        truth = self.grid.rotation(torch.tensor(cell)).to(ligand.positions)
        turned = ligand.rotated(truth.mT, about=ligand.center)
        cells = self.logits(receptor, turned, ligand.center + shift.to(truth)).flatten()
        found = self.grid.rotation(cells.argmax()).to(truth)
        spread = turned.positions - ligand.center
        rmsd = (spread @ (found - truth).mT).square().sum(-1).mean().sqrt()
        return Outcome(cells.logsumexp(0) - cells[cell], rmsd)


def rotation_of(vector: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """Rotation by the length of a vector, radians, about its direction."""
    x, y, z = vector.unbind()
    o = torch.zeros_like(x)
    return torch.linalg.matrix_exp(torch.stack([o, -z, y, z, o, -x, -y, x, o]).view(3, 3))


def _check_noise(noise: float) -> None:
    if not (noise >= 0 and math.isfinite(noise)):
        raise ValueError(f"noise must be at least 0 and finite, got {noise}")
