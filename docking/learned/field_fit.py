"""FieldFit: training of lean scalar fields on all shifts and all rotations at every step."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Generator, Tensor, optim

from docking.learned.band_spectrum import Band
from docking.learned.lean_esf import ligand_tables
from docking.learned.lean_fields import LeanFields
from docking.learned.neighbourhood import Neighbourhood
from docking.learned.reference_graph import Complex
from docking.learned.soft_losses import Copies, Outcome, ShiftLikelihood, TurnLikelihood
from docking.ligand import Ligand
from docking.scalar_field import ScalarField
from docking.torsion import apply_torsions
from overparam import OverparameterizedModule
from overparam.divergence import StopsWhenDiverged
from overparam.errors import InputError

Pair = tuple[ScalarField, ScalarField]
HIT = 2.0
"""RMSD below which a cell is a hit, angstrom."""
_MARGIN = 8.0  # of the cube around ligand and shifts, so that periodic images are not felt


@dataclass(frozen=True, eq=False)
class Prepared:
    """What does not change about a complex.

    Attributes:
        ligand: The ligand in the crystal pose.
        pocket: What can be felt in any of the shifts.
        features: Categories of the ligand's heavy atoms.
        bonds: Bonds of all their pairs.
        copies: Their symmetry.
    """

    ligand: Ligand
    pocket: Neighbourhood
    features: Tensor
    bonds: Tensor
    copies: Copies


class FieldFit(StopsWhenDiverged, OverparameterizedModule):
    """Fit fields so that near-native poses are likely among all shifts and among all rotations.

    Every step takes both likelihoods of every complex; the receptor's spectrum serves both. In
    training the ligand's torsions are wobbled, the wobbled conformer is laid over the crystal pose,
    and the pocket's atoms are moved a little.

    Logs ``train/loss``, ``train/shift_loss`` and ``train/turn_loss`` (nats); in validation and
    test the same and, of the best-scored cell, ``shift_rmsd`` and ``turn_rmsd`` (angstrom) and
    ``shift_hit`` and ``turn_hit``, the share below 2 angstrom. What is drawn there depends on the
    complex's id alone; molecules are not disturbed.

    Args:
        fields: Networks from a complex to a pair of fields.
        shift: Likelihood over shifts; default ``ShiftLikelihood()``.
        turn: Likelihood over rotations; default ``TurnLikelihood()``.
        spacing: Of the lattice of shifts, angstrom.
        wobble: Standard deviation of the turn of every rotatable bond in training, radians.
        jitter: Standard deviation of the coordinates of pocket atoms in training, angstrom.
        optimizer: Parameters to optimizer.
        scheduler: Optimizer to learning-rate scheduler, stepped once per optimizer step.

    Raises:
        ValueError: If a number is out of range, or the lattice too coarse for the fields.
    """

    def __init__(
        self,
        fields: LeanFields,
        *,
        shift: ShiftLikelihood | None = None,
        turn: TurnLikelihood | None = None,
        spacing: float = 1.0,
        wobble: float = 0.15,
        jitter: float = 0.1,
        optimizer: OptimizerCallable = optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        for name, value in (("wobble", wobble), ("jitter", jitter)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {value}")
        self.fields = fields
        self.shift = shift or ShiftLikelihood()
        self.turn = turn or TurnLikelihood()
        self.spacing, self.wobble, self.jitter = spacing, wobble, jitter
        _ = self.band(np.zeros((1, 3)))
        self._prepared: dict[str, Prepared] = {}

    @property
    def window(self) -> float:
        """Largest shift along an axis, angstrom."""
        return self.shift.half * self.spacing

    def band(self, coords: Float[ndarray, "n 3"]) -> Band:
        """The cube for a ligand: wide enough that the window sees no periodic image of it."""
        extent = float(np.ptp(coords, axis=0).max()) + 2 * self.window + _MARGIN
        return _band(2 * int(np.ceil(extent / self.spacing / 2)), self.spacing, self.fields.k_max)

    def prepared(self, example: Complex) -> Prepared:
        """A complex as tensors, made once and kept by its id.

        Raises:
            InputError: If the ligand has no coordinates.
        """
        if example.id not in self._prepared:
            ligand = example.ligand
            if ligand.coords is None:
                raise InputError(f"{example.id}: the ligand has no coordinates")
            pocket = self.fields.receptor.around(
                example.receptor, ligand.coords[ligand.heavy], self.fields.reach + self.window
            )
            self._prepared[example.id] = Prepared(
                ligand, pocket, *ligand_tables(ligand), Copies(ligand)
            )
        return self._prepared[example.id]

    def forward(self, batch: Sequence[Complex]) -> list[Pair]:
        """The fields of receptor and ligand of every complex; disturbed if training."""
        made = [self.prepared(example) for example in batch]
        ligands = [
            self.fields.ligand.around(one.features, one.bonds, self._conformer(one.ligand))
            for one in made
        ]
        pocket = self._placed(Neighbourhood.joined([one.pocket for one in made]))
        if self.training and self.jitter:
            noise = torch.randn_like(pocket.positions) * self.jitter
            pocket = pocket.shifted(noise)
        return self.fields(pocket, self._placed(Neighbourhood.joined(ligands)))

    def _placed(self, graph: Neighbourhood) -> Neighbourhood:
        return graph.to(self.device).to(self.dtype)

    def _conformer(self, ligand: Ligand) -> Float[ndarray, "n 3"]:
        """Heavy atoms of the crystal pose, in training with its torsions wobbled."""
        assert ligand.coords is not None
        crystal = ligand.coords[ligand.heavy]
        if not (self.training and self.wobble and ligand.torsions):
            return crystal
        angles = torch.randn(len(ligand.torsions), dtype=torch.float64).numpy() * self.wobble
        wobbled = apply_torsions(ligand.coords, ligand.torsions, angles)[ligand.heavy]
        return superposed(wobbled, crystal)

    def outcomes(
        self, pair: Pair, copies: Copies, *, generator: Generator | None = None
    ) -> dict[str, Outcome]:
        """Both likelihoods of one complex, from one spectrum of its receptor."""
        receptor, ligand = pair
        band = self.band(ligand.positions.detach().cpu().numpy())
        spectrum = band.spectrum(receptor, ligand.center)
        parts: dict[str, ShiftLikelihood | TurnLikelihood]
        parts = {"shift": self.shift, "turn": self.turn}
        return {
            name: likelihood(band, spectrum, ligand, copies, generator=generator)
            for name, likelihood in parts.items()
        }

    def training_step(self, batch: Sequence[Complex], batch_idx: int) -> Tensor:
        """Return the mean of both losses of the batch."""
        found = [
            self.outcomes(pair, self.prepared(example).copies)
            for example, pair in zip(batch, self(batch), strict=True)
        ]
        losses = {name: torch.stack([one[name].loss for one in found]).mean() for name in found[0]}
        loss = torch.stack(list(losses.values())).mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        for name, value in losses.items():
            self.log(f"train/{name}_loss", value, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Sequence[Complex], batch_idx: int) -> None:
        """Measure both likelihoods of every complex."""
        self._measure("val", batch)

    def test_step(self, batch: Sequence[Complex], batch_idx: int) -> None:
        """Measure both likelihoods of every complex."""
        self._measure("test", batch)

    def _measure(self, stage: str, batch: Sequence[Complex]) -> None:
        for example, pair in zip(batch, self(batch), strict=True):
            generator = Generator().manual_seed(zlib.crc32(example.id.encode()))
            found = self.outcomes(pair, self.prepared(example).copies, generator=generator)
            values = {"loss": torch.stack([one.loss for one in found.values()]).mean()}
            for name, one in found.items():
                values[f"{name}_loss"] = one.loss
                values[f"{name}_rmsd"] = one.rmsd
                values[f"{name}_hit"] = (one.rmsd < HIT).to(one.rmsd)
            for name, value in values.items():
                self.log(f"{stage}/{name}", value, sync_dist=True, batch_size=1)

    def __deepcopy__(self, memo: dict[int, object]) -> "FieldFit":
        """Copy all but the prepared complexes and what makes optimizers: nobody changes them."""
        # What makes an optimizer may hold on to the whole command, and that to its processes.
        for kept in (self._prepared, self.optimizer, self.scheduler):
            memo[id(kept)] = kept
        return super().__deepcopy__(memo)


@lru_cache(maxsize=32)
def _band(points: int, spacing: float, k_max: float) -> Band:
    return Band(points, spacing, k_max)


def superposed(x: Float[ndarray, "n 3"], onto: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3"]:
    """Points moved rigidly so that they lie as near as they can to others, one by one.

    Source: Kabsch, Acta Cryst. A32 (1976) 922.
    """
    a, b = x - x.mean(0), onto - onto.mean(0)
    u, _, v = np.linalg.svd(a.T @ b)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    return a @ (u @ flip @ v) + onto.mean(0)
