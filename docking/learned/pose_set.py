"""Poses of a ligand to tell apart: true ones, and the minima that rival them.

What a score must learn is not to tell the crystal pose from random ones, which physics does, but
from those minima of the physics energy that lie elsewhere and as low. So the rivals come from the
search itself: flexible from conformers of the molecular graph, as a user docks, and rigid from the
bound conformer, as benchmarks do. Poses near the truth come from descents around it.
"""

import io
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation

from docking.box import Box
from docking.ligand import Ligand
from docking.model import PhysicsModel
from docking.molecule import Receptor
from docking.physics import atom_terms, intramolecular
from docking.pocket_map import PocketField
from docking.symmetry import Symmetry
from docking.torsion import apply_torsions
from overparam.errors import InputError

VERSION = 1
"""Part of the name of every stored set. Raise it when the search or the energies change."""
PADDING = 4.0
"""Angstrom around the crystal ligand in which poses are searched."""
SHIFT, TURN, TWIST = 0.7, 0.3, 0.35
"""Standard deviations of a disturbed start: angstrom and radians, components and torsions."""


class Source(IntEnum):
    """Where a pose comes from."""

    CRYSTAL = 0
    NEAR = 1
    FLEXIBLE = 2
    RIGID = 3


@dataclass(eq=False)
class PoseSet:
    """Poses of one ligand in its pocket; ``n`` is the number of its atoms.

    Attributes:
        coords: ``(p, n, 3)``, angstrom; the crystal pose first.
        rmsd: Heavy-atom RMSD to the crystal pose, equivalent atoms alike, angstrom.
        terms: Vina's five weighted ligand-receptor terms, kcal/mol, ``(p, 5)``.
        intra: Energy of the ligand's own movable pairs, kcal/mol.
        source: ``Source`` of each.
    """

    coords: Float[ndarray, "p n 3"]
    rmsd: Float[ndarray, " p"]
    terms: Float[ndarray, "p terms"]
    intra: Float[ndarray, " p"]
    source: Int[ndarray, " p"]

    def __len__(self) -> int:
        return len(self.coords)

    def pack(self) -> bytes:
        """As an npz archive, single precision."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            coords=self.coords.astype(np.float32),
            rmsd=self.rmsd.astype(np.float32),
            terms=self.terms.astype(np.float32),
            intra=self.intra.astype(np.float32),
            source=self.source.astype(np.int8),
        )
        return buffer.getvalue()

    @classmethod
    def unpack(cls, data: bytes) -> "PoseSet":
        """What ``pack`` packed."""
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return cls(**{name: archive[name] for name in archive.files})


@dataclass(frozen=True)
class PoseMiner:
    """How rivals are searched for.

    Args:
        effort: Of the flexible search (``PhysicsModel.dock``); the rigid one has twice as much.
        flexible: Most poses kept of the flexible search.
        rigid: Most poses kept of the rigid one.
        near: Descents from disturbed crystal poses.
        seed: Of everything drawn; a complex's own name is mixed in.

    Raises:
        ValueError: If a number is out of range.
    """

    effort: float = 0.5
    flexible: int = 30
    rigid: int = 30
    near: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.effort > 0:
            raise ValueError(f"effort must be positive, got {self.effort}")
        for name in ("flexible", "rigid", "near", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")

    def __call__(self, key: str, receptor: Receptor, ligand: Ligand) -> PoseSet:
        """Search the pocket of a complex.

        Args:
            key: Name of the complex.
            receptor: Its pocket.
            ligand: Its ligand in the crystal pose.

        Raises:
            InputError: If the ligand has no coordinates or cannot be searched for at all.
        """
        if ligand.coords is None:
            raise InputError(f"{key}: the ligand has no coordinates")
        salt = zlib.crc32(key.encode())
        rng = np.random.default_rng([self.seed, salt])
        model = PhysicsModel()
        pocket = model.prepare(receptor, Box.from_ligand(ligand, padding=PADDING))
        crystal = ligand.coords[None]
        parts = [(Source.CRYSTAL, crystal)]
        starts = np.concatenate([crystal, self._disturbed(ligand, rng)])
        parts.append((Source.NEAR, model.minimize(pocket, ligand, starts)[0]))
        options: dict[str, Any] = {"seed": self.seed ^ salt}
        if self.flexible:
            found = model.dock(pocket, ligand, self.flexible, effort=self.effort, **options)
            parts.append((Source.FLEXIBLE, found.coords))
        if self.rigid:
            options |= {"effort": 2 * self.effort, "rigid": True}
            parts.append((Source.RIGID, model.dock(pocket, ligand, self.rigid, **options).coords))
        return described(
            pocket,
            ligand,
            np.concatenate([x for _, x in parts]),
            np.concatenate([np.full(len(x), int(source)) for source, x in parts]),
        )

    def _disturbed(self, ligand: Ligand, rng: np.random.Generator) -> Float[ndarray, "p n 3"]:
        x = ligand.coords
        assert x is not None
        made = []
        for _ in range(self.near):
            y = x
            if ligand.torsions:
                y = apply_torsions(x, ligand.torsions, rng.normal(0, TWIST, len(ligand.torsions)))
            center = y.mean(0)
            turn = Rotation.from_rotvec(rng.normal(0, TURN, 3)).as_matrix()
            made.append((y - center) @ turn.T + center + rng.normal(0, SHIFT, 3))
        return np.array(made).reshape(-1, len(ligand), 3)


def described(
    pocket: PocketField,
    ligand: Ligand,
    coords: Float[ndarray, "p n 3"],
    source: Int[ndarray, " p"],
) -> PoseSet:
    """Poses with their distance to the ligand's own pose and their physics."""
    assert ligand.coords is not None
    x, kinds = torch.as_tensor(coords), torch.as_tensor(ligand.vina_type)
    receptor = torch.as_tensor(pocket.receptor_positions), torch.as_tensor(pocket.receptor_types)
    pairs = torch.as_tensor(ligand.tree.movable_pairs(ligand.bonds, ligand.heavy))
    return PoseSet(
        coords,
        Symmetry.of(ligand.mol).rmsd(coords, ligand.coords[None])[:, 0],
        atom_terms(x, kinds, *receptor).sum(1).numpy(),
        intramolecular(x, kinds, pairs).numpy(),
        source,
    )
