"""The best place in a box of every rotation of a ligand's field, the box itself being a field.

Correlation searches a cube; a turned ligand may go where none of its atoms leaves the box. One more
channel says so in the same transform: the receptor's is the box with soft walls, the ligand's the
density of its atoms, and every atom inside adds the same reward.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from docking.correlate import ReceptorSpectrum, correlate_translations
from docking.rotation import RigidMotion
from docking.scalar_field import ScalarField

_SOFT = 0.8  # standard deviation of a wall, angstrom
_BEYOND = 1.5  # how far behind the box's face a wall is half as high, angstrom


@dataclass(frozen=True, eq=False)
class BoxedSpectrum(ReceptorSpectrum):
    """A receptor's spectrum and the reward for being in a box around the grid's centre.

    Args:
        field: The receptor's field and one more channel without coefficients.
        grid: As of ``plain``.
        k_max: As of ``plain``.
        plain: The spectrum without reward.
        half_size: Half the box's edges, angstrom.
        reward: Of an atom inside, in the score's unit.
    """

    plain: ReceptorSpectrum | None = None
    half_size: tuple[float, float, float] = (0.0, 0.0, 0.0)
    reward: float = 0.0

    @classmethod
    def of(
        cls, plain: ReceptorSpectrum, half_size: tuple[float, float, float], reward: float
    ) -> "BoxedSpectrum":
        """Add a box to a spectrum."""
        field = _with_channel(plain.field, 0.0)
        return cls(field, plain.grid, plain.k_max, plain, half_size, reward)

    @cached_property
    def slots(self) -> Float[Tensor, "slots parts"]:
        """The plain spectrum's, and the box's as the last channel."""
        assert self.plain is not None
        slots = self.plain.slots
        real, imag = slots.unflatten(1, (2, -1)).unbind(1)
        k = self.sphere.vectors
        box = torch.full_like(k[:, 0], self.reward)
        for a, half in enumerate(self.half_size):
            edge = half + _BEYOND
            wave = 2 * edge * torch.sinc(k[:, a] * edge / math.pi)
            box *= wave * torch.exp(-((k[:, a] * _SOFT) ** 2) / 2) / math.sqrt(2 * math.pi)
        box = box[:, None].to(slots)
        return torch.cat([real, box, imag, torch.zeros_like(box)], 1)


def best_cells(
    spectrum: BoxedSpectrum, ligand: ScalarField, rotations: Float[Tensor, "r 3 3"]
) -> tuple[RigidMotion, Float[Tensor, " r"]]:
    """Search all rotations at all lattice places of a ligand in the box.

    Args:
        spectrum: The receptor's with its box.
        ligand: The ligand's field; it turns about its centre.
        rotations: Rotations to try.

    Returns:
        Motions of the ligand about its centre, its centre then relative to the box's, and the
        overlap with the reward of each.
    """
    grid = spectrum.grid
    half = torch.tensor(spectrum.half_size).to(ligand.positions)
    x = (ligand.positions - ligand.center) @ rotations.mT
    # Of each rotation the farthest place of the centre at which all atoms are inside.
    reach = torch.maximum(half + x.amin(1), half - x.amax(1)).amax().clamp(min=0)
    window = grid.spacing * int(reach / grid.spacing + 1e-6)
    # The transform at k = 0 is the integral of the function that stands for an atom.
    still = ligand.basis.transform(torch.zeros(1, dtype=torch.float64), 0)[0, 0, 0]
    whole = float(still) * (2 * math.pi) ** 1.5 / math.sqrt(4 * math.pi)
    found = correlate_translations(
        spectrum, _with_channel(ligand, 1 / whole), rotations, window=window
    )
    return RigidMotion(rotations, found.shifts.double() * grid.spacing), found.scores


def _with_channel(field: ScalarField, value: float) -> ScalarField:
    """A field with one more channel: at each emitter a function of degree 0."""
    more = torch.zeros_like(field.coefficients[:, :1])
    more[:, 0, 0, 0] = value
    return replace(field, coefficients=torch.cat([field.coefficients, more], 1))
