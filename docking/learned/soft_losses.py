"""Likelihoods of near-native poses among all shifts and among all rotations, with soft targets.

The target of a cell is a Gaussian of the RMSD between the pose it stands for and the true one, the
least over the ligand's symmetries, so that a cell next to the truth, or one that maps the ligand on
a symmetric copy of itself, is no error. What is trained is the divergence of the model's
distribution over cells from that target; it is zero for a perfect model, wherever the truth lies
between the cells.

Where the cells lie is drawn anew every time: the lattice of shifts by a fraction of its spacing,
the grid of rotations by a random rotation.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from docking.learned.band_spectrum import Band, Spectrum
from docking.learned.losses import rotation_of
from docking.ligand import Ligand
from docking.rotation import uniform_rotations
from docking.rotational import EulerGrid
from docking.scalar_field import ScalarField
from docking.symmetry import Symmetry

MAX_COPIES = 64
"""Symmetric copies of an independent part of a ligand that are told from the truth at most."""


class Outcome(NamedTuple):
    """What a likelihood says of a complex.

    Attributes:
        loss: Divergence of the model's distribution from the soft target, nats.
        rmsd: Between the ligand in the best-scored cell and the truth, symmetric copies alike,
            angstrom.
    """

    loss: Float[Tensor, ""]
    rmsd: Float[Tensor, ""]


class Copies:
    """Symmetric copies of a ligand: which atoms may stand for which.

    Args:
        ligand: The ligand; only its heavy atoms count.
    """

    def __init__(self, ligand: Ligand) -> None:
        place = np.cumsum(ligand.heavy) - 1
        self.atoms = int(ligand.heavy.sum())
        parts = Symmetry.of(ligand.mol, limit=MAX_COPIES).parts
        self.parts = [
            (torch.from_numpy(place[atoms]), torch.from_numpy(place[maps])) for atoms, maps in parts
        ]
        fixed = torch.ones(self.atoms, dtype=torch.bool)
        for atoms, _ in self.parts:
            fixed[atoms] = False
        self.fixed = fixed.nonzero()[:, 0]

    def mean_square(
        self, rotations: Float[Tensor, "r 3 3"], x: Float[Tensor, "n 3"], y: Float[Tensor, "n 3"]
    ) -> Float[Tensor, " r"]:
        """Least mean square distance of ``R x`` to a copy of ``y``, both centred, angstrom**2.

        Args:
            rotations: Rotations R.
            x: Atoms that are turned.
            y: The same atoms in the true pose.
        """
        flat = rotations.flatten(1).to(x)

        def overlap(atoms: Tensor, maps: Tensor) -> Tensor:
            # sum_n (R x_n) . y_g(n) is linear in R
            return flat @ torch.einsum("gni,nj->gij", y[maps], x[atoms]).flatten(1).T

        total = overlap(self.fixed, self.fixed[None])[:, 0]
        for atoms, maps in self.parts:
            total = total + overlap(atoms.to(x.device), maps.to(x.device)).amax(1)
        square = x.square().sum() + y.square().sum() - 2 * total
        return (square / self.atoms).clamp(min=0)


def divergence(
    scores: Float[Tensor, " cells"],
    mean_square: Float[Tensor, " cells"],
    width: float | int,
    log_weight: Float[Tensor, " cells"] | None = None,
) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence of ``softmax(scores)`` from a Gaussian target, nats.

    Args:
        scores: Score of each cell.
        mean_square: Mean square distance of each cell's pose to the truth, angstrom**2.
        width: Standard deviation of the target, angstrom of RMSD.
        log_weight: Logarithm of the cells' sizes; default all alike.
    """
    weight = 0.0 if log_weight is None else log_weight
    target = torch.log_softmax(weight - mean_square / (2 * width**2), 0)
    found = torch.log_softmax(weight + scores, 0)
    return (target.exp() * (target - found)).sum()


@dataclass(frozen=True)
class ShiftLikelihood:
    """Where the ligand's centre is, and which of some turns is the right one.

    The cells are the shifts of a lattice for every one of a few orientations: the true one,
    disturbed, and some random ones.

    Args:
        half: Largest shift along an axis, steps of the lattice.
        width: Standard deviation of the target, angstrom of RMSD.
        noise: Standard deviation of the components of the rotation vector that disturbs the true
            orientation, radians.
        turns: Random orientations beside the true one.

    Raises:
        ValueError: If an argument is out of range.
    """

    half: int = 4
    width: float = 0.7
    noise: float = 0.15
    turns: int = 2

    def __post_init__(self) -> None:
        if self.half < 1 or self.turns < 0:
            raise ValueError(
                f"half must be at least 1 and turns 0, got {self.half} and {self.turns}"
            )
        _check(self.width, self.noise)

    def __call__(
        self,
        band: Band,
        receptor: Spectrum,
        ligand: ScalarField,
        copies: Copies,
        *,
        generator: Generator | None = None,
    ) -> Outcome:
        """Likelihood of the true place.

        Args:
            band: Wave vectors; its cube sets the spacing of the shifts.
            receptor: The receptor's spectrum about the ligand's centre.
            ligand: The ligand's field in the true pose.
            copies: The ligand's symmetry.
            generator: Where everything drawn comes from; default torch's.
        """
        x = ligand.positions - ligand.center
        near = rotation_of(torch.randn(3, generator=generator) * self.noise)[None].to(x)
        away = (torch.rand(3, generator=generator) - 0.5) * band.spacing
        turns = near
        if self.turns:
            far = uniform_rotations(self.turns, generator=generator)
            turns = torch.cat([near, far.to(x)])
        scores = band.shift_scores(
            band.moved(receptor, away), band.spectrum(ligand, ligand.center, turns), self.half
        ).flatten()
        shifts = band.shifts(self.half).to(x).flatten(0, 2) + away.to(x)
        # The centre moves by the shift whatever the turn: the two errors add.
        apart = copies.mean_square(turns, x, x)
        square = (apart[:, None] + shifts.square().sum(-1)).flatten()
        loss = divergence(scores, square, self.width)
        return Outcome(loss, square[scores.argmax()].sqrt())


@dataclass(frozen=True)
class TurnLikelihood:
    """How the ligand is turned about its centre.

    Args:
        turns: Steps of two of the Euler angles over a full turn; the third has half as many.
        lmax: Largest degree of the ligand's expansion about its centre.
        width: Standard deviation of the target, angstrom of RMSD.
        noise: Standard deviation of the components of the shift that disturbs the ligand's place,
            angstrom.

    Raises:
        ValueError: If an argument is out of range.
    """

    turns: int = 26
    lmax: int = 10
    width: float = 0.7
    noise: float = 0.4

    def __post_init__(self) -> None:
        if self.lmax < 1 or self.turns <= 2 * self.lmax:
            raise ValueError(
                "lmax must be at least 1 and turns exceed twice that, "
                f"got lmax = {self.lmax} and turns = {self.turns}"
            )
        _check(self.width, self.noise)
        _ = self.grid

    @property
    def grid(self) -> EulerGrid:
        """The rotations."""
        return EulerGrid(self.turns)

    @cached_property
    def _cells(self) -> tuple[Tensor, Tensor]:
        """Rotation and logarithmic size of every cell."""
        grid = self.grid
        count = math.prod(grid.shape)
        weight = grid.log_weight().expand(grid.shape).flatten()
        return grid.rotation(torch.arange(count)).float(), weight.float()

    def __call__(
        self,
        band: Band,
        receptor: Spectrum,
        ligand: ScalarField,
        copies: Copies,
        *,
        generator: Generator | None = None,
    ) -> Outcome:
        """Likelihood of the true orientation; arguments as in ``ShiftLikelihood``."""
        x = ligand.positions - ligand.center
        away = torch.randn(3, generator=generator) * self.noise
        back = uniform_rotations(1, generator=generator)[0].to(x)
        turned = ligand.rotated(back, about=ligand.center)
        scores = band.rotation_scores(
            band.moved(receptor, away), turned, self.lmax, self.grid
        ).flatten()
        rotations, weight = (t.to(x) for t in self._cells)
        # A shift is a part of the error that no rotation can mend: left out.
        square = copies.mean_square(rotations, x @ back.T, x)
        loss = divergence(scores, square, self.width, weight)
        return Outcome(loss, square[scores.argmax()].sqrt())


def _check(width: float, noise: float) -> None:
    if not 0 < width < math.inf:
        raise ValueError(f"width must be positive and finite, got {width}")
    if not (noise >= 0 and math.isfinite(noise)):
        raise ValueError(f"noise must be at least 0 and finite, got {noise}")
