"""The search box: an axis-aligned region of the receptor's frame."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from docking.molecule import Receptor
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.ligand import Ligand

LARGE = 40.0
"""Side, angstrom, beyond which a box gets a warning: the search has to cover its volume."""
LARGEST = 200.0
"""Side, angstrom, beyond which a box is refused."""
_MIN_RESIDUES = 2
_ATOM_VOLUME, _ATOM_RADIUS = 10.0, 1.7  # A^3, A: below what organic matter needs
_ORIENTATIONS, _SLACK = 1000, 0.5  # sampled orientations miss the best by less than the slack
_REACH = 8.0  # A: Vina's cutoff; what lies farther from the box has no say in it


class Box:
    """Where the atoms of a ligand may be.

    Attributes:
        center: Centre, angstrom.
        size: Edge lengths, angstrom.
        warnings: One sentence if the box is very large.

    Raises:
        InputError: If a number is not finite or an edge is not between 0 and ``LARGEST``.
    """

    def __init__(
        self, center: Sequence[float | int] | ndarray, size: Sequence[float | int] | ndarray
    ) -> None:
        self.center = _three("center", center)
        self.size = _three("size", size)
        if (self.size <= 0).any() or (self.size > LARGEST).any():
            raise InputError(
                f"size must lie in (0, {LARGEST:g}] angstrom on every axis, got {_show(self.size)}"
            )
        self.warnings: list[str] = []
        if (self.size > LARGE).any():
            self.warnings.append(
                f"large box ({_show(self.size)} A): a search finds less per second beyond "
                f"{LARGE:g} A a side"
            )

    @classmethod
    def from_ligand(cls, ligand: "Ligand", padding: float | int = 4.0) -> "Box":
        """The box around a placed ligand's heavy atoms and ``padding`` angstrom on every side.

        Raises:
            InputError: If the ligand has no coordinates.
        """
        if ligand.coords is None:
            raise InputError(f"{ligand.name}: a box needs a ligand with 3-D coordinates")
        return cls._around(ligand.coords[ligand.heavy], padding)

    @classmethod
    def from_residues(
        cls, receptor: Receptor, residues: Iterable[str], padding: float | int = 4.0
    ) -> "Box":
        """The box around some residues, given as ``["A:45", "A:45A"]``.

        Raises:
            InputError: If there is no residue, or one is not in the receptor.
        """
        wanted = [residues] if isinstance(residues, str) else list(residues)
        if not wanted:
            raise InputError("a box needs at least one residue, got none")
        rows = np.concatenate([receptor.residue_atoms(residue) for residue in wanted])
        return cls._around(receptor.positions[rows], padding)

    @classmethod
    def _around(cls, points: Float[ndarray, "n 3"], padding: float | int) -> "Box":
        if not (np.isfinite(padding) and padding >= 0):
            raise InputError(f"padding must be at least 0 angstrom, got {padding}")
        low, high = points.min(axis=0), points.max(axis=0)
        # A single atom without padding still makes a box.
        return cls((low + high) / 2, np.maximum(high - low + 2 * padding, 1e-3))

    @property
    def low(self) -> Float[ndarray, " 3"]:
        """The corner of smallest coordinates."""
        return self.center - self.size / 2

    @property
    def high(self) -> Float[ndarray, " 3"]:
        """The corner of largest coordinates."""
        return self.center + self.size / 2

    def contains(self, points: Float[ndarray, "*batch 3"]) -> Bool[ndarray, "*batch"]:
        """Whether each point lies in the box, its faces and 1e-6 angstrom beyond included."""
        points = np.asarray(points, dtype=np.float64)
        return np.asarray((np.abs(points - self.center) <= self.size / 2 + 1e-6).all(axis=-1))

    def check_fits(self, ligand: "Ligand") -> None:
        """Refuse a ligand that cannot lie in the box however it is turned.

        Each rigid part has to fit in some orientation, and the box has to have room for all atoms
        at the density of matter.

        Raises:
            InputError: With the edge of a cube that would hold it.
        """
        room = float(np.prod(self.size + 2 * _ATOM_RADIUS))
        count = int(ligand.heavy.sum())
        needed = max(0.0, (count * _ATOM_VOLUME) ** (1 / 3) - 2 * _ATOM_RADIUS)
        fits = count * _ATOM_VOLUME <= room
        if ligand.coords is not None:
            turns = None
            for body in range(int(ligand.fragments.max()) + 1):
                points = ligand.coords[(ligand.fragments == body) & ligand.heavy]
                # As it lies, or in a ball: most need no more than a look.
                center = (points.max(axis=0) + points.min(axis=0)) / 2
                across = 2 * np.linalg.norm(points - center, axis=1).max(initial=0.0)
                straight = np.ptp(points, axis=0)
                if across <= self.size.min() or (straight <= self.size).all():
                    continue
                if turns is None:
                    rng = np.random.default_rng(0)
                    turns = Rotation.random(_ORIENTATIONS, rng=rng).as_matrix()
                extents = np.ptp(points @ turns, axis=1)
                fits &= bool((extents <= self.size + _SLACK).all(axis=1).any())
                needed = max(needed, float(extents.max(axis=1).min()))
        if not fits:
            raise InputError(
                f"{ligand.name}: {count} heavy atoms do not fit the box of {_show(self.size)} "
                f"angstrom; a cube of {needed:.1f} would hold them"
            )

    def check_receptor(self, receptor: Receptor) -> None:
        """Refuse a box with next to nothing of the receptor in reach.

        Raises:
            InputError: If fewer than two residues have an atom within 8 angstrom of the box.
        """
        gap = np.maximum(np.abs(receptor.positions - self.center) - self.size / 2, 0.0)
        distance = np.linalg.norm(gap, axis=1)
        near = np.unique(receptor.residue_index[(distance < _REACH) & receptor.heavy])
        if len(near) < _MIN_RESIDUES:
            closest = distance[receptor.heavy].min() if receptor.heavy.any() else np.inf
            raise InputError(
                f"{receptor.source}: the box at ({_at(self.center)}) has {len(near)} residues "
                f"within {_REACH:g} angstrom (the nearest atom is {closest:.1f} away)"
            )

    def __repr__(self) -> str:
        return f"Box(center=({_at(self.center)}), size=({_show(self.size)}))"


def _three(name: str, values: Sequence[float | int] | ndarray) -> Float[ndarray, " 3"]:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be three numbers, got {values!r}") from None
    if array.shape != (3,) or not np.isfinite(array).all():
        raise InputError(f"{name} must be three finite numbers, got {values!r}")
    return array


def _show(values: Float[ndarray, " 3"]) -> str:
    return " x ".join(f"{value:.1f}" for value in values)


def _at(values: Float[ndarray, " 3"]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)
